"""Whole files, or none: what is written under the cache folder survives a crash, and nothing else is read by mistake.

Knows no value types and no database.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import shutil
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

MAX_READ_BYTES = 1 << 29
_sealed: set[Path] = set()
UNFINISHED = re.compile(r"\.[0-9a-f]{16}\.tmp")


def private_folder(path: Path) -> Path:
    """The folder, made if missing, closed to other users. Raises OSError."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if stat.S_IMODE(path.stat().st_mode) != 0o700:
        path.chmod(0o700)
    return path


def seal(root: Path) -> None:
    """From now on this process writes no file below the folder: it holds somebody else's results."""
    _sealed.add(root.absolute())


def _check_sealed(folder: Path) -> None:
    """Raise OSError where the folder lies in a sealed one."""
    if _sealed and not _sealed.isdisjoint((folder, *folder.parents)):
        raise OSError(errno.EROFS, "it belongs to an opened bundle, which is read-only: merge the bundle first")


READ_AGAIN = "Check the disk, the memory and the rights of the cache folder, then try again."


def refusal_of(error: OSError | MemoryError) -> str:
    """Why a file cannot be read now, as the end of a sentence. It says nothing of the file's content."""
    if isinstance(error, MemoryError):
        return "the memory is full"
    return error.strerror or "it is not a regular file, or too large"


def read_regular(path: Path, *, limit: int = MAX_READ_BYTES) -> bytes:
    """The bytes of a regular file. Raises OSError for a link, a device, or more than `limit` bytes."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(fd, "rb") as file:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or status.st_size > limit:
            raise OSError("It is not a regular file, or too large.")
        return file.read(limit)


def write_whole(path: Path, data: bytes) -> None:
    """Put `data` at `path`: after a crash the old file is there or the new one. Raises OSError, leaving no part."""
    write_whole_from(path, (data,))


def write_whole_from(path: Path, chunks: Iterable[bytes]) -> None:
    """As `write_whole`, piece by piece; what `chunks` raises leaves no part either."""
    with new_whole(path) as file:
        file.writelines(chunks)


@contextlib.contextmanager
def new_whole(path: Path) -> Iterator[BinaryIO]:
    """A file to fill; it appears at `path` when the block ends, and nothing is left when the block raises.

    Raises OSError.
    """
    temporary, fd = _new_locked(path.parent)
    try:
        with os.fdopen(fd, "wb") as file:
            yield file
            file.flush()
            os.fsync(fd)
            os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    sync_folder(path.parent)


@contextlib.contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A new folder to fill; it appears at `path` when the block ends, and nothing is left when the block raises.

    Raises OSError, also where `path` is already there. The caller syncs the files that it writes.
    """
    _check_sealed(path.parent)
    private_folder(path.parent)
    temporary = path.parent / f".{os.urandom(8).hex()}.tmp"
    temporary.mkdir(mode=0o700)
    fd = os.open(temporary, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if not try_lock(fd):
            raise OSError("The folder does not support file locks.")
        yield temporary
        os.rename(temporary, path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    finally:
        os.close(fd)
    sync_folder(path.parent)


@contextlib.contextmanager
def locked_folder(path: Path) -> Iterator[None]:
    """Hold the folder's lock, waiting for other threads and processes that hold it. Raises OSError."""
    _check_sealed(path)
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def bytes_below(folder: Path) -> int:
    """Bytes of all regular files in a folder and its folders; what cannot be looked at is left out."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                status = os.lstat(os.path.join(place, name))
                total += status.st_size if stat.S_ISREG(status.st_mode) else 0
    return total


def free_bytes(folder: Path) -> int:
    """Bytes that are free on the disk of a folder, which need not be there yet; 0 where that cannot be told."""
    try:
        return shutil.disk_usage(next(path for path in (folder, *folder.parents) if path.exists())).free
    except OSError:
        return 0


def sync_folder(folder: Path) -> None:
    """Make the folder's names survive a crash. Raises OSError."""
    fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def try_lock(fd: int, *, shared: bool = False) -> bool:
    """Take the advisory lock of an open file if nobody holds it."""
    try:
        fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def remove_unfinished(folder: Path) -> None:
    """Remove what `write_whole` and `whole_folder` left when their process was killed; what is being written stays."""
    with contextlib.suppress(OSError):
        for entry in list(os.scandir(folder)):
            if not UNFINISHED.fullmatch(entry.name):
                continue
            with contextlib.suppress(OSError):
                if entry.is_file(follow_symlinks=False) or entry.is_dir(follow_symlinks=False):
                    remove_if_unlocked(Path(entry.path))


def remove_if_unlocked(path: Path) -> bool:
    """Remove a file or folder unless a process holds its lock. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not try_lock(fd):
            return False
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            shutil.rmtree(path)
        else:
            path.unlink()
        return True
    finally:
        os.close(fd)


def _new_locked(folder: Path) -> tuple[Path, int]:
    """A new temporary file of this process; while it is locked, `remove_unfinished` leaves it."""
    _check_sealed(folder)
    for _ in range(10):
        path = folder / f".{os.urandom(8).hex()}.tmp"
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        # Another process may have removed it as unfinished between these two calls.
        if try_lock(fd) and os.fstat(fd).st_nlink:
            return path, fd
        os.close(fd)
        path.unlink(missing_ok=True)
    raise OSError("The folder does not support file locks.")
