"""The dose at which a text becomes so much less likely: doubling, then halving on a log scale. Knows no model.

How much less likely grows with the dose, but how fast differs from model to model and layer to layer: the paper's best
dose is 12 unit vectors at a layer whose stream has its own norm. So no range is a share of any norm.
"""

from __future__ import annotations

import math
from collections.abc import Generator

MAX_DOUBLINGS, HALVINGS = 8, 3
"""Steps of the search: up or down until the target lies between two doses, then into the ratio of the two."""

Search = Generator[float, float, tuple[float, bool]]
"""Yields a dose, takes how much less likely its text is (nats per token; nan where it says nothing)."""


def find_dose(start: float, target: float, *, max_doublings: int = MAX_DOUBLINGS, halvings: int = HALVINGS) -> Search:
    """The dose whose text is `target` less likely, to a ratio of 2 ** (1 / 2 ** halvings), and whether it was found.

    A dose whose text says nothing counts as beyond the target. Where no dose within `max_doublings` of `start` reaches
    it, or falls below it, that is the last dose tried, and not found.
    """
    below, above = 0.0, math.inf
    dose = rounded(start)
    for _ in range(max_doublings + 1):
        if (yield dose) < target:
            below = dose
        else:
            above = dose
        if below and above < math.inf:
            break
        dose = rounded(dose * 2 if below else dose / 2)
    else:
        return (below or above), False
    for _ in range(halvings):
        dose = rounded(math.sqrt(below * above))
        if (yield dose) < target:
            below = dose
        else:
            above = dose
    return rounded(math.sqrt(below * above)), True


def rounded(dose: float) -> float:
    """Four significant digits, so that a plan's doses read well and repeat exactly."""
    return float(f"{dose:.4g}")
