"""What a 2×2 says about the paper's claim, in sentences, whichever way it goes.

Every sentence on a rise is a paired test over the questions, corrected for the number of doses that were tried.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from core.models.pair import ROLES, Role
from core.runs.dose_response import DosePoint
from core.statistics import ALPHA, Comparison, Interval, compare_rates, rate_interval
from ui.components.roles import NAMES


@dataclass(frozen=True)
class _Steered:
    """A readable dose beside its own model's unsteered texts."""

    point: DosePoint
    baseline: DosePoint
    found: Comparison


def verdict(points: Sequence[DosePoint]) -> list[str]:
    """One sentence per direction on the reasoning model, and one on the base model."""
    on_reasoner = {source: _readable(points, "reasoner", (source,)) for source in ROLES}
    rises = [rise for steered in on_reasoner.values() if (rise := _rise(steered))]
    sentences = [_on_reasoner(steered, source) for source, steered in on_reasoner.items()]
    return [*sentences, _on_base(_readable(points, "base", ROLES), rises)]


def _readable(points: Sequence[DosePoint], target: Role, sources: Sequence[Role]) -> list[_Steered]:
    """The readable steered doses of these directions in a model."""
    mine = [point for point in points if point.target == target and point.source in sources]
    baseline = next((point for point in mine if point.coefficient == 0), None)
    if baseline is None:
        return []
    return [
        _Steered(point, baseline, compare_rates(point.hits, point.words, baseline.hits, baseline.words))
        for point in mine
        if point.coefficient and point.is_readable(baseline)
    ]


def _rise(steered: Sequence[_Steered]) -> _Steered | None:
    """The dose with the highest rate among those that raise it beyond chance."""
    found = [one for one in steered if one.found.finding(tries=len(steered)) == "more"]
    return max(found, key=_rate, default=None)


def _rate(one: _Steered) -> float:
    return rate_interval(one.point.hits, one.point.words).mean


def _on_reasoner(steered: Sequence[_Steered], source: Role) -> str:
    name = f"The direction from the **{NAMES[source]}**"
    if not steered:
        return f"{name}: nothing can be said yet, since no dose with readable text was measured."
    rise = _rise(steered)
    if rise:
        before, after = rate_interval(rise.baseline.hits, rise.baseline.words).mean, _rate(rise)
        times = f", {after / before:.1f} times as much" if before else ""
        return f"{name} **raises backtracking** in the reasoning model {_from_to(rise, len(steered))}{times}."
    best = max(steered, key=_rate)
    if best.found.finding(tries=len(steered)) == "too little":
        return f"{name}: too little text to say, with {_questions(best)} and {_doses(len(steered))}."
    return (
        f"{name}: whether it raises backtracking in the reasoning model **cannot be told from chance** here; at most "
        f"{_from_to(best, len(steered))}."
    )


def _on_base(steered: Sequence[_Steered], rises: Sequence[_Steered]) -> str:
    """Against the smallest rise that the reasoning model is sure to show, where it shows one."""
    if not steered:
        return "The **base model**: no evidence, since its text is empty or not readable at every dose."
    rise = _rise(steered)
    if rise:
        return f"The **base model** backtracks more too, {_from_to(rise, len(steered))}: unlike the paper's."
    widest = max(steered, key=lambda one: one.found.difference.high)
    if widest.found.finding(tries=len(steered)) == "too little":
        return f"The **base model**: too little text to say, with {_questions(widest)} and {_doses(len(steered))}."
    most = widest.found.difference.high
    unsteered = _percent(rate_interval(widest.baseline.hits, widest.baseline.words))
    stays = f"{unsteered} unsteered, at most {100 * most:+.2f} points when steered, at any of {_doses(len(steered))}"
    least = min((one.found.difference.low for one in rises), default=math.nan)
    if math.isnan(least):
        return f"The **base model** shows no rise: {stays}. The reasoning model shows none to compare with."
    if most < least:
        return (
            f"The **base model** **does not follow**: {stays}. The reasoning model rises by at least "
            f"{100 * least:+.2f}: as the paper found."
        )
    return (
        f"The **base model** shows no rise, but **too few questions** were asked to tell it from the reasoning model: "
        f"{stays}. The reasoning model rises by at least {100 * least:+.2f}."
    )


def _from_to(one: _Steered, tries: int) -> str:
    """Both rates, the paired difference, and the test that stands behind it."""
    before, after = (rate_interval(p.hits, p.words) for p in (one.baseline, one.point))
    p = min(one.found.p * tries, 1.0)
    tested = f"{_questions(one)}, p {_p(p)}" + (f" corrected for {_doses(tries)}" if tries > 1 else "")
    return (
        f"from {_percent(before)} to {_percent(after)} at coefficient {one.point.coefficient:.3g}, "
        f"{_points(one.found.difference)} ({tested})"
    )


def _questions(one: _Steered) -> str:
    return f"{one.found.difference.n} questions"


def _doses(n: int) -> str:
    return f"{n} readable dose{'' if n == 1 else 's'}"


def _p(p: float) -> str:
    return f"< {ALPHA / 50:.3f}" if p < ALPHA / 50 else f"= {p:.3f}"


def _points(difference: Interval) -> str:
    return f"{100 * difference.mean:+.2f} points [{100 * difference.low:+.2f}, {100 * difference.high:+.2f}]"


def _percent(share: Interval) -> str:
    return f"{100 * share.mean:.2f}% [{100 * share.low:.2f}, {100 * share.high:.2f}]"
