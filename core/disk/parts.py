"""A value of many parts on disk, each a file that is read when it is asked for."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from core.disk import codec, files
from core.disk.large import HEAD, SUFFIX

__all__ = ["HEAD", "Parts"]

T = TypeVar("T")

MAX_PART_BYTES = 4 << 30

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Parts:
    """A value of many parts on disk."""

    folder: Path
    key: str

    def load(self, cls: type[T], name: str) -> T | None:
        """The part of that name; None where it is not there any more, or damaged."""
        data = self.read(name)
        try:
            return None if data is None else codec.load(cls, data, key=f"{self.key}/{name}")
        except (MemoryError, codec.CorruptValue) as error:
            log.warning("A part of a value of the cache cannot be used: %s", type(error).__name__)
            return None

    def read(self, name: str) -> bytes | None:
        """The bytes of a part, or None."""
        try:
            return files.read_regular(self.folder / f"{name}{SUFFIX}", limit=MAX_PART_BYTES)
        except (OSError, MemoryError):
            return None
