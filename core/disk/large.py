"""Values of many megabytes: each a file of its own, `<root>/files/<kind>/<key>.safetensors`. Knows only bytes.

Before `files` they lay in `<root>/<kind>/`. They are still found, counted and removed there.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from pathlib import Path

from core.disk import codec, files

FOLDER = "files"
SUFFIX = ".safetensors"
MAX_HEAD = 16 << 20
Entry = tuple[float, int, str, Callable[[], object]]
"""When it was stored, its size in bytes, its key, and how to remove it."""


class LargeFiles:
    """The files of a store. Every method raises OSError."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def path(self, kind: str, key: str) -> Path:
        """Where the value of a key is written."""
        return self._root / FOLDER / kind / f"{key}{SUFFIX}"

    def write(self, kind: str, key: str, data: bytes) -> None:
        """Put the bytes in place, whole or not at all."""
        path = self.path(kind, key)
        files.private_folder(path.parent.parent)
        files.private_folder(path.parent)
        files.write_whole(path, data)
        self._old_path(kind, key).unlink(missing_ok=True)

    def read(self, kind: str, key: str) -> bytes | None:
        """The bytes of a key, or None."""
        for path in (self.path(kind, key), self._old_path(kind, key)):
            with contextlib.suppress(FileNotFoundError):
                return files.read_regular(path)
        return None

    def head(self, kind: str, key: str) -> bytes:
        """The beginning of a file, with all that its header holds."""
        path = self.path(kind, key)
        with (path if path.exists() else self._old_path(kind, key)).open("rb") as file:
            size = file.read(8)
            return size + file.read(min(int.from_bytes(size, "little"), MAX_HEAD))

    def remove(self, kind: str, key: str) -> None:
        """Remove the file of a key, if there is one."""
        self.path(kind, key).unlink(missing_ok=True)
        self._old_path(kind, key).unlink(missing_ok=True)

    def entries(self) -> Iterator[Entry]:
        """All files of the store, in no order. What else lies beside them is left alone."""
        for path in self._paths():
            with contextlib.suppress(FileNotFoundError):
                status = path.lstat()
                yield status.st_mtime, status.st_size, path.stem, functools.partial(path.unlink, missing_ok=True)

    def remove_unfinished(self) -> None:
        """Remove what a killed process left of a file."""
        for folder in {path.parent for path in self._paths()} | set(_kinds(self._root / FOLDER)):
            files.remove_unfinished(folder)

    def _old_path(self, kind: str, key: str) -> Path:
        return self._root / kind / f"{key}{SUFFIX}"

    def _paths(self) -> Iterator[Path]:
        """The files, known by names that begin with their folder's: nothing of the user's is called so."""
        for parent in (self._root / FOLDER, self._root):
            for folder in _kinds(parent):
                yield from folder.glob(f"{folder.name}-{'[0-9a-f]' * 64}{SUFFIX}")


def _kinds(parent: Path) -> list[Path]:
    """The folders in a folder that are named like a kind."""
    found = parent.iterdir() if parent.is_dir() else ()
    return [path for path in found if codec.KIND.fullmatch(path.name) and path.is_dir() and not path.is_symlink()]
