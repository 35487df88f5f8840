"""Which layer and window are chosen first: those of the recorded study on its pair, else the paper's by depth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from core.embedded import recorded_place
from core.forward.edits import PAPER_DEPTH
from core.models.pair import ModelFacts
from core.values import PAPER_WINDOW, PairSpec, Window


@dataclass(frozen=True, kw_only=True)
class Usual:
    """A place of an extraction, and whether a recorded experiment chose it."""

    layer: int
    window: Window
    is_recorded: bool


def usual_place(facts: tuple[ModelFacts, ModelFacts], layers: Sequence[int]) -> Usual:
    """What is chosen until a person chooses, of these layers."""
    found = recorded_place(PairSpec(base=facts[0].spec, reasoner=facts[1].spec))
    known = found.layer is not None and found.layer in layers
    layer = found.layer if found.layer is not None and known else paper_layer(layers, facts[0].n_layers)
    return Usual(layer=layer, window=found.window or PAPER_WINDOW, is_recorded=known and found.window is not None)


def paper_layer(layers: Sequence[int], n_layers: int) -> int:
    """The layer of `layers` that lies nearest to the paper's 10 of 32, by depth."""
    return min(layers, key=lambda layer: abs(layer - PAPER_DEPTH * n_layers))
