"""Values of many megabytes: each a file of its own, `<root>/files/<kind>/<key>.safetensors`. Knows only bytes.

Values of many parts are a folder each, `<root>/files/<kind>/<key>.<stage>.parts`, of which the highest stage counts.
Before `files`, files lay in `<root>/<kind>/`. They are still found, counted and removed there.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from core.disk import codec, files

FOLDER = "files"
SUFFIX = ".safetensors"
MAX_HEAD = 16 << 20
HEAD = "head"
"""The part that says of what the other parts are."""
PARTS = ".parts"
_PARTS = re.compile(r"(?P<key>[a-z0-9_]+-[0-9a-f]{64})\.(?P<stage>\d{8})\.parts")
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
        """The beginning of a file, or of the part HEAD, with all that its header holds."""
        folder, path = self.parts(kind, key), self.path(kind, key)
        path = folder / f"{HEAD}{SUFFIX}" if folder else path if path.exists() else self._old_path(kind, key)
        with path.open("rb") as file:
            size = file.read(8)
            return size + file.read(min(int.from_bytes(size, "little"), MAX_HEAD))

    def remove(self, kind: str, key: str) -> None:
        """Remove the file of a key, if there is one."""
        self.path(kind, key).unlink(missing_ok=True)
        self._old_path(kind, key).unlink(missing_ok=True)
        for folder in self._stages(kind, key):
            _remove_folder(folder)

    def write_parts(self, kind: str, key: str, stage: int, parts: Iterable[tuple[str, bytes]]) -> None:
        """Put all parts in place or none of them, one in memory at a time; then older stages go."""
        place = self._root / FOLDER / kind / f"{key}.{stage:08d}{PARTS}"
        files.private_folder(place.parent.parent)
        files.private_folder(place.parent)
        if place.exists():
            _remove_folder(place)
        with files.whole_folder(place) as folder:
            for name, data in parts:
                files.write_whole(folder / f"{name}{SUFFIX}", data)
        self.remove_parts(kind, key, but=place)

    def remove_parts(self, kind: str, key: str, *, but: Path | None = None) -> None:
        """Remove the parts of a key, all stages but one."""
        for folder in self._stages(kind, key):
            if folder != but:
                _remove_folder(folder)

    def parts_bytes(self, kind: str, key: str) -> int:
        """Bytes of all parts of a key."""
        return sum(entry.stat().st_size for folder in self._stages(kind, key) for entry in os.scandir(folder))

    def parts(self, kind: str, key: str) -> Path | None:
        """The folder of a key's parts, or None."""
        return max(self._stages(kind, key), default=None)

    def _stages(self, kind: str, key: str) -> list[Path]:
        found = (self._root / FOLDER / kind).glob(f"{key}.*{PARTS}")
        return [path for path in found if _PARTS.fullmatch(path.name) and path.is_dir() and not path.is_symlink()]

    def entries(self) -> Iterator[Entry]:
        """All files of the store, in no order. What else lies beside them is left alone."""
        for path in self._paths():
            with contextlib.suppress(FileNotFoundError):
                status = path.lstat()
                yield status.st_mtime, status.st_size, path.stem, functools.partial(path.unlink, missing_ok=True)
        for kind in _kinds(self._root / FOLDER):
            for folder in kind.glob(f"{kind.name}-*{PARTS}"):
                found = _PARTS.fullmatch(folder.name)
                if found and folder.is_dir() and not folder.is_symlink():
                    with contextlib.suppress(FileNotFoundError):
                        size = sum(entry.stat().st_size for entry in os.scandir(folder))
                        yield folder.lstat().st_mtime, size, found["key"], functools.partial(_remove_folder, folder)

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


def _remove_folder(folder: Path) -> None:
    """Take the folder out of sight, then remove it: what is left after a kill is an unfinished one."""
    if not folder.is_dir() or folder.is_symlink():
        return
    hidden = folder.parent / f".{os.urandom(8).hex()}.tmp"
    folder.rename(hidden)
    shutil.rmtree(hidden, ignore_errors=True)


def _kinds(parent: Path) -> list[Path]:
    """The folders in a folder that are named like a kind."""
    found = parent.iterdir() if parent.is_dir() else ()
    return [path for path in found if codec.KIND.fullmatch(path.name) and path.is_dir() and not path.is_symlink()]
