"""What an experiment adds to a model: the directions under test and their controls, as arms. No model, no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np

from core.directions.direction import DOSE, Direction
from core.errors import BadInput, UserFacingError
from core.experiments.values import Arm, Choice, ControlPlan, Kind, Plan
from core.extraction.controls import matched, nearest_projected_out, random_controls, sign_flip
from core.extraction.tables import POSITION, DirectionTable, TableSpec
from core.forward.edits import SteeringSpec
from core.models.pair import ModelFacts, Role
from core.runs.values import GenerationSpec
from core.traces.events import digest_of
from core.values import Prompt, SamplingSpec, Trace, Window

SOURCE_NAMES: dict[Role, str] = {"base": "base-derived", "reasoner": "reasoner-derived"}


def unsteered_arm(target: Role) -> Arm:
    """A model as it is."""
    return Arm(target=target, kind="unsteered", name="unsteered")


@dataclass(frozen=True)
class Directions:
    """Where an experiment's directions come from: a table per source model, or one saved direction per source."""

    tables: Mapping[Role, DirectionTable]
    saved: Mapping[Role, Direction]

    @property
    def sources(self) -> tuple[Role, ...]:
        """The source models, the base model first."""
        return tuple(self.saved or self.tables)

    def arm(self, source: Role, target: Role, layer: int, window: Window | None) -> Arm:
        """The direction of one source added to a target. Raises BadInput where there is none."""
        direction = self._direction(source, layer, window)
        return Arm(
            target=target,
            kind="direction",
            name=SOURCE_NAMES[source],
            source=source,
            direction=direction,
            layer=layer,
            window=window,
        )

    def resid_norm(self, layer: int) -> float:
        """Mean norm of the reasoning model's residual stream at a layer, else the base model's; 0 where not known."""
        if self.tables:
            return self.tables["reasoner" if "reasoner" in self.tables else "base"].resid_norm(layer)
        found = [d.resid_norm for role in ("reasoner", "base") if (d := self.saved.get(role)) and d.layer == layer]
        return next((norm for norm in found if norm), 0.0)

    def of_place(self, choice: Choice) -> tuple[Direction, ...]:
        """The directions of a chosen place as they may be saved, with the dose as a share of the residual norm.

        The base model's is the last.
        """
        norm = self.resid_norm(choice.layer)
        dose = ((DOSE, f"{choice.coefficient / norm:.3f}"),) if norm else ()
        found = [self._direction(source, choice.layer, choice.window) for source in reversed(self.sources)]
        return tuple(replace(one, provenance=(*one.provenance, *dose)) for one in found)

    def controls(self, plan: ControlPlan, layer: int, window: Window | None) -> tuple[list[Arm], list[str]]:
        """The controls of the base-derived direction on the reasoning model, and a sentence for each not made.

        A direction that is itself held against the place of other parts has no control of that kind.
        """
        tested = self.arm("base", "reasoner", layer, window)
        direction = tested.direction
        assert direction is not None
        arms, notes = [], []
        table = self.tables.get("base")
        is_placed = table is not None and table.spec.negatives == "position"
        for kind in plan.kinds:
            if kind == "position" and is_placed:
                continue
            if kind == "random":
                made = [(f"random {i}", d) for i, d in enumerate(random_controls(direction, plan.random, plan.seed), 1)]
                arms += [_control(tested, "random", name, d) for name, d in made if plan.random]
                continue
            try:
                arms += [_control(tested, kind, name, control) for name, control in self._made(kind, direction, window)]
            except UserFacingError as error:
                notes.append(f"The control “{NAMES[kind]}” could not be made: {error.problem}")
        return arms, notes

    def _direction(self, source: Role, layer: int, window: Window | None) -> Direction:
        if self.saved:
            return self.saved[source]
        table = self.tables[source]
        assert window is not None
        return table.at(table.spec.label, layer, window)

    def _made(self, kind: Kind, direction: Direction, window: Window | None) -> list[tuple[str, Direction]]:
        if kind in ("flip", "self"):
            return [(NAMES[kind], sign_flip(direction) if kind == "flip" else direction)]
        table = self.tables.get("base")
        if table is None or window is None:
            raise BadInput("the directions are saved ones, without traces.", "Extract them from traces.")
        return _FROM_TABLE[kind](table, direction, window)


NAMES: dict[Kind, str] = {
    "unsteered": "unsteered",
    "direction": "direction",
    "random": "random",
    "label": "other labels",
    "shuffled": "shuffled events",
    "mean": "overall mean",
    "flip": "sign flip",
    "self": "self-amplification",
    "without": "without its nearest label",
    "position": "against the place of other parts",
}


def at_coherence(arm: Arm) -> Arm:
    """The arm as one whose dose is set by coherence."""
    return replace(arm, match="coherence")


def _control(tested: Arm, kind: Kind, name: str, direction: Direction) -> Arm:
    made = replace(
        tested,
        kind=kind,
        name=name,
        source=None if kind in ("random", "self") else "base",
        direction=direction,
    )
    return replace(made, operator="amplify") if kind == "self" else made


def _labels(table: DirectionTable, direction: Direction, window: Window) -> list[tuple[str, Direction]]:
    found = []
    for label in table.others:
        with suppress(UserFacingError):
            found.append((f"label: {label}", matched(table.at(label, direction.layer, window), direction)))
    if not found:
        raise BadInput("no other label has enough events.", "Use traces with two labels or more.")
    return found


def _shuffled(table: DirectionTable, direction: Direction, window: Window) -> list[tuple[str, Direction]]:
    control = table.at(table.shuffled, direction.layer, window)
    return [(NAMES["shuffled"], matched(control, direction))]


def _mean(table: DirectionTable, direction: Direction, window: Window) -> list[tuple[str, Direction]]:
    raw = table.means[table.spec.layers.index(direction.layer)]
    mean = Direction.from_raw(np.asarray(raw), name=NAMES["mean"], layer=direction.layer)
    return [(NAMES["mean"], matched(mean, direction))]


def _without(table: DirectionTable, direction: Direction, window: Window) -> list[tuple[str, Direction]]:
    others = [
        table.at(label, direction.layer, window) for label in table.others if table.has(label, direction.layer, window)
    ]
    control = nearest_projected_out(direction, others)
    return [(dict(control.provenance)["control"], control)]


def _position(table: DirectionTable, direction: Direction, window: Window) -> list[tuple[str, Direction]]:
    control = table.at(POSITION, direction.layer, window)
    return [(NAMES["position"], matched(control, direction))]


_FROM_TABLE: dict[Kind, Callable[[DirectionTable, Direction, Window], list[tuple[str, Direction]]]] = {
    "label": _labels,
    "shuffled": _shuffled,
    "mean": _mean,
    "without": _without,
    "position": _position,
}


def three_ways(
    facts: Mapping[Role, ModelFacts],
    prompts: Mapping[Role, Prompt],
    direction: Direction,
    coefficient: float,
    sampling: SamplingSpec,
) -> tuple[GenerationSpec, GenerationSpec, GenerationSpec]:
    """One question answered with the direction in the reasoning model, in the base model, and a random one's instead.

    The last is a random direction of the same size in the reasoning model. At 0 nothing is added.
    """
    pushed: tuple[tuple[Role, Direction], ...] = (
        ("reasoner", direction),
        ("base", direction),
        ("reasoner", random_controls(direction, 1)[0]),
    )
    made = [
        GenerationSpec(
            model=facts[role].spec,
            fingerprint=facts[role].fingerprint,
            prompt=prompts[role],
            sampling=sampling,
            steering=(SteeringSpec(direction=one, layer=direction.layer, coefficient=coefficient),)
            if coefficient
            else (),
        )
        for role, one in pushed
    ]
    return made[0], made[1], made[2]


def table_spec(plan: Plan, traces: Sequence[Trace], facts: ModelFacts) -> TableSpec:
    """The directions that a plan takes from one model."""
    layers = {*plan.layers, *(() if plan.fixed.layer is None else (plan.fixed.layer,))}
    windows = (*plan.windows, *(() if plan.fixed.window is None else (plan.fixed.window,)))
    return TableSpec(
        model=facts.spec,
        fingerprint=facts.fingerprint,
        traces_digest=digest_of(traces),
        label=plan.label,
        labels=tuple(sorted({part.label for trace in traces for part in trace.parts})),
        windows=tuple(dict.fromkeys(windows)),
        layers=tuple(sorted(layers)),
        negatives=plan.negatives,
        weighting=plan.weighting,
        seed=plan.controls.seed,
        frame=plan.frame,
    )
