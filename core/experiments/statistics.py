"""The numbers behind a figure: rates, paired differences, what is readable, the controls' band and the null.

Every rate has an interval over questions, every difference is paired by question and seed (`core.statistics`). What is
readable is judged beside the same model's unsteered texts (`core.runs.coherence`). No torch, no disk.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate

from core.experiments.values import RIVALS, Half, Match, Outcome, Point
from core.models.pair import Role
from core.runs.coherence import CHOSEN, REPORTED, Allowance, Measured, faults_of
from core.statistics import Comparison, Interval, compare_rates, mean_interval, rate_interval, wilson
from core.values import Window

MIN_RANDOM = 10
"""Random directions below which no share of them is told."""


@dataclass(frozen=True, kw_only=True)
class BandRow:
    """Between which rates the readable controls lie at one dose."""

    coefficient: float
    low: float
    high: float
    n_controls: int


@dataclass(frozen=True, kw_only=True)
class RandomShare:
    """Where the direction lies among the random ones of one match."""

    match: Match
    below: Interval
    """Share of the random directions whose rate is lower, with its Wilson interval over directions."""
    n_readable: int
    """How many of them leave the text readable."""


@dataclass(frozen=True, kw_only=True)
class Effect:
    """What the direction of one layer and window does to the reasoning model."""

    point: Point
    gain: Comparison
    """Its rate less that of the unsteered texts, paired by question."""
    n_doses: int
    """Readable doses that it is the best of; 1 on the reported half, whose dose was chosen on the other."""


@dataclass(frozen=True, kw_only=True)
class Null:
    """The direction at its chosen dose against what should do less."""

    chosen: Point
    shares: tuple[RandomShare, ...]
    """One per match that has enough random directions."""
    n_readable: int
    """Readable controls, of all kinds, doses and matches."""
    n_controls: int
    strongest: Point | None
    """The readable control with the highest rate, at whatever dose; None where no control is readable."""
    difference: Comparison | None
    """The direction minus it, paired."""


def rate(point: Point) -> Interval:
    """Share of all words that are keywords (paper, Eq. 1), with its interval over questions."""
    return rate_interval(point.hits, point.words)


def nll(point: Point) -> Interval:
    """Mean nats per token under the unsteered model, with its interval over questions."""
    return mean_interval([math.nan if value is None else value for value in point.nll])


def repetition(point: Point) -> float:
    """Mean share of repeated 4-grams."""
    return sum(point.repetition) / max(len(point.repetition), 1)


def n_holding_half(point: Point) -> int:
    """The least number of texts that together hold half of the keywords or more; 0 without keywords.

    A few texts that say nothing but "wait" raise the rate like many that say it once more.
    """
    held = accumulate(sorted(point.hits, reverse=True))
    return next((n for n, count in enumerate(held, 1) if count and 2 * count >= sum(point.hits)), 0)


def beside(point: Point, other: Point) -> Comparison:
    """The rate of one minus that of the other, paired by question; both on the same half."""
    n = min(point.n, other.n)
    return compare_rates(point.hits[:n], point.words[:n], other.hits[:n], other.words[:n])


def baseline_of(points: Iterable[Point], point: Point) -> Point | None:
    """The unsteered texts of the same model on the same half."""
    return unsteered(points, point.target, point.half)


def unsteered(points: Iterable[Point], target: Role, half: Half) -> Point | None:
    """The unsteered texts of a model on a half."""
    return next((p for p in points if (p.kind, p.target, p.half) == ("unsteered", target, half)), None)


def faults(point: Point, baseline: Point | None, allowed: Allowance | None = None) -> tuple[str, ...]:
    """What keeps the texts of a point from being readable, in words; () for readable ones.

    The choosing half has a share of the limits only, since the reported texts are others.
    """
    allowed = allowed or (CHOSEN if point.half == "choose" else REPORTED)
    if point.kind == "unsteered":
        baseline = None
    return faults_of(_measured(point), _measured(baseline) if baseline else None, allowed)


def readable(point: Point, baseline: Point | None) -> bool:
    """Whether the texts of a point are evidence and stay within the limits beside the unsteered ones."""
    return not faults(point, baseline)


def chosen_point(outcome: Outcome, *, source: Role = "base", target: Role = "reasoner") -> Point | None:
    """The direction at the chosen dose on the reported half."""
    if outcome.choice is None:
        return None
    return next(
        (
            p
            for p in outcome.reported
            if (p.kind, p.source, p.target) == ("direction", source, target) and at_chosen(outcome, p)
        ),
        None,
    )


def effect_at(outcome: Outcome, *, source: Role, layer: int, window: Window) -> Effect | None:
    """The effect of this place: as reported where it is the chosen one, else of the readable dose that gained most.

    None where the experiment did not measure it, or no dose left the text readable.
    """
    chosen = chosen_point(outcome, source=source)
    if chosen is not None and (chosen.layer, chosen.window) == (layer, window):
        baseline = baseline_of(outcome.reported, chosen)
        return Effect(point=chosen, gain=beside(chosen, baseline), n_doses=1) if baseline else None
    found = []
    for point in outcome.chosen_from:
        here = (point.kind, point.target, point.source) == ("direction", "reasoner", source)
        baseline = baseline_of(outcome.chosen_from, point)
        if here and (point.layer, point.window) == (layer, window) and baseline and readable(point, baseline):
            found.append((beside(point, baseline), point))
    if not found:
        return None
    gain, point = max(found, key=lambda one: one[0].difference.mean)
    return Effect(point=point, gain=gain, n_doses=len(found))


def at_chosen(outcome: Outcome, point: Point) -> bool:
    """Whether a point has the chosen dose."""
    return outcome.choice is not None and math.isclose(point.coefficient, outcome.choice.coefficient, rel_tol=1e-9)


def rivals(points: Iterable[Point]) -> list[Point]:
    """The points of controls that should do less than the direction, on the reasoning model."""
    return [p for p in points if p.kind in RIVALS and p.target == "reasoner"]


def band(points: Sequence[Point]) -> tuple[BandRow, ...]:
    """Between which rates the readable rivals lie, dose by dose; a dose at which none is readable has no row."""
    by_dose: dict[float, list[float]] = defaultdict(list)
    for point in rivals(points):
        if point.match == "norm" and readable(point, baseline_of(points, point)):
            by_dose[point.coefficient].append(rate(point).mean)
    return tuple(
        BandRow(coefficient=dose, low=min(rates), high=max(rates), n_controls=len(rates))
        for dose, rates in sorted(by_dose.items())
        if len(rates) > 1
    )


def null_of(outcome: Outcome) -> Null | None:
    """The direction at its chosen dose beside its controls; None before both were measured."""
    chosen = chosen_point(outcome)
    controls = rivals(outcome.reported)
    if chosen is None or not controls:
        return None
    fit = [p for p in controls if readable(p, baseline_of(outcome.reported, p))]
    strongest = max(fit, key=lambda p: rate(p).mean, default=None)
    return Null(
        chosen=chosen,
        shares=tuple(share for match in ("norm", "coherence") if (share := _share(outcome, chosen, controls, match))),
        n_readable=len(fit),
        n_controls=len(controls),
        strongest=strongest,
        difference=beside(chosen, strongest) if strongest else None,
    )


def _share(outcome: Outcome, chosen: Point, controls: Sequence[Point], match: Match) -> RandomShare | None:
    found = [p for p in controls if p.kind == "random" and p.match == match]
    if match == "norm":
        found = [p for p in found if at_chosen(outcome, p)]
    if len(found) < MIN_RANDOM:
        return None
    lower = sum(rate(p).mean < rate(chosen).mean for p in found)
    n_readable = sum(readable(p, baseline_of(outcome.reported, p)) for p in found)
    return RandomShare(match=match, below=wilson(lower, len(found)), n_readable=n_readable)


def _measured(point: Point) -> Measured:
    return Measured(
        nll=nll(point).mean, repetition=repetition(point), no_evidence=point.no_evidence, n_texts=max(point.n, 1)
    )
