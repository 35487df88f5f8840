"""The question that a trace of a record answers: the last user's, or the nearest field that is called one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from core.importing.candidates import Candidate
from core.importing.fields import QUESTION_NAMES, Leaf, shape, shared
from core.text.lines import without_surrogates
from core.text.rendered import unframed

Notes = tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A question, the field that it was read from ("" for none), as it stood there, and what was left out."""

    text: str
    field: str
    given: str = ""
    notes: Notes = ()


def asked_of(pick: Candidate, questions: Sequence[Leaf], last_user: Leaf | None) -> Asked:
    """The question of a trace; `questions` are the fields that are called so."""
    if pick.turn and pick.turn.prompt.strip():
        return _asked(Leaf(pick.turn.prompt_path, pick.turn.prompt))
    if last_user and last_user.text.strip():
        return _asked(last_user)
    fit = [leaf for leaf in questions if leaf.path != pick.path]
    if fit:
        return _asked(_joined(min(fit, key=lambda leaf: _distance(leaf, pick)), fit))
    found = unframed(pick.before)
    if found.notes and found.text.strip() and found.text != pick.before:
        return Asked(text=without_surrogates(found.text), field=shape(pick.path), notes=found.notes)
    return Asked(text="", field="")


def _asked(leaf: Leaf) -> Asked:
    found = unframed(without_surrogates(leaf.text))
    return Asked(text=found.text, field=shape(leaf.path), given=leaf.text, notes=found.notes)


def _distance(leaf: Leaf, pick: Candidate) -> tuple[int, int, int, int]:
    """How far a question is from a trace: its place first, then whether it is rendered, then its name."""
    names = [key for key in leaf.path if key in QUESTION_NAMES]
    place = QUESTION_NAMES.index(str(names[-1])) if names else len(QUESTION_NAMES)
    rendered = bool(unframed(leaf.text[:2000]).notes)
    return -shared(leaf.path, pick.path), int(rendered), place, len(leaf.path)


def _joined(best: Leaf, others: list[Leaf]) -> Leaf:
    """An instruction with the input that goes with it."""
    if best.path[-1] != "instruction":
        return best
    given = next((leaf for leaf in others if leaf.path == (*best.path[:-1], "input")), None)
    return Leaf((*best.path[:-1], "instruction + input"), f"{best.text}\n\n{given.text}") if given else best
