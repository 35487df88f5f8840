"""An edit of the residual stream: operators and what a steering asks for. No torch."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from core.directions.direction import MAX_NORM, Direction
from core.errors import BadInput
from core.values import ADDED_LATER, MAX_NEW_TOKENS, Positions

Operator = Literal["add", "ablate", "clamp", "amplify"]


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
            raise BadInput(f"A ramp over {self.ramp} tokens is not possible.", f"Use 1 to {MAX_NEW_TOKENS} tokens.")
        if not math.isfinite(self.coefficient) or abs(self.coefficient) > MAX_NORM:
            raise BadInput(
                f"The coefficient {self.coefficient} is not usable.", f"Choose a number between ±{MAX_NORM:g}."
            )
