"""A cache database that may fail: every fault is a miss and one sentence, never an exception. Knows no value.

A damaged database is set aside and another begun; one that is locked is left alone for a while.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from core.disk import database
from core.disk.database import Database
from core.disk.large import LargeFiles

R = TypeVar("R")

RETRY_SECONDS = 5.0
VALUES = "values"

log = logging.getLogger(__name__)


class Guarded:
    """The database under `root`/values, and the large files beside it. Safe to use from any thread."""

    def __init__(self, root: Path) -> None:
        self.root = Path(root).absolute()
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

    def close(self) -> None:
        """Close this thread's connection; a later call opens the store again."""
        with self._lock:
            if self._cache is not None:
                self._cache.close()
                self._cache = None

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

    def _note(self, sentence: str) -> None:
        """Say in the banner what was not kept."""
        if self._fault != sentence:
            log.warning("%s", sentence)
        self._fault = sentence

    def _pause(self, error: Exception) -> None:
        """Warn, and leave the cache alone for a while: every try would wait for the lock again."""
        self._retry_at = time.monotonic() + RETRY_SECONDS
        self._warn(error)

    def _warn(self, error: Exception) -> None:
        sentence = database.sentence_for(error)
        if self._fault != sentence:
            log.warning("%s (%s)", sentence, type(error).__name__)
        self._fault = sentence
