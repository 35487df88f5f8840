"""The stored values of a cache as bytes with their keys, for carrying them elsewhere. Knows no kind of value.

Works beside a `Store` that is open on the same folder: another connection, another thread or process.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from core.disk import codec, database, files
from core.disk.guarded import VALUES
from core.disk.large import PARTS, SUFFIX, Entry, LargeFiles
from core.disk.parts import Parts

T = TypeVar("T")


class Carried:
    """Values and large files under `root`. Raises OSError and what the database raises; close it in any case."""

    def __init__(self, root: Path) -> None:
        files.private_folder(root)
        self._values = database.open_cache(root / VALUES)
        self._files = LargeFiles(root)

    def close(self) -> None:
        """Give the connection back."""
        self._values.close()

    def value_keys(self) -> list[str]:
        """The keys of all values, oldest first."""
        return [key for key in iter(self._values) if key]

    def value(self, key: str) -> bytes | None:
        """The bytes of a value, or None where it is not there or damaged."""
        data, _ = self._values.get(key, tag=True)
        return data if data is not None and codec.belongs_to(data, key) else None

    def value_chunks(self, key: str) -> Iterator[bytes]:
        """The bytes of a value. Raises OSError where it is not there any more."""
        yield _there(self.value(key), key)

    def put_values(self, values: Iterable[tuple[str, bytes, float]]) -> list[str]:
        """Keep values, with when they were stored, that are not there yet; the keys of those that are new."""
        new = []
        with self._values.transact():
            for key, data, when in values:
                if self.value(key) is None:
                    database.put_value(self._values, key, data, when=when)
                    new.append(key)
        return new

    def file_keys(self) -> list[str]:
        """The keys of all large values, those of many parts too."""
        return sorted(self.file_sizes())

    def part_names(self, key: str) -> list[str]:
        """The parts of a large value as "<key>.<stage>/<name>"; [] for one that is a single file."""
        folder = self._files.parts(kind_of(key), key)
        stage = folder.name.removesuffix(PARTS) if folder else ""
        return sorted(f"{stage}/{path.stem}" for path in folder.glob(f"*{SUFFIX}")) if folder else []

    def part_chunks(self, name: str) -> Iterator[bytes]:
        """The bytes of a part. Raises OSError where it is not there any more."""
        stage, _, part = name.partition("/")
        key = stage.partition(".")[0]
        folder = self._files.parts(kind_of(key), key)
        yield _there(Parts(folder=folder, key=key).read(part) if folder else None, name)

    def put_parts(self, stage: str, parts: Iterable[tuple[str, bytes]]) -> bool:
        """Keep a value of many parts, named "<key>.<stage>", as (name, bytes); False where there is one of that key."""
        key, _, number = stage.partition(".")
        if key in self.file_sizes():
            return False
        self._files.write_parts(kind_of(key), key, int(number), parts)
        return True

    def file_chunks(self, key: str) -> Iterator[bytes]:
        """The bytes of a large file. Raises OSError where it is not there any more."""
        yield _there(self._files.read(kind_of(key), key), key)

    def file_sizes(self) -> dict[str, int]:
        """Bytes of each large value by its key."""
        return {key: size for _, size, key, _ in self._files.entries()}

    def file_mentions(self, key: str, words: Iterable[str]) -> bool:
        """Whether the fields of a large file hold one of the words: a fingerprint or a digest."""
        fields = self._files.head(kind_of(key), key)
        return any(word.encode() in fields for word in words if word)

    def put_file(self, key: str, chunks: Iterable[bytes]) -> bool:
        """Keep a large file, piece by piece; False where there is one of that key."""
        if key in self.file_sizes():
            return False
        path = self._files.path(kind_of(key), key)
        files.private_folder(path.parent.parent)
        files.private_folder(path.parent)
        files.write_whole_from(path, chunks)
        return True


def _there(data: bytes | None, key: str) -> bytes:
    if data is None:
        raise OSError(f"The stored value {key} is gone.")
    return data


def kind_of(key: str) -> str:
    """The kind of value that a key is of."""
    return key.rpartition("-")[0]


def fields_of_files(root: Path, kind: str, cls: type[T], name: str) -> list[T]:
    """A field of each large file of a kind, the latest first, without reading its arrays; damaged ones are left out."""
    large, found = LargeFiles(root), []
    with contextlib.suppress(OSError):
        for key in (key for _, _, key, _ in sorted(large.entries(), key=_latest) if kind_of(key) == kind):
            with contextlib.suppress(OSError, codec.CorruptValue):
                found.append(codec.peek(cls, large.head(kind, key), name))
    return found


def _latest(entry: Entry) -> float:
    return -entry[0]


@contextlib.contextmanager
def carried(root: Path) -> Iterator[Carried]:
    """The stored values of a cache. Raises OSError, and what the database raises."""
    found = Carried(root)
    try:
        yield found
    finally:
        found.close()
