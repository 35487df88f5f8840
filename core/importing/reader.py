"""Records out of a file of any size, one at a time: JSON Lines, a JSON array or objects, or plain text.

What cannot be read is passed on as a fault with its place, and the rest still comes. Knows nothing of traces.
"""

from __future__ import annotations

import codecs
import io
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from json import JSONDecodeError
from typing import BinaryIO, Literal, NamedTuple

from core.importing.file_kinds import refuse_what_is_no_text
from core.text.json_slices import DOCUMENTS, ITEMS, WHOLE, Slice, Slicer, as_slice, is_simple, parsed

Layout = Literal["JSON Lines", "JSON array", "JSON object", "plain text"]
MAX_RECORD_BYTES = 32 << 20
MAX_TEXT_BYTES = 8 << 20
"""The longest plain text between two separators."""
HEAD_BYTES = 1 << 20
SEPARATOR = re.compile(rb"\s*={5,}\s*")
"""A line that parts one trace from the next in a plain text."""
_CONTAINERS = frozenset(
    ("responses", "traces", "records", "data", "items", "examples", "rows", "results", "samples", "entries")
)
_QUESTIONS = frozenset(("question", "problem", "prompt", "query", "messages", "choices", "output", "text"))
"""Names whose object is one record, whatever lists it holds."""
_CHUNK = 1 << 16
_BOM = codecs.BOM_UTF8
_PIECE = 1 << 18
_FEED = 1 << 13
"""Bytes that are looked through in one step."""
_MAX_LINES = 50


@dataclass(frozen=True, kw_only=True)
class Found:
    """A record, or the reason why there is none at this place; `number` counts from 1 (lines in JSON Lines)."""

    number: int
    value: object = None
    fault: str = ""
    replaced: bool = False
    """Whether bytes that are not UTF-8 were read as � in it."""
    n_left_out: int = 0
    """Bytes of the longest text that was left out of it, for its length."""
    done: int
    """Bytes of the file read so far."""


@dataclass(frozen=True)
class Reached:
    """No record yet, but so many bytes of the file are read."""

    done: int


class _Line(NamedTuple):
    """A line, or a piece of a long one."""

    number: int
    data: bytes
    is_first: bool
    is_last: bool
    done: int


def find_layout(file: BinaryIO) -> Layout:
    """How the file is laid out, from its beginning; leaves it at its start. Raises BadInput for what is no text."""
    head = file.read(HEAD_BYTES)
    file.seek(0)
    refuse_what_is_no_text(head)
    begins = head.removeprefix(_BOM).lstrip()
    lines = [line.strip() for line in itertools.islice(_split(begins), _MAX_LINES)]
    filled = [line for line in lines if line]
    if begins.startswith(b"["):
        if len(filled) > 1 and filled[1][:1] in (b"[", b"{") and _is_json(filled[0]):
            return "JSON Lines"
        if _is_array(begins):
            return "JSON array"
    objects = [line for line in filled if line.startswith(b"{") and _is_json(line)]
    if objects and not (len(filled) == 1 and _lists_records(begins, head)):
        return "JSON Lines"
    return "JSON object" if re.match(rb'\{\s*["}]', begins) else "plain text"


def read_records(file: BinaryIO, layout: Layout) -> Iterator[Found | Reached]:
    """All records and faults of the file, in order, and how far it is read between them."""
    if file.read(len(_BOM)) != _BOM:
        file.seek(0)
    if layout == "JSON Lines":
        yield from _json_lines(file)
    elif layout == "plain text":
        yield from _texts(file)
    else:
        yield from _json_values(file, ITEMS if layout == "JSON array" else DOCUMENTS)


def _split(head: bytes) -> Iterator[bytes]:
    return iter(io.BytesIO(head.replace(b"\r", b"\n")))


def _is_array(begins: bytes) -> bool:
    """Whether it goes on as JSON does: an array of objects, lists or strings, or an empty one."""
    return re.match(rb'\[\s*[\[\]{"]', begins) is not None and not re.match(rb'\["[^"]*"\]\s*[^\s,\]]', begins)


def _lists_records(begins: bytes, head: bytes) -> bool:
    """Whether the file is one object that lists its records under a known name."""
    names = b"|".join(name.encode() for name in sorted(_CONTAINERS))
    return len(head) < HEAD_BYTES and re.search(rb'"(?:' + names + rb')"\s*:\s*\[\s*[\[{]', begins) is not None


def _is_json(line: bytes) -> bool:
    """Whether the line is an object or a list, whole; of one with many brackets only its end is looked at."""
    if not is_simple(line):
        return line.endswith((b"}", b"]"))
    return isinstance(_value(as_slice(line, limit=MAX_RECORD_BYTES), number=0, done=0).value, dict | list)


def _json_lines(file: BinaryIO) -> Iterator[Found | Reached]:
    slicer = Slicer(WHOLE, limit=MAX_RECORD_BYTES)
    for line in _lines(file):
        if line.is_first and line.is_last and is_simple(line.data):
            if line.data.strip():
                yield _value(as_slice(line.data, limit=MAX_RECORD_BYTES), number=line.number, done=line.done)
            continue
        if line.is_first:
            slicer = Slicer(WHOLE, limit=MAX_RECORD_BYTES)
        for k in range(0, len(line.data), _FEED):
            assert not list(slicer.feed(line.data[k : k + _FEED]))
            yield Reached(line.done)
        if line.is_last and (found := slicer.rest()):
            yield _value(found, number=line.number, done=line.done)


def _lines(file: BinaryIO) -> Iterator[_Line]:
    """The lines of the file in pieces; they end with "\\n", or with "\\r" where none does."""
    start = file.tell()
    head = file.read(HEAD_BYTES)
    file.seek(start)
    end = b"\r" if b"\r" in head and b"\n" not in head else b"\n"
    number, done, first, held = 1, start, True, b""
    while data := file.read(_CHUNK):
        done += len(data)
        *whole, held = (held + data).split(end)
        for line in whole:
            yield _Line(number, line + end, first, True, done)
            number, first = number + 1, True
        if len(held) >= _PIECE:
            yield _Line(number, held, first, False, done)
            held, first = b"", False
    if held or not first:
        yield _Line(number, held, first, True, done)


def _json_values(file: BinaryIO, level: int) -> Iterator[Found | Reached]:
    containers = _CONTAINERS if level == DOCUMENTS else frozenset[str]()
    slicer = Slicer(level, limit=MAX_RECORD_BYTES, containers=containers, unless=_QUESTIONS)
    number, done = 0, file.tell()
    while data := file.read(_CHUNK):
        done += len(data)
        for k in range(0, len(data), _FEED):
            for found in slicer.feed(data[k : k + _FEED]):
                number += 1
                yield _value(found, number=number, done=done)
            yield Reached(done)
        if slicer.is_too_long:
            reason = f"{_too_long('record')}; what follows cannot be reached: save it as JSON Lines"
            yield Found(number=number + 1, fault=reason, done=done)
            return
    if slicer.is_open:
        yield Found(number=number + 1, fault="the file breaks off in it; nothing after it can be read", done=done)
    elif slicer.rest() or slicer.outside:
        yield Found(number=number + 1, fault="there is text outside of the brackets", done=done)


def _texts(file: BinaryIO) -> Iterator[Found | Reached]:
    """Blocks of plain text between separator lines."""
    number, size, done = 1, 0, 0
    block = bytearray()
    for line in _lines(file):
        if line.done != done:
            done = line.done
            yield Reached(done)
        if b"=====" in line.data and line.is_first and line.is_last and SEPARATOR.fullmatch(line.data):
            yield from _text(block, number, size, done)
            number, size, block = number + 1, 0, bytearray()
            continue
        size += len(line.data)
        if size <= MAX_TEXT_BYTES:
            block += line.data
    yield from _text(block, number, size, done)


def _text(block: bytearray, number: int, size: int, done: int) -> Iterator[Found]:
    if size > MAX_TEXT_BYTES:
        yield Found(number=number, fault=f"the text is longer than {MAX_TEXT_BYTES >> 20} MB", done=done)
        return
    text, replaced = _decoded(block)
    if text.strip():
        yield Found(number=number, value=text, replaced=replaced, done=done)


def _value(found: Slice, *, number: int, done: int) -> Found:
    """The record of a slice, or what is wrong with it."""
    fault = found.fault
    if not fault:
        text, replaced = _decoded(found.data)
        try:
            value = parsed(text)
            return Found(number=number, value=value, replaced=replaced, n_left_out=found.n_left_out, done=done)
        except JSONDecodeError as error:
            fault = f"it is not JSON (column {error.colno})"
        except (ValueError, RecursionError):
            fault = "it holds too long a number"
    return Found(number=number, fault=fault, done=done)


def _decoded(data: bytes | bytearray) -> tuple[str, bool]:
    """The text, and whether bytes in it were not UTF-8."""
    try:
        return data.decode(), False
    except UnicodeDecodeError:
        return data.decode(errors="replace"), True


def _too_long(what: str) -> str:
    return f"the {what} is longer than {MAX_RECORD_BYTES >> 20} MB"
