"""The marks around a model's thinking, of all families in use, and where a text divides into thinking and answer."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

THINK, END_THINK = "<think>", "</think>"
THOUGHT_MARKERS = (THINK, END_THINK)
"""Both marks of the models that are loaded here, for code that treats them alike."""

Notes = tuple[tuple[str, str], ...]

_WORDS = r"think(?:ing)?|thoughts?|reasoning|scratchpad|monologue|cot"
_MARK = re.compile(
    rf"<(?P<bar>[|｜]?)(?P<slash>/?)(?P<before>(?:ant|(?:[a-z]+[_:▁])*))(?P<word>{_WORDS})(?P<behind>(?:[_▁][a-z]+)*)(?P=bar)>"
    rf"|◁(?P<kimi>/?)think▷"
    rf"|\[(?P<square>/?)(?P<capitals>(?-i:THINK|THINKING|THOUGHT|REASONING))\]"
    rf"|(?P<unused><unused94>\s*thought|<unused95>)"
    rf"|(?P<channel><\|channel\|>\s*analysis[^<\n]{{0,40}}<\|message\|>|<\|(?:end|return|call|start)\|>)"
    rf"|(?P<turn><\|channel>thought|<channel\|>)",
    re.IGNORECASE,
)
_START = re.compile(r"<(?=[|｜/A-Za-z])|◁|\[(?=/?[TR])")
MAX_STARTS = 30_000
"""Places of a text where a mark could begin that are looked at; no trace has as many."""
_ENDS, _JOINTS = {"end", "close", "stop"}, {"begin", "start", "open", "of", ""}
_SPOKEN = tuple(
    (re.compile(opens), re.compile(closes), needs_end)
    for opens, closes, needs_end in (
        (r"\s*Here(?:'s| is) my thought process:?", r"Here(?:'s| is) my response:?", False),
        (r"\s*#+ *Thinking\s*\n", r"\n#+ *Final Response\b:?", True),
        (r"\s*Here are my reasoning steps:?", r"\[BEGIN FINAL RESPONSE\]", True),
        (r"\s*(?:assistant)?analysis(?=[A-Z\"'(\d])", r"assistant(?:final|commentary)", True),
    )
)
"""Families whose marks are words: how a text begins, how the thinking ends, and whether it must."""
_LOOKS_LIKE_MARK = re.compile(
    r"<[|｜]/?[A-Za-z][\w:▁ /-]{0,40}[|｜]>|◁/?\w{1,40}▷|<unused\d+>|</?[A-Za-z]+:[a-z_]{1,40}>|\[/?[A-Z_]{5,40}\]"
)
_FIRST_TAG = re.compile(r"\s*<(?P<name>[A-Za-z][\w:-]{0,40})>")


@dataclass(frozen=True, kw_only=True)
class Thought:
    """Where the thinking of a text is: characters `start` to `stop`, and the marks around it, "" for none."""

    start: int
    stop: int
    opened: str = ""
    closed: str = ""
    n_before: int = 0
    """Characters before the first mark, without white space at their ends."""
    n_behind: int = 0
    """Characters behind the last mark, likewise."""
    n_others: int = 0
    """Further stretches of thinking in the text."""


@dataclass(frozen=True)
class _Mark:
    opens: bool
    family: str
    start: int
    stop: int


def split_thought(text: str) -> tuple[str, Notes]:
    """The reasoning in a response, and what was left out as (kind, sentence); without marks all of it is reasoning.

    Reasoning models omit the first mark where their template writes it, and the last where they are cut off.
    """
    found = find_thought(text)
    if found is None:
        return text, ()
    return text[found.start : found.stop], notes_on(found)


def find_thought(text: str) -> Thought | None:
    """The longest stretch of thinking between marks, the first of several alike; None in a text without marks."""
    found = list(_between_marks(text, list(_marks(text)))) or list(_spoken(text))
    if not found:
        return None
    best = max(found, key=lambda thought: len(text[thought.start : thought.stop].strip()))
    before, behind = text[: best.start].rstrip().removesuffix(best.opened), text[best.stop :].lstrip()
    return replace(
        best,
        n_before=len(before.strip()),
        n_behind=len(behind.removeprefix(best.closed).strip()),
        n_others=len(found) - 1,
    )


def notes_on(thought: Thought) -> Notes:
    """What is left out around the thinking, as (kind, sentence)."""
    notes = []
    if thought.n_before:
        notes.append(("outside the reasoning", f"left out: {_characters(thought.n_before)} before {thought.opened}"))
    if thought.n_behind:
        others = f", {thought.n_others} more stretches of thinking among them" if thought.n_others else ""
        what = f"{_characters(thought.n_behind)} after {thought.closed}{others}"
        notes.append(("outside the reasoning", f"left out: {what}"))
    if not thought.closed:
        notes.append(("cut off", f"the reasoning that {thought.opened} begins has no end; it is read to the end"))
    return tuple(notes)


def has_thought(text: str) -> bool:
    """Whether the text has a mark of a known family."""
    return find_thought(text) is not None


def is_closed(text: str) -> bool:
    """Whether the last mark of a known family in the text ends thinking."""
    last = next(reversed([mark for mark in _marks(text) if _says_thinking(mark)]), None)
    return last is not None and not last.opens


def unknown_marks(text: str) -> tuple[str, ...]:
    """What looks like marks of a family that is not known, at most five."""
    found = dict.fromkeys(match[0] for match in _LOOKS_LIKE_MARK.finditer(text) if not _MARK.fullmatch(match[0]))
    first = _FIRST_TAG.match(text)
    if first and f"</{first['name']}>" in text[first.end() :] and not _MARK.fullmatch(first[0].strip()):
        found = {first[0].strip(): None} | found
    return tuple(found)[:5]


def _marks(text: str) -> Iterator[_Mark]:
    for place in itertools.islice(_START.finditer(text), MAX_STARTS):
        match = _MARK.match(text, place.start())
        if match:
            opens, family = _family(match)
            yield _Mark(opens, family, match.start(), match.end())


def _family(match: re.Match[str]) -> tuple[bool, str]:
    """Whether the mark opens, and what its counterpart has in common with it."""
    if match["word"]:
        around = re.split(r"[_:▁]", f"{match['before']}_{match['behind']}".lower())
        names = [name for name in around if name not in _ENDS | _JOINTS]
        closes = bool(match["slash"]) or any(name in _ENDS for name in around)
        return not closes, "".join([match["bar"], *names, match["word"].lower()])
    if match["kimi"] is not None:
        return not match["kimi"], "◁"
    if match["capitals"]:
        return not match["square"], f"[{match['capitals']}"
    for family, opening in (("unused", "<unused94>"), ("channel", "<|channel|>"), ("turn", "<|channel>")):
        if match[family]:
            return match[family].lower().startswith(opening), family
    raise AssertionError(match[0])


def _between_marks(text: str, marks: list[_Mark]) -> Iterator[Thought]:
    """Every stretch that marks enclose; an opening mark counts where its own end follows, or no end at all."""
    ends = {mark.family: mark.start for mark in marks if not mark.opens and _says_thinking(mark)}
    ends |= {mark.family: mark.start for mark in marks if not mark.opens}
    last_end = max((mark.start for mark in marks if not mark.opens and _says_thinking(mark)), default=-1)
    opened: _Mark | None = None
    n = 0
    for mark in marks:
        if opened is None and mark.opens and (ends.get(mark.family, -1) > mark.start or last_end < mark.start):
            opened = mark
        elif not mark.opens and (mark.family == opened.family if opened else not n and _says_thinking(mark)):
            start, name = (opened.stop, text[opened.start : opened.stop]) if opened else (0, "")
            yield Thought(start=start, stop=mark.start, opened=name, closed=text[mark.start : mark.stop])
            opened, n = None, n + 1
    if opened:
        yield Thought(start=opened.stop, stop=len(text), opened=text[opened.start : opened.stop])


def _characters(n: int) -> str:
    return f"{n:,} character{'' if n == 1 else 's'}"


def _says_thinking(mark: _Mark) -> bool:
    """Whether the mark alone tells that thinking ends; the end of any message does not."""
    return mark.family != "channel"


def _spoken(text: str) -> Iterator[Thought]:
    for opens, closes, needs_end in _SPOKEN:
        first = opens.match(text)
        if first:
            last = closes.search(text, first.end())
            if last or not needs_end:
                stop, closed = (last.start(), last[0].strip()) if last else (len(text), "")
                yield Thought(start=first.end(), stop=stop, opened=first[0].strip(), closed=closed)
