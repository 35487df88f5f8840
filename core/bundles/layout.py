"""The bytes of a bundle: a zip of stored files in one layout, so that every byte of the file is accounted for.

A reader of zip files is made to be forgiving; this one is not. It reads the directory at the end with bounds on
everything, says what is wrong with it, and then holds the whole structure against the one that `write` would give.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from core.errors import BadInput

MAX_ENTRIES = 10_000
MAX_ENTRY_BYTES = 1 << 29
MAX_BYTES = (1 << 32) - 2
"""Bounds of a bundle: files in it, bytes of one, bytes in all. Beyond the last a zip needs other structures."""
NAME = re.compile(r"[A-Za-z0-9._-]{1,80}")
CHUNK = 1 << 20

_LOCAL, _CENTRAL, _END = struct.Struct("<4s5H3L2H"), struct.Struct("<4s6H3L5H2L"), struct.Struct("<4s4H2LH")
_LOCAL_MARK, _CENTRAL_MARK, _END_MARK = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
_VERSION, _DATE = 20, 0x21
"""Zip 2.0; 1 January 1980, so that equal contents make equal files."""
_MAX_DIRECTORY = MAX_ENTRIES * 512
_LINK, _KIND_BITS = 0o120000, 0o170000
_AGAIN = "Ask for the file again, or make it again with `retrace bundle`."


class BadBundle(BadInput):
    """A file that is no bundle, or not one to be trusted."""

    def __init__(self, problem: str, remedy: str = _AGAIN) -> None:
        super().__init__(f"This bundle is refused: {problem}", remedy)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A file of the bundle: its name, where its bytes begin, how many they are, and their CRC-32."""

    name: str
    start: int
    size: int
    crc: int


Chunks = Callable[[], Iterable[bytes]]


def write(file: BinaryIO, sources: Iterable[tuple[str, Chunks]]) -> None:
    """Write the files, in their order, with the directory at the end. BadInput beyond the bounds of a bundle."""
    entries: list[Entry] = []
    at = 0
    for name, chunks in sources:
        assert NAME.fullmatch(name), name
        head = _LOCAL.size + len(name)
        file.seek(at + head)
        size, crc = 0, 0
        for chunk in chunks():
            file.write(chunk)
            size, crc = size + len(chunk), zlib.crc32(chunk, crc)
        entry = Entry(name=name, start=at + head, size=size, crc=crc)
        file.seek(at)
        file.write(_local(entry))
        entries.append(entry)
        at += head + size
        _check_room(entry, len(entries), at)
    file.seek(at)
    file.write(_directory(entries))


def _check_room(entry: Entry, n: int, at: int) -> None:
    if n > MAX_ENTRIES or entry.size > MAX_ENTRY_BYTES or at + _MAX_DIRECTORY > MAX_BYTES:
        raise BadInput(
            f"This is too much for one bundle, which may hold {MAX_ENTRIES:,} files of {MAX_ENTRY_BYTES >> 20} MB and "
            f"{MAX_BYTES / 1e9:.1f} GB in all.",
            "Bundle single experiments, or leave the extraction sums out.",
        )


def scan(file: BinaryIO) -> tuple[Entry, ...]:
    """The files in a bundle. Raises BadBundle for what no bundle holds; the layout itself is `check_layout`'s."""
    size = file.seek(0, 2)
    if size > MAX_BYTES:
        raise BadBundle(f"it has {size / 1e9:.1f} GB; a bundle has at most {MAX_BYTES / 1e9:.1f} GB.")
    count, length, start = _end_of(file, size)
    file.seek(start)
    entries = tuple(_listed(file.read(length), count, start))
    _check_sizes(entries, size)
    for entry in entries:
        _check_content(file, entry)
    return entries


def check_layout(file: BinaryIO, entries: Sequence[Entry]) -> None:
    """Raise BadBundle unless the file is, outside the data of its entries, what `write` gives for them."""
    at = 0
    for entry in entries:
        head = _local(entry)
        file.seek(at)
        if entry.start != at + len(head) or file.read(len(head)) != head:
            raise _changed()
        at = entry.start + entry.size
    file.seek(at)
    rest = _directory(entries)
    if file.read(len(rest) + 1) != rest:
        raise _changed()


def chunks_of(file: BinaryIO, entry: Entry) -> Iterator[bytes]:
    """The bytes of an entry, piece by piece. Raises BadBundle at the end where they are not those that were written."""
    file.seek(entry.start)
    left, crc = entry.size, 0
    while left:
        chunk = file.read(min(CHUNK, left))
        if not chunk:
            raise BadBundle("it is cut off.")
        left, crc = left - len(chunk), zlib.crc32(chunk, crc)
        yield chunk
    if crc != entry.crc:
        raise BadBundle(f"{entry.name} is damaged.")


def _changed() -> BadBundle:
    return BadBundle("it is not laid out as Retrace writes it: it was changed, or another program packed it.")


def _end_of(file: BinaryIO, size: int) -> tuple[int, int, int]:
    """(number of entries, bytes of the directory, where it starts)."""
    file.seek(0)
    if file.read(4) not in (_LOCAL_MARK, _END_MARK):
        raise BadBundle("it is no bundle: a bundle is a .retrace file.", "Choose a file that `retrace bundle` made.")
    file.seek(max(0, size - _END.size))
    data = file.read(_END.size)
    mark, disk, other, here, count, length, start, comment = _END.unpack(data.ljust(_END.size, b"\0"))
    if mark != _END_MARK or comment:
        raise BadBundle("it is cut off, or something was added at its end.")
    if count > MAX_ENTRIES:
        raise BadBundle(f"it holds {count:,} files or more; a bundle holds at most {MAX_ENTRIES:,}.")
    if (disk, other, here) != (0, 0, count) or length > _MAX_DIRECTORY or start + length != size - _END.size:
        raise BadBundle("its directory does not fit its size: it is cut off, or was changed.")
    return count, length, start


def _listed(data: bytes, count: int, limit: int) -> Iterator[Entry]:
    """The entries that the directory lists, each with where its data must begin: all lie before `limit`."""
    at, seen = 0, set[str]()
    for _ in range(count):
        if len(data) < at + _CENTRAL.size or data[at : at + 4] != _CENTRAL_MARK:
            raise BadBundle("its directory is damaged.")
        fields = _CENTRAL.unpack_from(data, at)
        method, crc, packed, size, n_name, n_extra, n_comment = (fields[4], *fields[7:13])
        attributes, offset = fields[15], fields[16]
        raw = data[at + _CENTRAL.size : at + _CENTRAL.size + n_name]
        name = _checked_name(raw)
        if attributes >> 16 & _KIND_BITS == _LINK:
            raise BadBundle(f"{name} is a link.")
        if method or packed != size:
            raise BadBundle(f"{name} is compressed; a bundle is not, so that none grows when it is read.")
        if name in seen:
            raise BadBundle(f"it holds two files {name}.")
        seen.add(name)
        start = offset + _LOCAL.size + len(raw)
        if start + size > limit:
            raise BadBundle(f"{name} reaches beyond its place.")
        yield Entry(name=name, start=start, size=size, crc=crc)
        at += _CENTRAL.size + n_name + n_extra + n_comment
    if at != len(data):
        raise BadBundle("its directory is damaged.")


def _checked_name(raw: bytes) -> str:
    """The name of an entry. Raises BadBundle for anything but a plain name."""
    name = raw.decode("utf-8", "replace")
    shown = "".join(c if c.isprintable() else "�" for c in name)[:80]
    if "\\" in name:
        raise BadBundle(f"a name in it has a backslash, {shown!r}.")
    if name.startswith("/") or re.match(r"[A-Za-z]:", name):
        raise BadBundle(f"a name in it is an absolute path, {shown!r}.")
    if ".." in name.split("/"):
        raise BadBundle(f"a name in it leads out of its folder, {shown!r}.")
    if not NAME.fullmatch(name) or not name.strip("."):
        raise BadBundle(f"a name in it is no plain name, {shown!r}.")
    return name


def _check_sizes(entries: Sequence[Entry], size: int) -> None:
    large = next((entry for entry in entries if entry.size > MAX_ENTRY_BYTES), None)
    if large is not None:
        raise BadBundle(f"{large.name} has {large.size >> 20} MB; a file in it has at most {MAX_ENTRY_BYTES >> 20} MB.")
    if sum(entry.size for entry in entries) > size:
        raise BadBundle("its files lie over each other, and are more than it has bytes.")


def _check_content(file: BinaryIO, entry: Entry) -> None:
    """Raise BadBundle for another archive or a database, which no bundle holds."""
    file.seek(entry.start)
    begins = file.read(min(16, entry.size))
    if begins[:4] in (_LOCAL_MARK, _END_MARK) or entry.name.endswith((".zip", ".retrace")):
        raise BadBundle(f"{entry.name} is an archive in it.")
    if begins.startswith(b"SQLite format 3") or entry.name.endswith((".db", ".db-wal", ".db-shm")):
        raise BadBundle(f"{entry.name} is a database, which a bundle never holds.")


def _local(entry: Entry) -> bytes:
    name = entry.name.encode()
    fields = (_VERSION, 0, 0, 0, _DATE, entry.crc, entry.size, entry.size, len(name), 0)
    return _LOCAL.pack(_LOCAL_MARK, *fields) + name


def _directory(entries: Sequence[Entry]) -> bytes:
    rows = []
    for entry in entries:
        name = entry.name.encode()
        offset = entry.start - _LOCAL.size - len(name)
        head = (_VERSION, _VERSION, 0, 0, 0, _DATE, entry.crc, entry.size, entry.size, len(name), 0, 0, 0, 0, 0, offset)
        rows.append(_CENTRAL.pack(_CENTRAL_MARK, *head) + name)
    length, start = sum(map(len, rows)), entries[-1].start + entries[-1].size if entries else 0
    end = _END.pack(_END_MARK, 0, 0, len(entries), len(entries), length, start, 0)
    return b"".join(rows) + end
