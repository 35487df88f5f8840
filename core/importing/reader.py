"""Records out of a file of any size, one at a time: JSON Lines, a JSON array or object, or plain text.

What cannot be read is passed on as a fault with its place, and the rest still comes. Knows nothing of traces.
"""

from __future__ import annotations

import codecs
import itertools
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Literal

import ijson

from core.errors import BadInput

Layout = Literal["JSON Lines", "JSON array", "JSON object", "plain text"]
MAX_RECORD_BYTES = 32 << 20
HEAD_BYTES = 1 << 20
SEPARATOR = re.compile(rb"\s*={5,}\s*")
"""A line that parts one trace from the next in a plain text."""
_CONTAINERS = ("responses", "traces", "records", "data", "items", "examples", "rows")
_CHUNK = 1 << 16
_BOM = codecs.BOM_UTF8
_FOREIGN_BOMS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_REPLACED = "�"


@dataclass(frozen=True, kw_only=True)
class Found:
    """A record, or the reason why there is none at this place; `number` counts from 1 (lines in JSON Lines)."""

    number: int
    value: object = None
    fault: str = ""
    replaced: bool = False
    """Whether bytes that are not UTF-8 were read as � in it."""
    done: int
    """Bytes of the file read so far."""


class _TooLong(Exception):
    """A record in a JSON document goes on beyond what is read at once."""


class _Utf8:
    """A file whose bytes that are not UTF-8 come as �; `since` counts the bytes since the last record."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._decoder = file, codecs.getincrementaldecoder("utf-8")("replace")
        self.since, self.done, self.replaced = 0, 0, False

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(_CHUNK) if size else b""
        self.since, self.done = self.since + len(data), self.done + len(data)
        if self.since > MAX_RECORD_BYTES:
            raise _TooLong
        text = self._decoder.decode(data, final=bool(size) and not data)
        out = text.encode()
        self.replaced = self.replaced or (_REPLACED in text and text.count(_REPLACED) > data.count(_REPLACED.encode()))
        return out if out or not data else self.read()


def find_layout(file: BinaryIO) -> Layout:
    """How the file is laid out, from its beginning; the file is back at its start. Raises BadInput for UTF-16."""
    head = file.read(HEAD_BYTES)
    file.seek(0)
    if head.startswith(_FOREIGN_BOMS):
        raise BadInput("The file is encoded as UTF-16.", "Save it as UTF-8.")
    begins = head.removeprefix(_BOM).lstrip()
    if begins.startswith(b"[") and _is_array(begins):
        return "JSON array"
    lines = [line for line in itertools.islice(begins.split(b"\n"), 50) if line.startswith(b"{")]
    if any(_is_object(line) for line in lines):
        return "JSON Lines"
    return "JSON object" if re.match(rb'\{\s*["}]', begins) else "plain text"


def read_records(file: BinaryIO, layout: Layout) -> Iterator[Found]:
    """All records and faults of the file, in order."""
    if layout == "JSON Lines":
        yield from _json_lines(file)
    elif layout == "plain text":
        yield from _texts(file)
    else:
        yield from _json_items(file, layout)


def _is_array(begins: bytes) -> bool:
    """Whether it goes on as JSON does: an array of objects, lists or strings, or an empty one."""
    return re.match(rb'\[\s*[\[\]{"]', begins) is not None and not re.match(rb'\["[^"]*"\]\s*[^\s,\]]', begins)


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _json_lines(file: BinaryIO) -> Iterator[Found]:
    for number, line, done in _lines(file):
        if line is None:
            yield Found(number=number, fault=_too_long("line"), done=done)
            continue
        text, replaced = _decoded(line)
        if not text.strip():
            continue
        try:
            yield Found(number=number, value=json.loads(text), replaced=replaced, done=done)
        except json.JSONDecodeError as error:
            yield Found(number=number, fault=f"it is not JSON (column {error.colno})", done=done)
        except (ValueError, RecursionError):
            yield Found(number=number, fault="it is nested too deeply, or holds too long a number", done=done)


def _lines(file: BinaryIO) -> Iterator[tuple[int, bytes | None, int]]:
    """(number from 1, line or None where it is too long, bytes read so far)."""
    done = 0
    for number in itertools.count(1):
        line = file.readline(MAX_RECORD_BYTES + 1)
        if not line:
            return
        done += len(line)
        too_long = len(line) > MAX_RECORD_BYTES
        while too_long and line and not line.endswith(b"\n"):
            line = file.readline(_CHUNK)
            done += len(line)
        if number == 1:
            line = line.removeprefix(_BOM)
        yield number, None if too_long else line, done


def _texts(file: BinaryIO) -> Iterator[Found]:
    """Blocks of plain text between separator lines."""
    number, size, done = 1, 0, 0
    block: list[bytes] = []
    for _, line, at in _lines(file):
        done = at
        if line is not None and SEPARATOR.fullmatch(line):
            yield from _text(block, number, size, done)
            number, size, block = number + 1, 0, []
            continue
        size += MAX_RECORD_BYTES + 1 if line is None else len(line)
        if line is not None and size <= MAX_RECORD_BYTES:
            block.append(line)
        else:
            block.clear()
    yield from _text(block, number, size, done)


def _text(block: list[bytes], number: int, size: int, done: int) -> Iterator[Found]:
    if size > MAX_RECORD_BYTES:
        yield Found(number=number, fault=_too_long("text"), done=done)
        return
    text, replaced = _decoded(b"".join(block))
    if text.strip():
        yield Found(number=number, value=text, replaced=replaced, done=done)


def _json_items(file: BinaryIO, layout: Layout) -> Iterator[Found]:
    source = _Utf8(file)
    prefix = "item" if layout == "JSON array" else _prefix(file)
    number = 0
    if file.read(len(_BOM)) != _BOM:
        file.seek(0)
    try:
        for value in ijson.items(source, prefix, buf_size=_CHUNK, use_float=True):
            number += 1
            source.since = 0
            replaced = source.replaced and _holds_replaced(value)
            yield Found(number=number, value=value, replaced=replaced, done=source.done)
    except _TooLong:
        reason = f"{_too_long('record')}; what follows in a JSON array cannot be reached: save it as JSON Lines"
        yield Found(number=number + 1, fault=reason, done=source.done)
    except (ijson.JSONError, ValueError, RecursionError) as error:
        reason = "the file breaks off in it" if isinstance(error, ijson.IncompleteJSONError) else "it is not JSON"
        reason = f"{reason}; nothing after it can be read"
        yield Found(number=number + 1, fault=reason, done=source.done)


def _prefix(file: BinaryIO) -> str:
    """Where the records of a JSON object are: in its first array of a known name, or the object itself is one."""
    try:
        for prefix, event, _ in ijson.parse(_Utf8(file), buf_size=_CHUNK):
            if event == "start_array" and prefix in _CONTAINERS:
                return f"{prefix}.item"
    except (ijson.JSONError, ValueError, _TooLong):
        return ""
    finally:
        file.seek(0)
    return ""


def _holds_replaced(value: object) -> bool:
    return _REPLACED in json.dumps(value, ensure_ascii=False, default=str)


def _decoded(data: bytes) -> tuple[str, bool]:
    """The text, and whether bytes in it were not UTF-8."""
    try:
        return data.decode(), False
    except UnicodeDecodeError:
        return data.decode(errors="replace"), True


def _too_long(what: str) -> str:
    return f"the {what} is longer than {MAX_RECORD_BYTES >> 20} MB"
