"""Cutting JSON into its values by brackets and quotes, before any parser sees it.

How deep brackets nest, how many values there are and how long a text is are bounded here, in bytes. Long texts and
long lists of numbers, which no trace needs, become null or []. Knows nothing of files and records.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

MAX_DEPTH = 100
MAX_MARKS = 1_000_000
"""Brackets, commas and quotes of one value."""
MAX_TEXT_BYTES = 5 << 20
"""Longer texts become null: no trace is as long, however its characters are written."""
MAX_KEPT_BYTES = 20 << 20
MAX_WIDE_BYTES = 6 << 20
"""Limit of a value with characters beyond the basic plane, of which each makes all others take four bytes."""
MAX_NUMBERS = 16
"""Numbers in a list that is nothing but numbers; token ids and scores come in longer ones."""
_INSIDE = re.compile(rb'[\[\]{}"]')
_AT_LEVEL = re.compile(rb'[\[\]{}",]')
_IN_TEXT = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)
_WIDE = re.compile(rb"[\xf0-\xf4]")
_SHORT_BYTES = 1 << 20
_OPENING, _CLOSING, _QUOTE, _COMMA = b"[{", b"]}", ord('"'), ord(",")
_MAX_KEY = 40
WHOLE, DOCUMENTS, ITEMS = -1, 0, 1
"""What a stream is cut into: nothing, its documents one behind the other, or the items of its arrays."""


@dataclass(frozen=True, kw_only=True)
class Slice:
    """One value's JSON, or why it is not to be parsed."""

    data: bytearray
    fault: str = ""
    n_left_out: int = 0
    """Bytes of the longest text that was left out."""


class Slicer:
    """Takes a stream of JSON in pieces and gives its WHOLE, its DOCUMENTS, or the ITEMS of its arrays.

    Among documents, an object's list of objects under a name in `containers` gives its items in the object's place,
    where no name of `unless` comes before.
    """

    def __init__(
        self, level: int, *, limit: int, containers: frozenset[str] = frozenset(), unless: frozenset[str] = frozenset()
    ) -> None:
        self._first_level = self._level = level
        self._limit, self._containers, self._unless = limit, containers, unless
        self._depth, self._in_text, self._escaped = 0, False, False
        self._names: list[str] = []
        self._name = bytearray()
        self._is_behind, self._may_hold = False, False
        self.outside = False
        """Whether something else than white space lay between the values."""
        self._begin()

    @property
    def is_open(self) -> bool:
        """Whether a bracket or a text is still to be closed."""
        return self._depth > 0 or self._in_text

    @property
    def is_too_long(self) -> bool:
        """Whether the value that has begun is longer than the limit."""
        return self._size > self._limit

    def feed(self, data: bytes) -> Iterator[Slice]:
        """The values that end in these bytes."""
        at = 0
        while at < len(data) and not (self._fault and self._level == WHOLE):
            if self._in_text:
                at = self._text(data, at)
                continue
            if self._fault and self._depth > self._level:
                at = self._skip(data, at)
            found = (_AT_LEVEL if self._depth == self._level else _INSIDE).search(data, at)
            stop = found.start() if found else len(data)
            self._plain(data[at:stop])
            if found:
                yield from self._mark(data[stop])
            at = stop + 1

    def rest(self) -> Slice | None:
        """What the stream ends in, unless that is white space."""
        return self._taken() if self._kept.strip() or self._fault else None

    def _begin(self) -> None:
        self._kept, self._fault = bytearray(), ""
        self._n_marks, self._n_left_out, self._size = 0, 0, 0
        self._list_from, self._n_numbers = -1, 0
        self._text_from, self._n_text = 0, 0

    def _taken(self) -> Slice:
        taken = Slice(data=self._kept, fault=self._fault or _too_much(self._kept), n_left_out=self._n_left_out)
        self._begin()
        return taken

    def _keeps(self, n: int) -> bool:
        """Whether bytes at this place belong to a value; counts them."""
        if self._is_behind or self._depth < self._level:
            return False
        self._size += n
        if not self._fault and self._size > self._limit:
            self._give_up(f"it is longer than {self._limit >> 20} MB")
        elif not self._fault and self._n_marks > MAX_MARKS:
            self._give_up(f"it holds more than {MAX_MARKS:,} values")
        elif not self._fault and len(self._kept) > MAX_KEPT_BYTES + MAX_TEXT_BYTES:
            self._give_up(f"it holds more than {MAX_KEPT_BYTES >> 20} MB of text")
        return not self._fault

    def _give_up(self, fault: str) -> None:
        self._fault, self._kept, self._text_from = fault, bytearray(), 0

    def _skip(self, data: bytes, at: int) -> int:
        """Go on in a value that is given up, to a text, or to the bracket that ends the value; where that is."""
        for found in _INSIDE.finditer(data, at):
            mark = data[found.start()]
            if mark == _QUOTE or (mark in _CLOSING and self._depth <= self._level + 1):
                self._size += found.start() - at
                return found.start()
            self._depth += 1 if mark in _OPENING else -1
        self._size += len(data) - at
        return len(data)

    def _plain(self, data: bytes) -> None:
        """Numbers, words, white space, commas and colons."""
        if not self._keeps(len(data)):
            self.outside = self.outside or bool(not self._fault and data.strip(b" \t\r\n,:") and not self._is_behind)
            return
        self._may_hold = self._may_hold and not data.strip()
        n = data.count(b",")
        if self._list_from >= 0:
            self._n_numbers += n
            if self._n_numbers > MAX_NUMBERS:
                del self._kept[self._list_from :]
                return
        self._n_marks += n
        self._kept += data

    def _mark(self, mark: int) -> Iterator[Slice]:
        self._n_marks += 1
        if mark == _QUOTE:
            self._in_text, self._n_text, self._text_from = True, 0, len(self._kept)
            self._name.clear()
            self._keep(b'"')
        elif mark == _COMMA and self._level >= ITEMS:
            yield from self._ended()
        elif mark in _OPENING:
            self._open(mark)
        elif mark in _CLOSING:
            yield from self._close(mark)
        else:
            self._keep(b",")

    def _keep(self, data: bytes) -> None:
        self._list_from = -1
        if self._keeps(len(data)):
            self._kept += data

    def _open(self, mark: int) -> None:
        if self._may_hold:
            self._level, self._may_hold = 2, False
            self._begin()
        elif self._level == DOCUMENTS and self._depth == 1 and mark == _OPENING[0] and self._names:
            self._may_hold = self._names[-1] in self._containers and self._unless.isdisjoint(self._names)
        self._depth += 1
        if self._depth > MAX_DEPTH and not self._fault:
            self._give_up(f"its brackets are nested more than {MAX_DEPTH} deep")
        if self._depth > self._level:
            self._keep(bytes([mark]))
            if mark == _OPENING[0]:
                self._list_from, self._n_numbers = len(self._kept), 0

    def _close(self, mark: int) -> Iterator[Slice]:
        self._may_hold = False
        if self._depth == self._level >= ITEMS:
            yield from self._ended()
            self._is_behind = self._level > self._first_level
        elif self._depth >= self._level:
            self._keep(bytes([mark]))
        self._depth = max(self._depth - 1, 0)
        if self._depth == 0 and self._first_level == DOCUMENTS:
            if not self._is_behind:
                yield from self._ended()
            self._begin()
            self._level, self._is_behind, self._names = DOCUMENTS, False, []

    def _ended(self) -> Iterator[Slice]:
        found = self.rest()
        if found:
            yield found

    def _text(self, data: bytes, at: int) -> int:
        """Go on in a text; where it or the bytes end."""
        if self._escaped:
            stop, self._escaped = at + 1, False
        else:
            found = _IN_TEXT.match(data, at)
            stop = found.end() if found else at
            self._escaped = stop < len(data) and data[stop] != _QUOTE
            stop += self._escaped
        self._add_text(data[at:stop])
        if self._escaped or stop >= len(data) or data[stop] != _QUOTE:
            return stop
        self._end_text()
        return stop + 1

    def _add_text(self, data: bytes) -> None:
        self._n_text += len(data)
        self._may_hold = False
        if self._depth == 1 and self._containers and self._n_text <= _MAX_KEY:
            self._name += data
        if self._keeps(len(data)):
            if self._n_text > MAX_TEXT_BYTES:
                del self._kept[self._text_from :]
            else:
                self._kept += data

    def _end_text(self) -> None:
        self._in_text = False
        if self._n_text > MAX_TEXT_BYTES:
            self._n_left_out = max(self._n_left_out, self._n_text)
            self._keep(b"null")
        else:
            self._keep(b'"')
        if self._depth == 1 and self._containers:
            self._names.append(self._name.decode(errors="replace"))


def is_simple(data: bytes) -> bool:
    """Whether the bytes are few, with so few brackets that they cannot be nested too deeply."""
    return len(data) <= _SHORT_BYTES and data.count(b"[") + data.count(b"{") <= MAX_DEPTH


def as_slice(data: bytes, *, limit: int) -> Slice:
    """The bytes as one value. A short one with few brackets is not looked through."""
    if len(data) > limit:
        return Slice(data=bytearray(), fault=f"it is longer than {limit >> 20} MB")
    if is_simple(data):
        return Slice(data=bytearray(data))
    slicer = Slicer(WHOLE, limit=limit)
    assert not list(slicer.feed(data))
    return slicer.rest() or Slice(data=bytearray())


def parsed(text: str) -> object:
    """The value of a slice's text; NaN and infinities are null. Raises ValueError."""
    return json.loads(text, parse_constant=lambda _: None)


def _too_much(kept: bytearray) -> str:
    if len(kept) > MAX_KEPT_BYTES:
        return f"it holds more than {MAX_KEPT_BYTES >> 20} MB of text"
    wide = len(kept) > MAX_WIDE_BYTES and _WIDE.search(kept)
    return f"it holds more than {MAX_WIDE_BYTES >> 20} MB of text with characters of four bytes" if wide else ""
