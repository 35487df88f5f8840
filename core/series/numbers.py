"""The numbers of every pair of a series: what its experiment reports at the chosen dose. No torch, no disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from core.experiments.statistics import (
    RandomShare,
    at_chosen,
    baseline_of,
    beside,
    chosen_point,
    faults,
    null_of,
    rate,
    readable,
)
from core.experiments.values import Outcome, Point
from core.experiments.verdicts import Tick, ticks
from core.series.values import Measured, Series
from core.statistics import Comparison, Interval


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Where one pair stands, on the reported half."""

    measured: Measured
    chosen: Point
    """The base-derived direction in the reasoning model at the chosen dose."""
    unsteered: Interval
    """Share of words that are keywords."""
    steered: Interval
    effect: Comparison
    """Steered minus unsteered, paired by question."""
    faults: tuple[str, ...]
    """What keeps the steered text from being readable."""
    reasoner_derived: Interval | None
    """With the direction of the reasoning model itself."""
    strongest: Point | None
    """The readable control with the highest rate; None where none is readable, or none was measured yet."""
    strongest_rate: Interval | None
    specific: Comparison | None
    """Steered minus the strongest readable control, paired."""
    random: tuple[float, ...]
    """Rates of the random directions of equal norm that leave the text readable, from the lowest."""
    share: RandomShare | None
    """How many of all of them it is above."""
    ticks: tuple[Tick, ...]

    @property
    def acts(self) -> bool:
        """Whether it raises the keywords above the unsteered text, in readable text."""
        return not self.faults and self.effect.finding() == "more"

    @property
    def is_specific(self) -> bool:
        """Whether it acts, and does more than the strongest readable control."""
        return self.acts and self.specific is not None and self.specific.finding() == "more"


def standings(series: Series) -> tuple[Standing, ...]:
    """Of every pair whose effect is measured, in order."""
    found = (_standing(one) for one in series.measured)
    return tuple(one for one in found if one is not None)


def _standing(measured: Measured) -> Standing | None:
    outcome = measured.outcome
    chosen = chosen_point(outcome) if outcome else None
    before = baseline_of(outcome.reported, chosen) if outcome and chosen else None
    if outcome is None or chosen is None or before is None:
        return None
    null, own = null_of(outcome), chosen_point(outcome, source="reasoner")
    shares = {share.match: share for share in null.shares} if null else {}
    return Standing(
        measured=measured,
        chosen=chosen,
        unsteered=rate(before),
        steered=rate(chosen),
        effect=beside(chosen, before),
        faults=faults(chosen, before),
        reasoner_derived=rate(own) if own else None,
        strongest=null.strongest if null else None,
        strongest_rate=rate(null.strongest) if null and null.strongest else None,
        specific=null.difference if null else None,
        random=tuple(sorted(rate(p).mean for p in _random(outcome) if readable(p, before))),
        share=shares.get("norm"),
        ticks=ticks(outcome),
    )


def _random(outcome: Outcome) -> list[Point]:
    return [p for p in outcome.reported if p.kind == "random" and p.match == "norm" and at_chosen(outcome, p)]


def first_from(flags: Sequence[bool]) -> int | None:
    """The index from which on all are true, to the last; None where the last is not.

    Of findings that are tested at one level each, this needs no correction for their number: it is a sequence of tests
    in a fixed order, from the last one back, which ends at the first that finds nothing.
    """
    start = len(flags)
    while start and flags[start - 1]:
        start -= 1
    return start if start < len(flags) else None
