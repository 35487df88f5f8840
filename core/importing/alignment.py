"""Finding labelled texts in the trace they were cut from, by characters.

Annotators copy a trace part by part and lose white space, leave sentences out, repeat or change some (paper.md: the
text rebuilt from parts equals the trace in 22–24% of chains). Here a part has a place where its characters, white
space aside, stand in the original, in the parts' order; what has no such place, or several, is listed with its reason.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from core.values import Part

Reason = Literal["empty", "not in the text", "out of order", "several places", "too many parts"]
REASONS: dict[Reason, str] = {
    "empty": "it holds no text",
    "not in the text": "its characters do not stand in the original in this sequence",
    "out of order": "it stands in the original only where other parts are, or not in this order",
    "several places": "it fits in more than one place, and its neighbours do not settle which",
    "too many parts": "the trace has more parts than are read",
}
MAX_PARTS = 5_000
MAX_PLACES = 64
"""Places that are considered for one part; a text that stands more often is found next to its neighbours or not."""

Span = tuple[int, int]
_WORD = re.compile(r"\S+")


@dataclass(frozen=True, kw_only=True)
class LabelledText:
    """A part as an annotator wrote it: its label, and a text that should stand in the trace."""

    label: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Unaligned:
    """A part without a place: its number among the parts, counted from 0, and why."""

    number: int
    part: LabelledText
    reason: Reason


@dataclass(frozen=True, kw_only=True)
class Alignment:
    """Every part that was to be aligned is in one of the two, in order."""

    parts: tuple[Part, ...]
    """Character spans into the original, without white space at their ends."""
    unaligned: tuple[Unaligned, ...]


@dataclass(frozen=True)
class _Chain:
    """Parts in order at places that do not overlap, the last one first."""

    weight: int
    stop: int
    number: int
    before: _Chain | None


def align(texts: Sequence[LabelledText], original: str) -> Alignment:
    """Place the parts in the original, at once."""
    work = aligning(texts, original)
    while True:
        try:
            next(work)
        except StopIteration as stop:
            placed: Alignment = stop.value
            return placed


def aligning(texts: Sequence[LabelledText], original: str) -> Generator[None, None, Alignment]:
    """Place the parts in the original, in short steps.

    Among all choices of parts that stand in it in order and without overlap, the one that covers most characters is
    taken. A part that could then stand in two places is taken where it touches a neighbour, if only one place does.
    """
    squeezed, places = squeeze(original)
    bare = {text: without_space(text) for text in dict.fromkeys(text.text for text in texts[:MAX_PARTS])}
    needles = [bare[text.text] for text in texts[:MAX_PARTS]]
    reasons: dict[int, Reason] = {}
    for number, needle in enumerate(needles):
        yield
        reasons[number] = _reason(needle, squeezed)
    numbers = [number for number, reason in reasons.items() if reason == "out of order"]
    chain = yield from _heaviest(numbers, needles, squeezed)
    found, unclear = _settled(chain, needles, squeezed)
    yield
    parts, unaligned = [], []
    for number, text in enumerate(texts):
        if number in found:
            start, stop = found[number]
            parts.append(Part(label=text.label, start=int(places[start]), end=int(places[stop - 1]) + 1))
        else:
            reason: Reason = "several places" if number in unclear else reasons.get(number, "too many parts")
            unaligned.append(Unaligned(number=number, part=text, reason=reason))
    return Alignment(parts=tuple(parts), unaligned=tuple(unaligned))


def squeeze(text: str) -> tuple[str, NDArray[np.int64]]:
    """The text without white space, and (n,) where each of its characters stood."""
    words = list(_WORD.finditer(text))
    if not words:
        return "", np.zeros(0, dtype=np.int64)
    places = np.concatenate([np.arange(word.start(), word.end(), dtype=np.int64) for word in words])
    return "".join(word[0] for word in words), places


def without_space(text: str) -> str:
    """The text without white space."""
    return "".join(text.split())


def _reason(needle: str, text: str) -> Reason:
    """Why the part could have no place at all; "out of order" where that is up to the others."""
    if not needle:
        return "empty"
    return "out of order" if needle in text else "not in the text"


def _heaviest(numbers: Sequence[int], needles: Sequence[str], text: str) -> Generator[None, None, list[int]]:
    """The numbers of the parts that together cover most of the text, in order and without overlap."""
    chains = [_Chain(0, 0, -1, None)]
    stops = [0]
    for number in numbers:
        yield
        needle = needles[number]
        grown = []
        for start in _occurrences(needle, text, stops):
            before = chains[bisect.bisect_right(stops, start) - 1]
            grown.append(_Chain(before.weight + len(needle), start + len(needle), number, before))
        for chain in grown:
            _insert(chains, stops, chain)
    kept: list[int] = []
    last: _Chain | None = chains[-1]
    while last is not None and last.number >= 0:
        kept.append(last.number)
        last = last.before
    return kept[::-1]


def _occurrences(needle: str, text: str, stops: Sequence[int]) -> list[int]:
    """Where the needle stands: everywhere, or, where that is too often, first after each of the ends so far."""
    found: list[int] = []
    start = text.find(needle)
    while start >= 0 and len(found) <= MAX_PLACES:
        found.append(start)
        start = text.find(needle, start + 1)
    if start < 0:
        return found
    after = {text.find(needle, stop) for stop in stops[-MAX_PLACES:]}
    return sorted(after - {-1})


def _insert(chains: list[_Chain], stops: list[int], chain: _Chain) -> None:
    """Keep the chains sorted by end and weight at once: a later end must weigh more."""
    at = bisect.bisect_right(stops, chain.stop)
    if chains[at - 1].weight >= chain.weight:
        return
    last = at
    while last < len(chains) and chains[last].weight <= chain.weight:
        last += 1
    first = at - 1 if stops[at - 1] == chain.stop else at
    chains[first:last], stops[first:last] = [chain], [chain.stop]


def _settled(numbers: Sequence[int], needles: Sequence[str], text: str) -> tuple[dict[int, Span], set[int]]:
    """The places of the parts that have exactly one, and the numbers of those that have several."""
    earliest, latest = _earliest(numbers, needles, text), _latest(numbers, needles, text)
    found: dict[int, Span] = {}
    unclear: set[int] = set()
    stop = 0
    for k, number in enumerate(numbers):
        first, last = earliest[k], latest[k]
        if first != last:
            touches_before = first[0] == stop
            touches_behind = k + 1 < len(numbers) and last[1] == latest[k + 1][0] == earliest[k + 1][0]
            if touches_before == touches_behind or (touches_behind and last[0] < stop):
                unclear.add(number)
                continue
            first = first if touches_before else last
        if first[0] < stop:
            unclear.add(number)
            continue
        found[number] = first
        stop = first[1]
    return found, unclear


def _earliest(numbers: Sequence[int], needles: Sequence[str], text: str) -> list[Span]:
    spans, at = [], 0
    for number in numbers:
        start = text.index(needles[number], at)
        at = start + len(needles[number])
        spans.append((start, at))
    return spans


def _latest(numbers: Sequence[int], needles: Sequence[str], text: str) -> list[Span]:
    """From the end, in the text turned round: searching backwards in it takes far longer in the worst case."""
    turned, at = text[::-1], 0
    spans = []
    for number in reversed(numbers):
        start = turned.index(needles[number][::-1], at)
        at = start + len(needles[number])
        spans.append((len(text) - at, len(text) - start))
    return spans[::-1]
