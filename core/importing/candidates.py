"""Which texts of a record are the model's reasoning: by marks first, by names next, by how they read last.

A reference answer is taken only where a record holds nothing else, and then only if it is long or marked.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

from core.importing.alignment import without_space
from core.importing.chats import REASONING_FIELDS, Turn
from core.importing.fields import Leaf, Path, has_cues, reads_like_reasoning, role_of, shape
from core.text.thoughts import find_thought, notes_on
from core.traces.records import MAX_TRACE_CHARACTERS

Notes = tuple[tuple[str, str], ...]
UNUSABLE, LAST_RESORT, ANSWER, REASONING, MARKED_REFERENCE, MARKED, ANNOTATED = range(7)
_MAX_COMPARED = 64


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A text that may be a trace: how good a sign of reasoning it bears, and where it begins in its field."""

    path: Path
    text: str
    rank: int
    first: int = 0
    n_cut: int = 0
    turn: Turn | None = None
    before: str = ""
    """What stands before the marks: often the rendered prompt."""
    is_empty: bool = False
    """Whether it states that there is no reasoning."""
    notes: Notes = ()


def of_turn(turn: Turn) -> Candidate:
    """A chat's answer."""
    rank = MARKED if turn.has_thought else ANSWER
    return Candidate(
        path=turn.path,
        text=turn.text,
        rank=UNUSABLE if turn.is_empty else rank,
        n_cut=turn.n_cut,
        turn=turn,
        is_empty=turn.is_empty,
        notes=turn.notes,
    )


def of_leaf(leaf: Leaf, *, is_annotated: bool = False) -> Candidate:
    """A field. Where an annotator has labelled the record, a field named as reasoning is what he saw, marks and all."""
    role = role_of(leaf.path)
    if is_annotated and role == "reasoning" and leaf.text.strip():
        return Candidate(path=leaf.path, text=leaf.text, rank=ANNOTATED)
    found = find_thought(leaf.text)
    if found is None:
        blank = not leaf.text.strip() and leaf.path[-1] in REASONING_FIELDS
        return Candidate(path=leaf.path, text=leaf.text, rank=_rank(role, leaf.text), is_empty=blank)
    text = leaf.text[found.start : found.stop]
    if role == "reasoning" and not text.strip():
        return Candidate(path=leaf.path, text=leaf.text, rank=UNUSABLE, is_empty=True)
    rank = MARKED
    if not text.strip():
        rank = UNUSABLE
    elif role in ("question", "aside", "piece"):
        rank = LAST_RESORT if role != "aside" and reads_like_reasoning(text) else UNUSABLE
    elif role == "reference":
        rank = MARKED_REFERENCE
    return Candidate(
        path=leaf.path,
        text=text,
        rank=rank,
        first=found.start,
        n_cut=found.n_before + found.n_behind,
        before=leaf.text[: found.start],
        is_empty=not text.strip() and role != "question",
        notes=notes_on(found),
    )


def _rank(role: str, text: str) -> int:
    if not text.strip():
        return UNUSABLE
    if role == "reasoning":
        return REASONING if len(text.split()) > 1 or len(text) > 20 else UNUSABLE
    if role == "reference":
        return LAST_RESORT if reads_like_reasoning(text) else UNUSABLE
    if role == "response" or (role == "other" and reads_like_reasoning(text)):
        return ANSWER
    return UNUSABLE


def chosen(candidates: list[Candidate]) -> Generator[None, None, list[Candidate]]:
    """Those that become traces: all with the best sign, save what says the same again; [] where none is usable."""
    best = max((found.rank for found in candidates), default=UNUSABLE)
    if best == UNUSABLE or (best <= ANSWER and any(found.is_empty for found in candidates)):
        return []
    fit = [found for found in candidates if found.rank == best]
    if best <= ANSWER:
        return _longest(fit)
    return (yield from _different(fit, [found for found in candidates if found.rank == REASONING]))


def _longest(candidates: list[Candidate]) -> list[Candidate]:
    """The members of the list, or the field, that reads most like reasoning; a chat's answer before other fields."""
    fit = [found for found in candidates if found.turn] or candidates
    best = max(fit, key=lambda f: (reads_like_reasoning(f.text), has_cues(f.text), len(f.text)))
    return [found for found in fit if shape(found.path) == shape(best.path)]


def _different(candidates: list[Candidate], stated: list[Candidate]) -> Generator[None, None, list[Candidate]]:
    """All that say something of their own; of fields that say the same, the one with most members or the longest."""
    groups: dict[str, list[Candidate]] = {}
    for found in candidates:
        groups.setdefault(shape(found.path), []).append(found)
    if len(groups) == 1 and not stated:
        return candidates
    alone = {without_space(found.text): found for found in stated if len(found.text) <= MAX_TRACE_CHARACTERS}
    kept: dict[int, Candidate] = {}
    bare: list[str] = []
    for group in sorted(groups.values(), key=lambda group: (-len(group), -max(len(f.text) for f in group))):
        earlier = bare[:_MAX_COMPARED]
        for found in group:
            yield
            text = without_space(found.text)
            if not any(text in other for other in earlier):
                kept[id(found)] = found if found.turn else alone.get(text, found)
                bare.append(text)
    return [kept[id(found)] for found in candidates if id(found) in kept]
