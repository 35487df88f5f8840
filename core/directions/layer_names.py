"""Which layer a key, a text or a file's name means, and at which point of the block. Knows no file and no vector.

A layer here is the output of a block, from 0. Other tools name other points: what goes into a block, what lies between
its attention and its MLP, what one of its parts adds.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from core.text.lines import kept_line

Point = Literal["output", "input", "middle", "part"]
FACTS = re.compile(
    r"(hook[_-]?(point[_-]?)?)?(layers?|blocks?|lyr)([_-]?(ids?|idx|index|indices|indexes|nums?|numbers?|list))?"
    r"|hook([_-]?(points?|names?))?|act[_-]?names?|modules?([_-]?names?)?|target[_-]?modules?",
    re.IGNORECASE,
)
"""Names of entries that state a layer."""

_L = r"L(?![12][^0-9]?(?:norm|loss|reg|dist))"
_WORD = rf"(?<![A-Za-z])(?:hidden[_ -]?layers?|layers?|blocks?|lyr|{_L})[^A-Za-z0-9\n]{{0,3}}([0-9]{{1,3}})(?![0-9])"
_IN_NAME = re.compile(_WORD, re.IGNORECASE)
_HIDDEN = re.compile(r"(?<![A-Za-z])(?:hidden[_ -]?states?|hs)[^A-Za-z0-9]{0,3}([0-9]{1,3})(?![0-9])", re.IGNORECASE)
_IN_KEY = re.compile(
    rf"{_WORD}|(?<![A-Za-z])(?:h|direction|resid[_-](?:pre|mid|post))[._\[-]([0-9]{{1,3}})(?![0-9])", re.IGNORECASE
)
_POINTS: tuple[tuple[Point, re.Pattern[str]], ...] = (
    ("input", re.compile(r"resid[_-]?pre|(?<![a-z])input(?![a-z_])|(?<![a-z])pre(?![a-z])", re.IGNORECASE)),
    ("middle", re.compile(r"resid[_-]?mid", re.IGNORECASE)),
    ("part", re.compile(r"attn|attention|mlp|feed_?forward|layer_?norm|(?<![a-z])ln[0-9_]|hook_z", re.IGNORECASE)),
)


@dataclass(frozen=True)
class Place:
    """A block's number, the point that is meant, and the words that say so."""

    number: int
    point: Point
    words: str

    @property
    def layer(self) -> int | None:
        """The layer whose output it is; None where it is no block's output."""
        if self.point == "input":
            return self.number - 1 if self.number else None
        return self.number if self.point == "output" else None

    @property
    def note(self) -> str:
        """What the person should know of another point than a block's output; "" where it is the output."""
        said, n = f"“{self.words}”", self.number
        if self.point == "input" and n:
            return f"{said} is what goes into block {n}: the output of block {n - 1}, so layer {n - 1} is offered."
        if self.point == "input":
            return f"{said} is what goes into block 0, the embeddings: that is no layer here. Choose a layer."
        if self.point == "middle":
            return f"{said} lies between the attention and the MLP of block {n}: that is no layer here. Choose a layer."
        if self.point == "part":
            return f"{said} is what a part of block {n} works on, not the residual stream after it. Choose a layer."
        return ""


def place_in_key(key: str) -> tuple[Place | None, str]:
    """The place that a tensor's name means, and what is left of the name without it.

    None where the name holds no layer's number, or different ones.
    """
    if re.fullmatch(r"[0-9]{1,3}", key):
        return Place(int(key), "output", key), ""
    return _place(key, _HIDDEN, key, shifted=True) or _place(key, _IN_KEY, key) or (None, key)


def place_in_name(name: str) -> Place | None:
    """The place that a file's name means; None where it holds no layer's number, or different ones."""
    found = _place(name, _IN_NAME, name)
    return found[0] if found and found[0].point != "part" else None


def _place(text: str, pattern: re.Pattern[str], words: str, *, shifted: bool = False) -> tuple[Place, str] | None:
    found = list(pattern.finditer(text))
    numbers = {int(next(group for group in match.groups() if group)) for match in found}
    if len(numbers) != 1:
        return None
    rest = "".join((text[: found[0].start()], text[found[0].end() :])).strip(" ._-/[]:")
    point: Point = "input" if shifted else next((name for name, sign in _POINTS if sign.search(text)), "output")
    return Place(numbers.pop(), point, kept_line(words, 80)), rest


def places_stated(name: str, value: object) -> tuple[Place, ...]:
    """The places that an entry states: a number, a list of numbers, a hook's name, or any of these as text or JSON.

    Nothing where the name of the entry is not one that states a layer, or the value cannot be understood.
    """
    return tuple(_stated(value, name)) if FACTS.fullmatch(name) else ()


def _stated(value: object, name: str) -> Iterator[Place]:
    if isinstance(value, list | tuple):
        found = [place for item in value for place in _stated(item, name)]
        yield from found if len(found) == len(value) else ()
    elif isinstance(value, int | float) and not isinstance(value, bool) and value == int(value) and 0 <= value < 1000:
        yield Place(int(value), "output", f"{name}: {int(value)}")
    elif isinstance(value, str):
        text = value.strip()
        if re.fullmatch(r"[0-9]{1,3}(\.0)?", text):
            yield from _stated(float(text), name)
        elif re.fullmatch(r"[\[(]?\s*[0-9]{1,3}(\s*[,;\s]\s*[0-9]{1,3})*\s*,?\s*[\])]?", text):
            yield from _stated([int(n) for n in re.findall(r"[0-9]+", text)], name)
        elif (items := json_of(text)) is not None and isinstance(items, list):
            yield from _stated(items, name)
        elif (place := place_in_key(text)[0]) is not None:
            yield place


def json_of(text: str) -> object:
    """The object or list that a text is the JSON of, else None."""
    if text[:1] not in ("{", "["):
        return None
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value
