"""A cache database that a planted row or setting cannot turn against the user. The only user of diskcache.

diskcache unpickles what its database says, opens and removes the file names it finds there, and takes settings and even
its own attributes from it. `SafeDisk` lets it handle text keys and bytes inside the database and nothing else: no file
is opened or removed because a row names it. `open_cache` drops what is not ours before diskcache looks.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import logging
import os
import sqlite3
import stat
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Literal, Protocol

from diskcache import Cache, Disk, Timeout

from core.disk import files

RAW = 1
FOREIGN_KEY = ""
"""What iterating yields for a key that is not ours; no key of ours is empty."""
BUSY_SECONDS = 2
DATABASE = "cache.db"
BESIDE = ("-wal", "-shm", "-journal")
"""Ends of the names of files that SQLite makes beside it, opens where they are, and writes to."""

SETTINGS = {
    "statistics": 0,
    "tag_index": 0,
    "eviction_policy": "none",
    "size_limit": 1 << 40,
    "cull_limit": 0,
    "sqlite_auto_vacuum": 1,
    "sqlite_cache_size": 1 << 11,
    "sqlite_journal_mode": "wal",
    "sqlite_journal_size_limit": 1 << 24,
    "sqlite_mmap_size": 0,
    "sqlite_synchronous": 1,
    "disk_min_file_size": 1 << 40,
    "disk_pickle_protocol": 0,
}
"""Every setting of diskcache, so that none is taken from the database. No mmap: a cut file would kill the process."""
_COUNTERS = ("count", "size", "hits", "misses")
_OURS = "typeof(key) = 'text' AND raw IS 1 AND mode IS 1 AND typeof(value) = 'blob' AND filename IS NULL"

_ENVIRONMENT = {
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_INTERRUPT,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
}


log = logging.getLogger(__name__)


class Rows(Protocol):
    """What a statement found."""

    def fetchall(self) -> list[tuple[str]]: ...


class Database(Protocol):
    """What the store uses of diskcache's Cache, which has no types; its faults are OSError, sqlite3.Error, Timeout."""

    def get(self, key: str, default: None = None, *, tag: Literal[True]) -> tuple[bytes | None, float | None]: ...
    def set(self, key: str, value: bytes, *, tag: float) -> bool: ...
    def delete(self, key: str) -> bool: ...
    def transact(self) -> AbstractContextManager[None]: ...
    def volume(self) -> int: ...
    def clear(self) -> int: ...
    def close(self) -> None: ...
    def __iter__(self) -> Iterator[str]: ...
    def _sql(self, statement: str, parameters: tuple[str | int, ...]) -> Rows: ...


class ForeignRow(OSError):
    """A row that this project did not write. As an OSError, diskcache takes it for a miss."""


class SafeDisk(Disk):  # type: ignore[misc]
    """diskcache's Disk without pickle and without files: text keys, bytes values, all in the database."""

    def put(self, key: object) -> tuple[str, bool]:
        """Raises TypeError for a key that is not text."""
        if type(key) is not str:
            raise TypeError(f"A key must be text, not {type(key).__name__}.")
        return key, True

    def get(self, key: object, raw: object) -> str:
        """The key, or FOREIGN_KEY for a row that is not ours."""
        return key if raw == 1 and type(key) is str else FOREIGN_KEY

    def store(self, value: object, read: bool, key: object = None) -> tuple[int, int, None, memoryview]:
        """Raises TypeError for anything but bytes."""
        if type(value) is not bytes or read:
            raise TypeError(f"A value must be bytes, not {type(value).__name__}.")
        return 0, RAW, None, sqlite3.Binary(value)

    def fetch(self, mode: object, filename: object, value: object, read: bool) -> bytes:
        """The bytes of a row. Raises ForeignRow for one that is not ours."""
        if mode != RAW or type(value) is not bytes or filename is not None or read:
            raise ForeignRow("A row of the cache was not written by this program.")
        return value

    def remove(self, file_path: object) -> None:
        """Nothing: no row of ours has a file, and the file of another row is not ours."""


def open_cache(folder: Path) -> Database:
    """The diskcache of the folder, with our rows and settings only. Raises OSError, sqlite3.Error or Timeout."""
    files.private_folder(folder)
    clean_database(folder / DATABASE)
    cache: Database = Cache(str(folder), timeout=BUSY_SECONDS, disk=SafeDisk, **SETTINGS)
    return cache


def newest_keys(cache: Database, prefix: str, limit: int) -> list[str]:
    """Keys that begin with the ASCII prefix, the latest stored first. Raises sqlite3.Error."""
    statement = f"SELECT key FROM Cache WHERE key >= ? AND key < ? AND {_OURS} ORDER BY rowid DESC LIMIT ?"  # noqa: S608
    return [key for (key,) in cache._sql(statement, (prefix, prefix + "\x7f", limit)).fetchall()]


def put_value(cache: Database, key: str, data: bytes, *, when: float) -> None:
    """Write a row, and look whether it is there: a trigger could undo it. Raises sqlite3.Error, Timeout."""
    with cache.transact():
        cache.delete(key)
        cache.set(key, data, tag=when)
        if not cache._sql("SELECT 1 FROM Cache WHERE key = ? AND raw = ?", (key, RAW)).fetchall():
            raise sqlite3.DatabaseError("The database did not keep a row.")


def remove_database(folder: Path) -> None:
    """Remove the cache database with its logs, for when there is no space left to empty it. Raises OSError."""
    for suffix in ("", *BESIDE):
        (folder / (DATABASE + suffix)).unlink(missing_ok=True)


def clean_database(path: Path) -> None:
    """Drop triggers, views, indexes, rows and settings that are not ours.

    Raises sqlite3.Error when it is locked (after BUSY_SECONDS) or damaged, as where a table has another form.
    """
    for place in (path, *(path.with_name(path.name + suffix) for suffix in BESIDE)):
        if os.path.lexists(place) and not stat.S_ISREG(place.lstat().st_mode):
            raise sqlite3.DatabaseError(f"{place.name} is a link, or no file: SQLite would write where it leads.")
    if not path.exists():
        return
    keep = (*SETTINGS, *_COUNTERS)
    with contextlib.closing(sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)) as db:
        db.execute("PRAGMA mmap_size = 0")
        db.execute("PRAGMA trusted_schema = 0")
        db.execute("BEGIN IMMEDIATE")
        tables = _clean_schema(db)
        if "Settings" in tables:
            db.execute(f"DELETE FROM Settings WHERE key NOT IN ({','.join('?' * len(keep))})", keep)  # noqa: S608
        if "Cache" in tables:
            db.execute(f"DELETE FROM Cache WHERE NOT ({_OURS})")  # noqa: S608
            db.execute("UPDATE Cache SET size = 0, expire_time = NULL WHERE size IS NOT 0 OR expire_time IS NOT NULL")
        if "Settings" in tables:
            db.execute("UPDATE Settings SET value = 0 WHERE key = 'size'")
        db.execute("COMMIT")


def _clean_schema(db: sqlite3.Connection) -> set[str]:
    """Drop what diskcache does not make, foreign tables apart, and return the names of its tables that are there.

    Raises sqlite3.DatabaseError where one of these is of another form.
    """
    tables, foreign = set(), []
    for kind, name, form in _schema(db):
        made = _made_by_diskcache().get(name.lower())
        if made is not None and made[0] == "table":
            if (kind, form) != made:
                raise sqlite3.DatabaseError(f"The {kind} {name} is not as it was made.")
            tables.add(name)
        elif kind != "table" and form and (kind, form) != made:
            foreign.append((kind, name))
    for kind, name in foreign:
        quoted = name.replace('"', '""')
        db.execute(f'DROP {kind} IF EXISTS "{quoted}"')
        log.warning("The store's database held a %s that is not ours; it was dropped: %.80r", kind, name)
    return tables


def _schema(db: sqlite3.Connection) -> list[tuple[str, str, str]]:
    """(kind, name, definition) of everything in a database; indexes that SQLite makes itself have no definition."""
    rows = db.execute("SELECT type, name, sql FROM sqlite_master").fetchall()
    return [(str(kind), str(name), " ".join(str(form or "").split())) for kind, name, form in rows]


@functools.cache
def _made_by_diskcache() -> dict[str, tuple[str, str]]:
    """Name in lower case → (kind, definition) of what diskcache makes in a new database."""
    with tempfile.TemporaryDirectory() as folder:
        Cache(folder, disk=SafeDisk, **SETTINGS).close()
        with contextlib.closing(sqlite3.connect(Path(folder) / DATABASE)) as db:
            return {name.lower(): (kind, form) for kind, name, form in _schema(db)}


def is_damaged(path: Path) -> bool:
    """Whether SQLite finds the cache database unreadable or inconsistent; a locked or absent one is not."""
    try:
        clean_database(path)
        with contextlib.closing(sqlite3.connect(path, timeout=BUSY_SECONDS)) as db:
            return bool(db.execute("PRAGMA quick_check(1)").fetchone() != ("ok",))
    except (OSError, sqlite3.Error) as error:
        return not blames_environment(error)


def blames_environment(error: Exception) -> bool:
    """Whether a lock, a full disk or a missing right explains the error, rather than a damaged database."""
    if isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", None)
        return isinstance(error, sqlite3.OperationalError) if code is None else code & 0xFF in _ENVIRONMENT
    return isinstance(error, OSError | Timeout)


def is_locked(error: Exception) -> bool:
    """Whether another connection was in the way. diskcache also reports a disk too full to begin on like this."""
    code = getattr(error, "sqlite_errorcode", 0)
    return isinstance(error, Timeout) or code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def sentence_for(error: Exception) -> str:
    """What a banner says about a fault of the cache. Never the exception's own text."""
    number = error.errno if isinstance(error, OSError) else None
    if number in (errno.ENOSPC, errno.EDQUOT) or "is full" in str(error):
        why = "The disk is full: free some space or clear the store"
    elif is_locked(error):
        why = "Another process is using the store, or its disk is full"
    elif isinstance(error, MemoryError):
        why = "The memory is full"
    elif number is not None:
        why = f"The store's folder cannot be used ({os.strerror(number)})"
    else:
        why = "The store's database cannot be used"
    return f"{why}. Meanwhile everything works, but new results are not kept."
