"""Results on disk, found by the spec that they answer. Knows no engine and no page.

Everything here can be computed again. So no fault of the disk reaches the caller: it is a miss, and one sentence in
`Store.warning`. What the user cannot get back, directions and unfinished runs, lives elsewhere.
"""

from __future__ import annotations

import contextlib
import functools
import heapq
import logging
import operator
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from core.disk import codec, database, files
from core.disk.database import Database
from core.disk.files import free_bytes
from core.disk.guarded import Guarded
from core.disk.large import Entry
from core.disk.parts import Parts
from core.settings import store_bytes
from core.values import Formerly

T = TypeVar("T")

LEAST_BYTES, DISK_SHARE = 2 << 30, 0.5
"""The limit where none is set: this share of what the disk has free and the store takes already, and no less."""
SPARE_BYTES = 256 << 20
MAX_VALUE_BYTES = 256 << 20
UNFINISHED = "unfinished_"
"""How the kinds of work begin that goes on from where it was stopped: it is the user's to free."""
TRIM_ABOVE, TRIM_TO = 0.8, 0.7
VALUE_SHARE, FILE_SHARE = 0.05, 0.25
SPARE = 100
"""Damaged values that a list of recent ones can make up for."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Stored(Generic[T]):
    """A value of the store, its key, and when it was stored, in seconds since 1970."""

    key: str
    value: T
    stored_at: float


class Store(Guarded):
    """Values by spec under `root`, trimmed oldest first above 80% of `limit_bytes`. Safe to use from any thread.

    `former` tells how models were keyed before keys named them by content: what was kept then is still found.
    `measured` tells what results are measured on now: kept beside each, and part of no key.
    """

    def __init__(
        self,
        root: Path,
        *,
        limit_bytes: int | None = None,
        former: Callable[[], Iterable[Formerly]] = tuple,
        measured: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        super().__init__(root)
        self._former, self._measured = former, measured
        self.limit_bytes = self._limit() if limit_bytes is None else limit_bytes

    def _limit(self) -> int:
        """What is set, else a share of the disk."""
        asked = store_bytes()
        if asked is not None:
            return asked
        return max(LEAST_BYTES, int(DISK_SHARE * (free_bytes(self.root) + self.size_bytes())))

    @property
    def largest_file(self) -> int:
        """Bytes that a value of one file may take."""
        return int(min(FILE_SHARE * self.limit_bytes, files.MAX_READ_BYTES))

    def get(self, cls: type[T], kind: str, spec: object) -> T | None:
        """The value that was put for an equal spec, or None."""
        return self.first(cls, self.keys_of(kind, spec))

    def first(self, cls: type[T], keys: Iterable[str]) -> T | None:
        """The value under the first of the keys that has one, or None."""
        found = (self.get_by_key(cls, key) for key in keys)
        return next((value for value in found if value is not None), None)

    def keys_of(self, kind: str, spec: object) -> Iterator[str]:
        """The key of a spec, then those that it had before keys named models by content."""
        seen = set[str]()
        for before in (None, *self._former()):
            if (key := codec.key_of(kind, spec, before)) not in seen:
                seen.add(key)
                yield key

    def get_by_key(self, cls: type[T], key: str) -> T | None:
        """As `get`, for a key that `codec.key_of` gave before."""
        found = self._guarded(lambda cache: self._read(cache, cls, key), None)
        return found.value if found else None

    def put(self, kind: str, spec: object, value: object) -> bool:
        """Keep the value for the spec; False when it is too large or the disk refused it."""
        key, now = codec.key_of(kind, spec), time.time()
        data = codec.dump(value, key=key, saved_at=now, measured=self._measured())
        if len(data) > min(VALUE_SHARE * self.limit_bytes, MAX_VALUE_BYTES):
            return False

        def write(cache: Database) -> bool:
            database.put_value(cache, key, data, when=now)
            self._trim(cache)
            self._fault = None
            return True

        return self._guarded(write, False)

    def recent(self, kind: str, cls: type[T], limit: int, *, digits: str = "") -> list[Stored[T]]:
        """The values of a kind that were stored last, newest first; those whose keys go on with these hex digits."""

        def read(cache: Database) -> list[Stored[T]]:
            found: list[Stored[T]] = []
            for key in database.newest_keys(cache, f"{kind}-{digits}", limit + SPARE):
                stamped = self._read(cache, cls, key) if len(found) < limit else None
                if stamped:
                    found.append(Stored(key=key, value=stamped.value, stored_at=stamped.saved_at))
            return found

        return self._guarded(read, [])

    def delete(self, kind: str, spec: object) -> None:
        """Forget what is kept for the spec, value and file."""
        for key in self.keys_of(kind, spec):
            self._guarded(operator.methodcaller("delete", key), None)
            self._on_disk(functools.partial(self._large.remove, kind, key), None)

    def put_file(self, kind: str, spec: object, value: object) -> bool:
        """As `put`, for values of many megabytes: each is a file of its own below `<root>/files`."""
        key = codec.key_of(kind, spec)
        data = codec.dump(value, key=key, saved_at=time.time(), measured=self._measured())
        if len(data) > self.largest_file:
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
        found = (self._file(cls, kind, key) for key in self.keys_of(kind, spec))
        return next((value for value in found if value is not None), None)

    def _file(self, cls: type[T], kind: str, key: str) -> T | None:
        def read() -> T | None:
            data = self._large.read(kind, key)
            try:
                return None if data is None else codec.load(cls, data, key=key)
            except codec.CorruptValue as error:
                log.warning("A damaged file of the cache was removed: %s", error)
                self._large.remove(kind, key)
                return None

        return self._on_disk(read, None)

    def put_parts(
        self, kind: str, spec: object, parts: Iterable[tuple[str, object]], *, stage: int, n_bytes: int
    ) -> bool:
        """Keep a value of many parts, each under its name, in place of those of an earlier stage.

        Parts are made one by one. False when the disk has no room for `n_bytes`, or refuses them; then what was there
        before is there still, unless there is room for one of the two only.
        """
        key = codec.key_of(kind, spec)

        def write() -> bool:
            room, before = self.room(), self._large.parts_bytes(kind, key)
            if room + before < n_bytes:
                self._note(f"{n_bytes / 1e9:.1f} GB do not fit on the disk and were not kept: free some space.")
                return False
            if room < n_bytes:
                self._large.remove_parts(kind, key)
            now, on = time.time(), self._measured()
            made = ((n, codec.dump(value, key=f"{key}/{n}", saved_at=now, measured=on)) for n, value in parts)
            self._large.write_parts(kind, key, stage, made)
            self._fault = None
            return True

        done = self._on_disk(write, False)
        self._guarded(self._trim, None)
        return done

    def parts(self, kind: str, spec: object) -> Parts | None:
        """The value that `put_parts` kept for an equal spec, or None."""
        for key in self.keys_of(kind, spec):
            folder = self._on_disk(functools.partial(self._large.parts, kind, key), None)
            if folder is not None:
                return Parts(folder=folder, key=key)
        return None

    def room(self) -> int:
        """Bytes that a value of many parts may take: what the disk has free, and a little less."""
        return max(0, free_bytes(self.root) - SPARE_BYTES)

    def taken(self) -> dict[str, int]:
        """Bytes on disk by what takes them: "" for small values in the database, else the kind of large ones."""
        found = {"": self._guarded(lambda cache: int(cache.volume()), 0)}
        none: list[Entry] = []
        for _, size, key, _ in self._on_disk(lambda: list(self._large.entries()), none):
            kind = key.rpartition("-")[0]
            found[kind] = found.get(kind, 0) + size
        return found

    def stamp(self, kind: str, spec: object, *, part: str = "") -> codec.Stamp | None:
        """When and on what the value of a spec was measured; None where there is none. `part` is one that it has."""
        for key in self.keys_of(kind, spec):
            data, name = self._guarded(functools.partial(_bytes_of, key), None), key
            data = data or self._on_disk(functools.partial(self._large.read, kind, key), None)
            if data is None and part and (parts := self.parts(kind, spec)):
                data, name = parts.read(part), f"{parts.key}/{part}"
            with contextlib.suppress(codec.CorruptValue):
                if data is not None:
                    return codec.read_stamp(data, key=name)
        return None

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
        """Remove the oldest values and files until the store is below TRIM_TO of its limit; unfinished work stays."""
        kept = sorted((e for e in self._large.entries() if not e[2].startswith(UNFINISHED)), key=_age)
        total = cache.volume() + sum(size for _, size, _, _ in kept)
        if total <= TRIM_ABOVE * self.limit_bytes:
            return
        oldest = heapq.merge(kept, self._values(cache), key=_age)
        for _, size, _, remove in oldest:
            if total <= TRIM_TO * self.limit_bytes:
                break
            remove()
            total -= size


def _bytes_of(key: str, cache: Database) -> bytes | None:
    return cache.get(key, tag=True)[0]


def _age(entry: Entry) -> float:
    return entry[0]
