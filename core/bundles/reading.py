"""Opening a bundle: everything in it is read once, piece by piece, and held against its manifest."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import BinaryIO

from core.bundles.layout import BadBundle, Entry, check_layout, chunks_of, scan
from core.bundles.manifest import MANIFEST, MAX_MANIFEST_BYTES, Item, Manifest, read_manifest

MAX_VALUE_BYTES = 100 << 20
"""Of everything that is read into memory as a whole; extraction sums are copied piece by piece."""


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """A bundle that was found whole; its bytes stay in the file that it was opened from, and are checked again."""

    manifest: Manifest
    digest: str
    """sha256 of the manifest, which has the sha256 of everything else."""
    _file: BinaryIO
    _entries: dict[str, Entry]

    def chunks(self, item: Item) -> Iterator[bytes]:
        """The bytes of an item. Raises BadBundle at the end where they are not those of the manifest."""
        total = hashlib.sha256()
        for chunk in chunks_of(self._file, self._entries[item.name]):
            total.update(chunk)
            yield chunk
        if total.hexdigest() != item.sha256:
            raise BadBundle(f"{item.name} is not what the manifest says: it was damaged or changed.")

    def over(self, file: BinaryIO) -> Bundle:
        """The same bundle, whose bytes are read from a copy of its file from now on."""
        return replace(self, _file=file)

    def read(self, item: Item) -> bytes:
        """All bytes of an item. Raises BadBundle as `chunks`."""
        return b"".join(self.chunks(item))


def open_bundle(file: BinaryIO) -> Bundle:
    """The bundle in a file, every byte of which was looked at. Raises BadBundle. Nothing is unpacked or run."""
    entries = scan(file)
    by_name = {entry.name: entry for entry in entries}
    listing = by_name.get(MANIFEST)
    if listing is None:
        raise BadBundle("it has no manifest.", "Choose a file that `retrace bundle` made.")
    if listing.size > MAX_MANIFEST_BYTES:
        raise BadBundle("its manifest is too large.")
    data = b"".join(chunks_of(file, listing))
    bundle = Bundle(manifest=read_manifest(data), digest=hashlib.sha256(data).hexdigest(), _file=file, _entries=by_name)
    _check_listed(bundle.manifest, by_name)
    for item in bundle.manifest.items:
        for _ in bundle.chunks(item):
            pass
    check_layout(file, entries)
    return bundle


def _check_listed(manifest: Manifest, entries: dict[str, Entry]) -> None:
    names = {item.name for item in manifest.items}
    if len(names) != len(manifest.items):
        raise BadBundle("its manifest lists a file twice.")
    foreign = sorted(entries.keys() - names - {MANIFEST})
    if foreign:
        raise BadBundle(f"{foreign[0]} is not in its manifest.")
    for item in manifest.items:
        if item.name not in entries:
            raise BadBundle(f"{item.name} is in its manifest and is not there.")
        if item.place != "file" and item.size > MAX_VALUE_BYTES:
            raise BadBundle(f"{item.name} has {item.size >> 20} MB; only extraction sums may have so much.")
        if entries[item.name].size != item.size:
            raise BadBundle(f"{item.name} is not as large as the manifest says: it was damaged or changed.")
