"""What an experiment will take, before it starts: its own protocol, walked through with made-up answers. No model."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from core.errors import BadInput
from core.experiments.arms import NAMES, SOURCE_NAMES, Directions
from core.experiments.points import SHORT_QUESTIONS, SHORT_TOKENS, Want
from core.experiments.protocol import Notebook, Steps
from core.experiments.values import EDGE_NLL, Arm, ControlPlan, Kind, Plan, Point
from core.models.pair import ROLES, Role
from core.values import Window

BYTES_PER_TOKEN, BYTES_PER_QUESTION = 6, 700
"""Of a stored cell: text, and the question with its tokens."""
EDGE_AFTER = 3.0
"""The edge that the made-up answers have, in multiples of where its search begins."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a plan takes, at most."""

    points: int
    """Arms × doses that are shown."""
    cells: int
    """Blocks of questions, those of the searches for doses too."""
    tokens: int
    disk_bytes: int
    seconds: Mapping[Role, float] | None = None
    """Time by model, where this machine has measured how fast they write; None where it has not."""


def wants_of(plan: Plan, *, n_labels: int = 6) -> list[Want]:
    """Everything that the plan may ask for; which place is chosen changes it little."""
    steps = Steps(plan, _Imagined(plan, n_labels), Notebook(plan, ("", ""))).run()
    wants: list[Want] = []
    try:
        want = next(steps)
        while True:
            wants.append(want)
            want = steps.send(_imagined(want))
    except StopIteration:
        return wants


def tokens_of(plan: Plan, want: Want) -> int:
    """New tokens that a point takes at most."""
    n, limit = len(plan.questions(want.half)), plan.sampling.max_new_tokens
    return min(n, SHORT_QUESTIONS) * min(limit, SHORT_TOKENS) if want.short else n * limit


def cost_of(plan: Plan, *, n_labels: int = 6, speeds: Mapping[Role, float] | None = None) -> Cost:
    """Points, cells, tokens and disk of a plan; `speeds` are tokens per second of each model on this machine."""
    wants = list(dict.fromkeys(wants_of(plan, n_labels=n_labels)))
    tokens: dict[Role, int] = dict.fromkeys(ROLES, 0)
    for want in wants:
        tokens[want.arm.target] += tokens_of(plan, want)
    asked = [1 if want.short else len(plan.questions(want.half)) for want in wants]
    total = sum(tokens.values())
    return Cost(
        points=sum(not want.short for want in wants),
        cells=sum(math.ceil(n / plan.block) for n in asked),
        tokens=total,
        disk_bytes=total * BYTES_PER_TOKEN + sum(asked) * BYTES_PER_QUESTION,
        seconds={role: n / speeds[role] for role, n in tokens.items() if role in speeds} if speeds else None,
    )


class _Imagined(Directions):
    """Directions that have a name and no vector."""

    def __init__(self, plan: Plan, n_labels: int) -> None:
        super().__init__({}, {})
        self._plan, self._n_labels = plan, n_labels

    @property
    def sources(self) -> tuple[Role, ...]:
        return ("base",) if self._plan.saved is not None and not self._plan.saved.reasoner else ROLES

    def arm(self, source: Role, target: Role, layer: int, window: Window | None) -> Arm:
        name = SOURCE_NAMES[source]
        return Arm(target=target, kind="direction", name=name, source=source, layer=layer, window=window)

    def resid_norm(self, layer: int) -> float:
        return 1.0

    def controls(self, plan: ControlPlan, layer: int, window: Window | None) -> tuple[list[Arm], list[str]]:
        made: list[tuple[Kind, str]] = []
        for kind in plan.kinds:
            n = {"random": plan.random, "label": self._n_labels - 1}.get(kind, 1)
            made += [(kind, f"{NAMES[kind]} {i}") for i in range(n)]
        arms = [Arm(target="reasoner", kind=kind, name=name, layer=layer, window=window) for kind, name in made]
        return arms, []


def _imagined(want: Want) -> Point:
    """An answer whose text grows less likely with the dose, so that every search ends."""
    if not math.isfinite(want.coefficient):
        raise BadInput("A dose of the plan is not finite.", "Name doses that are numbers.")
    cost = EDGE_NLL * abs(want.coefficient) / (EDGE_AFTER * 0.2)
    return Point(
        target=want.arm.target,
        kind=want.arm.kind,
        name=want.arm.name,
        source=want.arm.source,
        layer=want.arm.layer,
        window=want.arm.window,
        match=want.arm.match,
        half=want.half,
        coefficient=want.coefficient,
        resid_norm=1.0,
        raw_norm=0.0,
        hits=(1, 1),
        words=(100, 100),
        repetition=(0.0, 0.0),
        nll=(1.0 + cost, 1.0 + cost),
        no_evidence=0,
    )
