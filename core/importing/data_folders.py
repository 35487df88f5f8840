"""Data files on this machine that may be read by path: those below the folders that RETRACE_DATA_ROOTS names."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

from core.errors import BadInput
from core.settings import DATA_ROOTS, data_roots

MAX_FILE_BYTES = 500 * 10**6
MAX_LISTED = 500


def list_data_files(suffixes: tuple[str, ...]) -> tuple[str, ...]:
    """Paths of the files with these endings below the roots, at most MAX_LISTED, those of one folder together."""
    found: list[str] = []
    for root in data_roots():
        for folder, folders, names in os.walk(root):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            found += [str(Path(folder) / name) for name in sorted(names) if name.endswith(suffixes)]
            if len(found) >= MAX_LISTED:
                return tuple(found[:MAX_LISTED])
    return tuple(found)


def open_data_file(path: str) -> BinaryIO:
    """A regular file below one of the roots, open for reading. Raises BadInput for any other path and a large file."""
    roots = data_roots()
    real = _resolved(path, roots)
    if real is None or not any(real.is_relative_to(root) for root in roots):
        raise BadInput(
            f"The file {path!r} is not below a folder that data may be read from.",
            f"Set the environment variable {DATA_ROOTS} to the folder that holds it and start again, or upload it.",
        )
    try:
        fd = os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise BadInput(
            f"The file {path!r} cannot be opened: {error.strerror}.", "Check its name and its rights."
        ) from error
    file = os.fdopen(fd, "rb")
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_FILE_BYTES:
        file.close()
        raise BadInput(
            f"{path!r} is not a regular file of at most {MAX_FILE_BYTES // 10**6} MB.",
            "Choose another file, or split this one.",
        )
    return file


def _resolved(path: str, roots: tuple[Path, ...]) -> Path | None:
    """The file that the text means, links resolved; any text may come, so none raises."""
    try:
        given = Path(path.strip()).expanduser()
        candidates = [given] if given.is_absolute() else [root / given for root in roots]
        existing = [candidate for candidate in candidates if candidate.is_file()]
        return Path(os.path.realpath(existing[0])) if existing else None
    except (OSError, ValueError, RuntimeError):
        return None
