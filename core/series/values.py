"""The values of a series: which pairs, by which plan, and what came out of each. No torch, no disk."""

from __future__ import annotations

from dataclasses import dataclass, replace

from core.errors import BadInput
from core.experiments.values import Choice, Doses, Figure, Fixed, Outcome, Plan
from core.values import PairSpec

MAX_MEMBERS = 400
FIGURES: tuple[Figure, ...] = ("fig3", "fig4")
"""What every pair is reported by: both directions in both models, and the controls."""
_COMPARED: tuple[Figure, ...] = ("fig2",)
"""What chooses and reports nothing."""


@dataclass(frozen=True, kw_only=True)
class Member:
    """One of the pairs."""

    name: str
    pair: PairSpec
    fingerprints: tuple[str, str]
    """(base, reasoner)."""
    step: int | None = None
    """Of a checkpoint: steps of training that are done."""


@dataclass(frozen=True, kw_only=True)
class SeriesPlan:
    """One experiment and the pairs that it is done on."""

    title: str = ""
    plan: Plan
    """With the pair of the last member."""
    members: tuple[Member, ...]
    one_place: bool
    """Whether layer, window and dose are chosen once, on the last pair, and held; else each pair chooses its own."""

    def __post_init__(self) -> None:
        if not 1 <= len(self.members) <= MAX_MEMBERS:
            raise BadInput(f"{len(self.members)} pairs were given.", f"Name 1 to {MAX_MEMBERS}.")
        if len({member.name for member in self.members}) < len(self.members):
            raise BadInput("Two of the pairs have the same name.", "Name each pair once.")
        if self.plan.saved is not None:
            raise BadInput(
                "The plan takes saved directions, which belong to one pair.", "Let it extract them from traces."
            )

    @property
    def steps(self) -> tuple[int, ...]:
        """Of checkpoints, in order; () of other pairs."""
        return tuple(member.step for member in self.members if member.step is not None)


def choosing_plan(series: SeriesPlan) -> Plan | None:
    """What chooses layer, window and dose for all pairs, on the last; None where nothing is to be chosen for all."""
    fixed, plan = series.plan.fixed, series.plan
    if not series.one_place:
        return None
    if fixed.layer is None or fixed.window is None or fixed.dose is None:
        return replace(_of(series, series.members[-1]), figures=_COMPARED)
    if plan.doses.unit == "unit":
        return None
    return replace(_of(series, series.members[-1]), doses=replace(plan.doses, values=(fixed.dose,)))


def member_plan(series: SeriesPlan, member: Member, choice: Choice | None) -> Plan:
    """The plan of one pair: at the place and dose that were chosen for all, if any were, in unit vectors."""
    made = _of(series, member)
    if choice is None:
        return made
    fixed = Fixed(layer=choice.layer, window=choice.window, dose=choice.coefficient)
    return replace(made, fixed=fixed, doses=Doses(unit="unit", values=(choice.coefficient,)))


def _of(series: SeriesPlan, member: Member) -> Plan:
    title = f"{series.title} · {member.name}" if series.title else member.name
    figures = FIGURES if series.one_place else series.plan.figures
    return replace(series.plan, title=title, pair=member.pair, fingerprints=member.fingerprints, figures=figures)


@dataclass(frozen=True, kw_only=True)
class CosineRow:
    """How alike the base-derived and the reasoner-derived direction of a layer are."""

    layer: int
    cosine: float
    low: float | None
    high: float | None
    """95% interval over folds of the traces; None where the sums are not kept any more."""
    n: int
    """Traces with an event; 0 where the sums are not kept."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What came out of one pair so far."""

    member: Member
    outcome: Outcome | None = None
    cosines: tuple[CosineRow, ...] = ()

    @property
    def finished(self) -> bool:
        return self.outcome is not None and self.outcome.finished


@dataclass(frozen=True, kw_only=True)
class Series:
    """What came out of all pairs so far."""

    plan: SeriesPlan
    choosing: Outcome | None = None
    """Of what chose for all pairs, where anything did."""
    measured: tuple[Measured, ...] = ()

    @property
    def n_done(self) -> int:
        """Pairs that are measured."""
        return sum(one.finished for one in self.measured)

    @property
    def finished(self) -> bool:
        return self.n_done == len(self.plan.members)


def choice_of(series: SeriesPlan, chosen: Outcome | None) -> Choice | None:
    """The place and dose that hold for all pairs: as chosen, or as the plan fixes them; None where each chooses."""
    fixed = series.plan.fixed
    if not series.one_place:
        return None
    if chosen is not None:
        return chosen.choice
    if fixed.layer is None or fixed.window is None or fixed.dose is None:
        return None
    return Choice(layer=fixed.layer, window=fixed.window, coefficient=fixed.dose, readable=True, n_compared=0)


def pair_on(pair: PairSpec, device: str) -> PairSpec:
    """The pair on another device."""
    return PairSpec(base=replace(pair.base, device=device), reasoner=replace(pair.reasoner, device=device))


def on_device(series: SeriesPlan, device: str) -> SeriesPlan:
    """The series with all pairs on another device, which no key depends on."""
    members = tuple(replace(member, pair=pair_on(member.pair, device)) for member in series.members)
    return replace(series, members=members, plan=replace(series.plan, pair=members[-1].pair))
