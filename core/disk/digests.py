"""The sha256 of large files, computed once and remembered while a file is the same. Knows no models.

A file is taken for the same while its size, inode and both its times are; what is remembered lies in the cache folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import re
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from core.disk import files
from core.settings import cache_folder

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

Tell = Callable[[str, float], None]
"""Takes how much has been read, in words and as a share."""

MEMORY = "digests.json"
MAX_MEMORY_BYTES, MAX_REMEMBERED = 8 << 20, 20_000
SETTLED_SECONDS = 0.05
"""A file that changed within the clock's tick keeps its times: the digest of a fresh one is not remembered."""
_SHA256 = re.compile(r"[0-9a-f]{64}")

Stamp = tuple[int, int, int, int, int]
_known: dict[str, tuple[Stamp, str]] = {}
_lock = threading.Lock()


def digests_of(paths: Sequence[Path], *, name: str, tell: Tell) -> list[str]:
    """(n,) sha256 of each file in hex; `name` is what the files are of. Raises OSError."""
    with _lock:
        _remember(_read_memory())
    stamps = [_stamp(path) for path in paths]
    meter = _Meter(sum(s[0] for path, s in zip(paths, stamps, strict=True) if not _recalled(path, s)), name, tell)
    found, is_new = [], False
    for path, stamp in zip(paths, stamps, strict=True):
        digest = _recalled(path, stamp)
        if digest is None:
            with _Metered(path, meter) as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
            if _stamp(path) == stamp and time.time() - max(stamp[2:4]) / 1e9 > SETTLED_SECONDS:
                _remember({str(path): (stamp, digest)})
                is_new = True
        found.append(digest)
    if is_new:
        _write_memory()
    return found


def _stamp(path: Path) -> Stamp:
    """Size, inode, times of content and of the file's entry, device."""
    status = path.stat()
    return status.st_size, status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_dev


def _recalled(path: Path, stamp: Stamp) -> str | None:
    known = _known.get(str(path))
    return known[1] if known is not None and known[0] == stamp else None


def _remember(found: dict[str, tuple[Stamp, str]]) -> None:
    for path, entry in found.items():
        _known.setdefault(path, entry)
        if entry[0] != _known[path][0]:
            _known[path] = entry
    while len(_known) > MAX_REMEMBERED:
        del _known[next(iter(_known))]


def _read_memory() -> dict[str, tuple[Stamp, str]]:
    """What is remembered on disk and not yet here; a damaged memory is none."""
    found: dict[str, tuple[Stamp, str]] = {}
    with contextlib.suppress(OSError, ValueError, TypeError, RecursionError):
        rows = json.loads(files.read_regular(cache_folder() / MEMORY, limit=MAX_MEMORY_BYTES))
        for path, (stamp, digest) in rows.items() if isinstance(rows, dict) else ():
            if path not in _known and len(stamp) == 5 and _SHA256.fullmatch(str(digest)):
                found[str(path)] = ((*map(int, stamp),), str(digest))  # type: ignore[assignment]
    return found


def _write_memory() -> None:
    """Keep what is known of files that are still there; what the disk refuses is computed again another time."""
    with _lock, contextlib.suppress(OSError):
        rows = {path: entry for path, entry in _known.items() if os.path.exists(path)}
        files.write_whole(files.private_folder(cache_folder()) / MEMORY, json.dumps(rows).encode())


class _Meter:
    """Tells how much of some files has been read."""

    def __init__(self, total: int, name: str, tell: Tell) -> None:
        self._total, self._name, self._tell, self._done = max(total, 1), name, tell, 0

    def add(self, n_bytes: int) -> None:
        self._done += n_bytes
        words = f"{self._done / 1e9:.1f} of {self._total / 1e9:.1f} GB"
        self._tell(f"Checking the files of {self._name}: {words}", min(self._done / self._total, 1.0))


class _Metered(io.FileIO):
    """A file whose reading is told."""

    def __init__(self, path: Path, meter: _Meter) -> None:
        super().__init__(path, "rb")
        self._meter = meter

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        n_bytes = super().readinto(buffer)
        self._meter.add(n_bytes)
        return n_bytes
