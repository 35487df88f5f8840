"""Who is at work on what, among the processes on one folder: a file lock each, which ends with its process."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from core.disk import files

SLOTS = 256
"""Lock files. Two keys may share one: then the second waits as if it were the first, and is made after it."""


class Leases:
    """Leases under a folder, which is made when the first is asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextlib.contextmanager
    def taken(self, key: str) -> Iterator[bool]:
        """Whether the lease of `key` is ours for as long as the block runs; False while another holds it.

        Where the disk refuses the lock file, everybody works alone: True.
        """
        try:
            fd = self._open(key)
        except OSError:
            yield True
            return
        try:
            yield files.try_lock(fd)
        finally:
            os.close(fd)

    def _open(self, key: str) -> int:
        files.private_folder(self._folder)
        slot = int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "big") % SLOTS
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.open(self._folder / f"{slot:02x}.lock", flags, 0o600)
