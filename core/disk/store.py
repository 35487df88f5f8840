"""Results on disk, found by the spec that they answer. Knows no engine and no page.

Everything here can be computed again. So no fault of the disk reaches the caller: it is a miss, and one sentence in
`Store.warning`. What the user cannot get back, directions and unfinished runs, lives elsewhere.
"""

from __future__ import annotations

import contextlib
import functools
import heapq
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from core.disk import codec, database
from core.disk.database import Database
from core.disk.large import Entry, LargeFiles

T = TypeVar("T")
R = TypeVar("R")

LIMIT_BYTES = 2 << 30
TRIM_ABOVE, TRIM_TO = 0.8, 0.7
VALUE_SHARE, FILE_SHARE = 0.05, 0.25
RETRY_SECONDS = 5.0
SPARE = 100
"""Damaged values that a list of recent ones can make up for."""
VALUES = "values"

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Stored(Generic[T]):
    """A value of the store, its key, and when it was stored, in seconds since 1970."""

    key: str
    value: T
    stored_at: float


class Store:
    """Values by spec under `root`, trimmed oldest first above 80% of `limit_bytes`. Safe to use from any thread."""

    def __init__(self, root: Path, *, limit_bytes: int = LIMIT_BYTES) -> None:
        self.root = Path(root).absolute()
        self.limit_bytes = limit_bytes
        self._folder = self.root / VALUES
        self._large = LargeFiles(self.root)
        self._lock = threading.RLock()
        self._cache: Database | None = None
        self._retry_at = 0.0
        self._fault: str | None = None
        self._set_aside_note: str | None = None
        self._opened()

    @property
    def warning(self) -> str | None:
        """One sentence for a banner while results are not kept or were lost; None when all is well."""
        return self._fault or self._set_aside_note

    def get(self, cls: type[T], kind: str, spec: object) -> T | None:
        """The value that was put for an equal spec, or None."""
        return self.get_by_key(cls, codec.key_of(kind, spec))

    def get_by_key(self, cls: type[T], key: str) -> T | None:
        """As `get`, for a key that `codec.key_of` gave before."""
        found = self._guarded(lambda cache: self._read(cache, cls, key), None)
        return found.value if found else None

    def put(self, kind: str, spec: object, value: object) -> bool:
        """Keep the value for the spec; False when it is too large or the disk refused it."""
        key, now = codec.key_of(kind, spec), time.time()
        data = codec.dump(value, key=key, saved_at=now)
        if len(data) > VALUE_SHARE * self.limit_bytes:
            return False

        def write(cache: Database) -> bool:
            database.put_value(cache, key, data, when=now)
            self._trim(cache)
            self._fault = None
            return True

        return self._guarded(write, False)

    def recent(self, kind: str, cls: type[T], limit: int) -> list[Stored[T]]:
        """The values of a kind that were stored last, newest first."""

        def read(cache: Database) -> list[Stored[T]]:
            found: list[Stored[T]] = []
            for key in database.newest_keys(cache, f"{kind}-", limit + SPARE):
                stamped = self._read(cache, cls, key) if len(found) < limit else None
                if stamped:
                    found.append(Stored(key=key, value=stamped.value, stored_at=stamped.saved_at))
            return found

        return self._guarded(read, [])

    def delete(self, kind: str, spec: object) -> None:
        """Forget what is kept for the spec, value and file."""
        key = codec.key_of(kind, spec)
        self._guarded(lambda cache: cache.delete(key), None)
        self._on_disk(lambda: self._large.remove(kind, key), None)

    def put_file(self, kind: str, spec: object, value: object) -> bool:
        """As `put`, for values of many megabytes: each is a file of its own below `<root>/files`."""
        key = codec.key_of(kind, spec)
        data = codec.dump(value, key=key, saved_at=time.time())
        if len(data) > FILE_SHARE * self.limit_bytes:
            return False

        def write() -> bool:
            self._large.write(kind, key, data)
            self._fault = None
            return True

        done = self._on_disk(write, False)
        self._guarded(self._trim, None)
        return done

    def get_file(self, cls: type[T], kind: str, spec: object) -> T | None:
        """The value that `put_file` kept for an equal spec, or None."""
        key = codec.key_of(kind, spec)

        def read() -> T | None:
            data = self._large.read(kind, key)
            try:
                return None if data is None else codec.load(cls, data, key=key)
            except codec.CorruptValue as error:
                log.warning("A damaged file of the cache was removed: %s", error)
                self._large.remove(kind, key)
                return None

        return self._on_disk(read, None)

    def files_bytes(self, kind: str) -> int:
        """Bytes that the files of a kind take."""
        return self._on_disk(lambda: sum(size for _, size, _, _ in self._files(kind)), 0)

    def remove_files(self, kind: str) -> None:
        """Remove every file of a kind."""
        self._on_disk(lambda: [remove() for *_, remove in self._files(kind)], None)

    def _files(self, kind: str) -> list[Entry]:
        return [entry for entry in self._large.entries() if entry[2].rpartition("-")[0] == kind]

    def size_bytes(self) -> int:
        """Bytes that values and files take on disk."""
        values = self._guarded(lambda cache: int(cache.volume()), 0)
        return values + self._on_disk(lambda: sum(size for _, size, _, _ in self._large.entries()), 0)

    def room_bytes(self) -> float:
        """Bytes that more results may take before the oldest are dropped."""
        return TRIM_ABOVE * self.limit_bytes - self.size_bytes()

    def clear(self) -> None:
        """Remove every value and file of the store; directions and unfinished runs stay."""
        if self._guarded(lambda cache: cache.clear(), None) is None:
            with self._lock:
                self.close()
                self._on_disk(lambda: database.remove_database(self._folder), None)
                self._retry_at = 0.0
        self._on_disk(lambda: [remove() for *_, remove in list(self._large.entries())], None)

    def close(self) -> None:
        """Close this thread's connection; a later call opens the store again."""
        with self._lock:
            if self._cache is not None:
                self._cache.close()
                self._cache = None

    def _read(self, cache: Database, cls: type[T], key: str) -> codec.Stamped[T] | None:
        data, _ = cache.get(key, tag=True)
        if data is None:
            return None
        try:
            return codec.load_stamped(cls, data, key=key)
        except codec.CorruptValue as error:
            log.warning("A damaged value of the cache was removed: %s", error)
            cache.delete(key)
            return None

    def _values(self, cache: Database) -> Iterator[Entry]:
        for key in iter(cache):
            value, stored_at = cache.get(key, tag=True) if key else (None, 0.0)
            if value is not None:
                when = stored_at if isinstance(stored_at, float) else 0.0
                yield when, len(value), key, functools.partial(cache.delete, key)

    def _trim(self, cache: Database) -> None:
        """Remove the oldest values and files until the store is below TRIM_TO of its limit."""
        kept = sorted(self._large.entries(), key=_age)
        total = cache.volume() + sum(size for _, size, _, _ in kept)
        if total <= TRIM_ABOVE * self.limit_bytes:
            return
        oldest = heapq.merge(kept, self._values(cache), key=_age)
        for _, size, _, remove in oldest:
            if total <= TRIM_TO * self.limit_bytes:
                break
            remove()
            total -= size

    def _on_disk(self, operation: Callable[[], R], default: R) -> R:
        """What the operation returns; the default, and a warning, after a fault of the file system or of memory."""
        try:
            return operation()
        except (OSError, MemoryError) as error:
            self._warn(error)
            return default

    def _guarded(self, operation: Callable[[Database], R], default: R) -> R:
        """What the operation returns on the open cache; the default, and a warning, after any fault of the cache."""
        cache = self._opened()
        if cache is None:
            return default
        try:
            result = operation(cache)
        except Exception as error:
            # A failed COMMIT leaves the transaction open: closing gives its lock back.
            with contextlib.suppress(Exception):
                cache.close()
            self._fail(cache, error)
            return default
        if self._retry_at:
            self._retry_at, self._fault = 0.0, None
        return result

    def _fail(self, cache: Database, error: Exception) -> None:
        with self._lock:
            if cache is not self._cache:
                return
            if not database.blames_environment(error) and database.is_damaged(self._folder / database.DATABASE):
                self._set_aside()
            elif database.is_locked(error):
                self._pause(error)
            else:
                self._warn(error)

    def _opened(self) -> Database | None:
        """The cache, opened if need be; None while it cannot be used."""
        with self._lock:
            if time.monotonic() < self._retry_at:
                return None
            if self._cache is None:
                self._cache = self._try_open()
            return self._cache

    def _try_open(self) -> Database | None:
        for may_set_aside in (True, False):
            try:
                self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._large.remove_unfinished()
                return database.open_cache(self._folder)
            except Exception as error:
                if database.blames_environment(error) or not (may_set_aside and self._set_aside()):
                    self._pause(error)
                    break
        return None

    def _set_aside(self) -> bool:
        """Move the damaged cache out of the way; the next call starts a new one."""
        self._cache = None
        name = f"{VALUES}.broken-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{os.urandom(2).hex()}"
        try:
            self._folder.rename(self.root / name)
        except OSError as error:
            self._pause(error)
            return False
        self._set_aside_note = f"The stored results were damaged and are set aside in {name}; a new store was started."
        log.warning("%s", self._set_aside_note)
        return True

    def _pause(self, error: Exception) -> None:
        """Warn, and leave the cache alone for a while: every try would wait for the lock again."""
        self._retry_at = time.monotonic() + RETRY_SECONDS
        self._warn(error)

    def _warn(self, error: Exception) -> None:
        sentence = database.sentence_for(error)
        if self._fault != sentence:
            log.warning("%s (%s)", sentence, type(error).__name__)
        self._fault = sentence


def _age(entry: Entry) -> float:
    return entry[0]
