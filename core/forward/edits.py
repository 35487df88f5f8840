"""An edit of the residual stream: the operators in words, and what a steering asks for. No torch.

What an operator computes is written in `core.forward.hooks`; everything else about it stands in `OPERATORS`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from core.directions.direction import MAX_NORM, Direction
from core.errors import BadInput
from core.values import ADDED_LATER, MAX_NEW_TOKENS, Positions

Operator = Literal["add", "ablate", "clamp", "amplify"]

PAPER_DEPTH = 10 / 32
"""The layer that the paper steers, as a share of the model's layers: layer 10 of 32."""


@dataclass(frozen=True, kw_only=True)
class OperatorWords:
    """What is said of an operator, and what its coefficient means. Templates take `size` and `name` (a direction's)."""

    choice: str
    """In a form: what to do with the direction."""
    lane: str
    """Under a lane's title: template of `size`."""
    export: str
    """In a file to share: template of `size` and `name`."""
    takes_coefficient: bool
    """Whether the coefficient changes anything."""
    zero_is_no_edit: bool
    """Whether coefficient 0 leaves the residual stream as it is."""


OPERATORS: dict[Operator, OperatorWords] = {
    "add": OperatorWords(
        choice="add it",
        lane="{size} × unit vector",
        export="add {size} × {name}",
        takes_coefficient=True,
        zero_is_no_edit=True,
    ),
    "ablate": OperatorWords(
        choice="project it out",
        lane="direction projected out",
        export="project out {name}",
        takes_coefficient=False,
        zero_is_no_edit=False,
    ),
    "clamp": OperatorWords(
        choice="set its projection",
        lane="projection set to {size}",
        export="set the projection on {name} to {size}",
        takes_coefficient=True,
        zero_is_no_edit=False,
    ),
    "amplify": OperatorWords(
        choice="amplify the stream itself",
        lane="stream amplified by {size}",
        export="amplify the stream itself by {size}",
        takes_coefficient=True,
        zero_is_no_edit=True,
    ),
}
"""Every operator, in the order in which forms offer them."""


@dataclass(frozen=True, kw_only=True)
class SteeringSpec:
    """One edit of the residual stream after block `layer`; several layers or directions are several edits, in order.

    add: h + coefficient · v̂. ablate: h − (h·v̂) v̂. clamp: the projection on v̂ is set to `coefficient`.
    amplify: h + coefficient · h/‖h‖, the paper's self-amplification control (Fig. 4), whatever v̂ is. The coefficient
    is in multiples of a unit vector (the unit of the paper's code).
    """

    direction: Direction
    layer: int
    operator: Operator = "add"
    coefficient: float = 0.0
    positions: Positions = field(default_factory=Positions)
    ramp: int = field(default=1, metadata=ADDED_LATER)
    """Positions, counted from the first steered one, over which the edit rises linearly to its full size."""

    def __post_init__(self) -> None:
        if not 1 <= self.ramp <= MAX_NEW_TOKENS:
            raise BadInput(f"A ramp over {self.ramp:,} tokens is not possible.", f"Use 1 to {MAX_NEW_TOKENS:,} tokens.")
        if not math.isfinite(self.coefficient) or abs(self.coefficient) > MAX_NORM:
            raise BadInput(
                f"The coefficient {self.coefficient} is not usable.", f"Choose a number between ±{MAX_NORM:g}."
            )
