"""Which direction of each model the 2×2 takes, and how it names them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

from core.directions.direction import Direction
from core.extraction.controls import CONTROL
from core.models.pair import ROLES, ModelFacts, Role
from core.traces.events import BACKTRACKING
from ui.components.roles import NAMES
from ui.components.safe_text import plain
from ui.directions.choices import choices

Pair = tuple[ModelFacts, ModelFacts]
Arms = Sequence[tuple[Role, Direction]]


def directions_of_pair(pair: Pair) -> Arms:
    """One direction of each model, the base's first; empty unless both are there.

    No control is taken for a direction. Two of one label, window and layer go before others, backtracking before other
    labels, then the newest.
    """
    base, reasoner = (_found_in(facts) for facts in pair)
    if not base or not reasoner:
        return ()
    pairs = product(enumerate(base), enumerate(reasoner))
    best = min(pairs, key=lambda two: (*_rank(two[0][1], two[1][1]), two[0][0] + two[1][0]))
    return tuple(zip(ROLES, (best[0][1], best[1][1]), strict=True))


def _found_in(facts: ModelFacts) -> list[Direction]:
    mine = [c.direction for c in choices(d_model=facts.d_model) if c.direction.fingerprint == facts.fingerprint]
    return [direction for direction in mine if CONTROL not in _notes(direction)]


def _rank(base: Direction, reasoner: Direction) -> tuple[bool, bool]:
    labels = [_notes(direction).get("label") for direction in (base, reasoner)]
    return _place(base) != _place(reasoner), labels != [BACKTRACKING, BACKTRACKING]


def _place(direction: Direction) -> tuple[str, str, int]:
    notes = _notes(direction)
    return notes.get("label", ""), notes.get("window", ""), direction.layer


def _notes(direction: Direction) -> dict[str, str]:
    return dict(direction.provenance)


def arm_notes(arms: Arms) -> list[str]:
    """A line per direction with its label, layer and window, and one where the two are not of the same place."""
    lines = [f"Direction from the {NAMES[role]}: {_named(direction)}." for role, direction in arms]
    if len({_place(direction) for _, direction in arms}) > 1:
        lines.append(
            "The two differ in label, window or layer, so the panels compare more than the two models: save one "
            "direction of each model from the same place."
        )
    return lines


def _named(direction: Direction) -> str:
    label, window, layer = _place(direction)
    where = f"{plain(label or 'label unknown')}, offsets {plain(window or 'unknown')}"
    return f"“{plain(direction.name)}” ({where}), found and added at layer {layer}"
