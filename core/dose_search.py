"""The dose at which a text becomes so much less likely, by a few tries on a log scale. Knows no model.

How much less likely grows with the dose, but how fast differs from model to model and layer to layer: the paper's best
dose is 12 unit vectors at a layer whose stream has its own norm. So no range is a share of any norm.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass

TRIES, TOLERANCE = 9, 0.15
"""Doses that are tried at most, and how near the target, as a share of it, is near enough."""
MAX_STEP, MIN_STEP, POWER = 4.0, 1.3, 2.0
"""Limits of a step, as ratios, while one side is still open; the cost is taken to grow with this power of the dose."""
NARROW = 1.1
"""Ratio of two doses between which nothing more is tried."""

Found = tuple[float, bool]
"""A dose, and whether it is the one that was searched for."""
Search = Generator[float, float, Found]
"""Yields a dose, takes how much less likely its text is (nats per token; infinite where it says nothing)."""


@dataclass(frozen=True)
class _Tried:
    dose: float
    cost: float


def find_dose(start: float, target: float, *, tries: int = TRIES) -> Search:
    """The dose whose text is `target` less likely, to TOLERANCE or within a ratio of NARROW, and whether it was found.

    Where no dose that was tried reaches the target, or falls below it, that is the last one, and not found.
    """
    below, above = _Tried(0.0, 0.0), _Tried(math.inf, math.inf)
    dose = rounded(start)
    for _ in range(tries):
        tried = _Tried(dose, (yield dose))
        if abs(tried.cost - target) <= TOLERANCE * target:
            return dose, True
        if tried.cost < target:
            below = tried
        else:
            above = tried
        if below.dose and above.dose <= NARROW * below.dose:
            break
        dose = rounded(_next(below, above, target))
    if below.dose and above.dose < math.inf:
        return rounded(math.sqrt(below.dose * above.dose)), True
    return (below.dose or above.dose), False


def together(searches: Sequence[Search]) -> Generator[tuple[int, Mapping[int, float]], float, list[Found]]:
    """Several searches, a dose of each in turn: each finds what it finds alone.

    Yields the number of a search and the doses that are asked for, by the numbers of those that have not ended; takes
    the cost of that search's dose.
    """
    found: dict[int, Found] = {}
    asked = {i: next(search) for i, search in enumerate(searches)}
    while asked:
        for i in list(asked):
            cost = yield i, asked
            try:
                asked[i] = searches[i].send(cost)
            except StopIteration as stop:
                found[i] = stop.value
                del asked[i]
    return [found[i] for i in range(len(searches))]


def _next(below: _Tried, above: _Tried, target: float) -> float:
    """Between two doses a straight line on log scales, kept off their ends; else a step towards the target."""
    if below.dose and above.dose < math.inf:
        share = 0.5
        if below.cost > 0 and math.isfinite(above.cost):
            share = math.log(target / below.cost) / math.log(above.cost / below.cost)
        return float(below.dose * (above.dose / below.dose) ** min(max(share, 0.2), 0.8))
    if below.dose:
        step = (target / below.cost) ** (1 / POWER) if below.cost > 0 else MAX_STEP
        return below.dose * min(max(step, MIN_STEP), MAX_STEP)
    step = (above.cost / target) ** (1 / POWER) if math.isfinite(above.cost) else MAX_STEP
    return above.dose / min(max(step, MIN_STEP), MAX_STEP)


def rounded(dose: float) -> float:
    """Four significant digits, so that a plan's doses read well and repeat exactly."""
    return float(f"{dose:.4g}")
