"""Writing a bundle: whole or not at all, its manifest last."""

from __future__ import annotations

import hashlib
import platform
import time
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import BinaryIO

from core.bundles.contents import Contents, Source
from core.bundles.layout import Chunks, write
from core.bundles.manifest import MANIFEST, Item, Manifest, manifest_json, name_of
from core.disk import files
from core.errors import BadInput, UserFacingError

SUFFIX = ".retrace"
_PACKAGES = ("torch", "transformers", "numpy", "safetensors")
Tell = Callable[[int, int], None]
"""Told how many of how many files are written."""


def write_bundle(path: Path, contents: Contents, *, tell: Tell = lambda done, total: None) -> Manifest:
    """Write the bundle and return what it holds. Raises BadInput beyond its bounds, UserFacingError from the disk."""
    if not contents.sources:
        raise BadInput("There is nothing to put into a bundle.", "Measure, extract or run something first.")
    try:
        with files.new_whole(path) as file:
            return write_into(file, contents, tell=tell)
    except OSError as error:
        raise UserFacingError(
            f"The bundle {path.name!r} could not be written: {files.refusal_of(error)}.",
            "Free some space, or write it to another folder.",
        ) from error


def write_into(file: BinaryIO, contents: Contents, *, tell: Tell = lambda done, total: None) -> Manifest:
    """Write the bundle into an open file, for example one in memory. Raises BadInput, OSError."""
    items: list[Item] = []
    made: list[Manifest] = []

    def sources() -> Iterator[tuple[str, Chunks]]:
        for done, source in enumerate(contents.sources):
            tell(done, len(contents.sources))
            yield name_of(source.place, source.key), _counted(source, items)
        made.append(_manifest(contents, items))
        yield MANIFEST, lambda: (manifest_json(made[0]),)

    write(file, sources())
    return made[0]


def _counted(source: Source, items: list[Item]) -> Chunks:
    """The chunks of a source, whose line of the manifest is added when they were read."""

    def chunks() -> Iterable[bytes]:
        total, size = hashlib.sha256(), 0
        for chunk in source.chunks():
            total.update(chunk)
            size += len(chunk)
            yield chunk
        items.append(Item(place=source.place, key=source.key, size=size, sha256=total.hexdigest()))

    return chunks


def _manifest(contents: Contents, items: list[Item]) -> Manifest:
    return Manifest(
        kind=contents.kind,
        title=contents.title,
        made_at=round(time.time(), 3),
        versions={"python": platform.python_version(), **_versions()},
        plans=contents.plans,
        items=tuple(items),
    )


def _versions() -> dict[str, str]:
    """Of the packages that results depend on, those that are installed; none is imported."""
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
