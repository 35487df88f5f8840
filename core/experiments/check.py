"""What is said of a plan before the first forward: what is wrong with it, and what it will take. No model, no torch."""

from __future__ import annotations

import math
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from core.directions.direction import Direction
from core.errors import BadInput, UserFacingError
from core.experiments.arms import NAMES, SOURCE_NAMES, Directions
from core.experiments.points import SHORT_QUESTIONS, SHORT_TOKENS, Want
from core.experiments.protocol import START_SHARE, Notebook, Steps
from core.experiments.values import EDGE_NLL, OF_LABELS, Arm, ControlPlan, Half, Kind, Plan, Point
from core.models.pair import ROLES, ModelFacts, Role
from core.tokens.frames import ChatFrame
from core.values import Prompt, Trace, Window

MIN_QUESTIONS, MAX_BLOCK = 2, 512
HALVES: tuple[Half, ...] = ("choose", "report")
REPORTING = {"fig3", "fig4", "figC1"}
SPARE_BYTES = 64 << 20
BYTES_PER_TOKEN, BYTES_PER_QUESTION = 6, 700
"""Of a stored cell: text, and the question with its tokens."""
CHARACTERS_PER_TOKEN = 3
"""Of a question, as few as is usual."""
EDGE_AFTER = 3.0
"""The edge that made-up answers have, in multiples of where its search begins."""

Pair = tuple[ModelFacts, ModelFacts]
"""(base, reasoner)."""


class Encode(Protocol):
    """Encodes a question as the model of a role reads it, such as `PairHolder.encode`."""

    def __call__(self, role: Role, question: str, *, frame: ChatFrame | None = None) -> Prompt: ...


def check_plan(plan: Plan, pair: Pair) -> None:
    """Raise BadInput for a plan that does not fit the pair, or that cannot tell anything."""
    _check_pair(plan, pair)
    if not plan.figures:
        raise BadInput("The plan asks for no figure.", "Choose at least one.")
    n_layers = pair[1].n_layers
    wrong = [n for n in (*plan.layers, plan.fixed.layer) if n is not None and not 0 <= n < n_layers]
    if wrong or not (plan.layers or plan.saved):
        named = f"layer {wrong[0]}" if wrong else "no layer"
        raise BadInput(f"The plan names {named}; {pair[1].name} has layers 0 to {n_layers - 1}.", "Choose among these.")
    if not plan.windows and plan.saved is None:
        raise BadInput("The plan names no window.", "Name at least one, such as -13..-8.")
    if not 1 <= plan.block <= MAX_BLOCK:
        raise BadInput(f"Blocks of {plan.block} questions are not possible.", f"Use 1 to {MAX_BLOCK}.")
    _check_questions(plan)


def _check_pair(plan: Plan, pair: Pair) -> None:
    asked = plan.fingerprints
    if all(not mine or there.has_weights(mine) for mine, there in zip(asked, pair, strict=True)):
        return
    if all(there.has_weights(mine) for mine, there in zip(asked, pair[::-1], strict=True)):
        raise BadInput("The plan's base and reasoning models are swapped in the loaded pair.", "Load them in order.")
    for name, mine, there in zip(("base", "reasoning"), asked, pair, strict=True):
        if mine and not there.has_weights(mine):
            raise BadInput(
                f"The plan was made for another {name} model than the loaded one: other weights.",
                "Load that pair, or make the plan again for this one.",
            )


def _check_questions(plan: Plan) -> None:
    for half in HALVES:
        n = len(plan.questions(half))
        if n < MIN_QUESTIONS and (half == "choose" or REPORTING & set(plan.figures)):
            what = "to choose on" if half == "choose" else "to report"
            raise BadInput(
                f"The plan has {n} question{'' if n == 1 else 's'} {what}; intervals need {MIN_QUESTIONS}.",
                "Give more questions: half of them choose, half are reported.",
            )
    shared = {e.prompt for e in plan.choose} & {e.prompt for e in plan.report}
    if shared:
        raise BadInput(
            f"{len(shared)} question{'' if len(shared) == 1 else 's'} would both choose and be reported, the first: "
            f"“{min(shared)[:60]}”.",
            "Put each into one half.",
        )


def check_prompts(plan: Plan, encode: Encode) -> Mapping[tuple[Role, Half], tuple[Prompt, ...]]:
    """The questions as each model reads them. Raises BadInput, with the place, for one that it cannot."""
    found: dict[tuple[Role, Half], tuple[Prompt, ...]] = {}
    for role in ROLES:
        for half in HALVES:
            prompts = []
            for number, example in enumerate(plan.questions(half), start=1):
                try:
                    prompts.append(encode(role, example.prompt, frame=plan.frame))
                except UserFacingError as error:
                    raise BadInput(
                        f"Question {number} of those to {half} cannot be asked: {error.problem}", error.remedy
                    ) from error
            found[role, half] = tuple(prompts)
    return found


def check_directions(plan: Plan, saved: Mapping[Role, Direction], traces: Sequence[Trace], pair: Pair) -> None:
    """Raise BadInput or BadDirection where directions or controls cannot be what the plan says they are."""
    facts = dict(zip(ROLES, pair, strict=True))
    for role, direction in saved.items():
        other = facts["reasoner" if role == "base" else "base"]
        if direction.fingerprint and not facts[role].has_weights(direction.fingerprint):
            is_swapped = other.has_weights(direction.fingerprint)
            swapped = " It was found in the other model of the pair." if is_swapped else ""
            raise BadInput(
                f"The direction {direction.name!r} was not found in {facts[role].name}.{swapped}",
                "Choose one that was extracted from that model.",
            )
        direction.check_fits(n_layers=facts[role].n_layers, d_model=facts[role].d_model, model_name=facts[role].name)
    if saved:
        if len({d.layer for d in saved.values()}) > 1:
            raise BadInput("The two saved directions are of different layers.", "Choose two of one layer.")
        return
    _check_traces(plan, traces)


def _check_traces(plan: Plan, traces: Sequence[Trace]) -> None:
    if len(traces) < MIN_QUESTIONS:
        raise BadInput(f"The plan's traces are {len(traces)}.", "Use a set with at least two.")
    counts = Counter(part.label for trace in traces for part in trace.parts)
    if plan.label not in counts:
        known = ", ".join(sorted(counts)[:8]) or "none"
        raise BadInput(f"No trace has the label {plan.label!r}; there are: {known}.", "Choose one of these.")
    with_event = sum(any(part.label == plan.label for part in trace.parts) for trace in traces)
    if with_event < MIN_QUESTIONS:
        raise BadInput(f"{with_event} trace has the label {plan.label!r}.", "Use a set in which two or more have it.")
    needing = [kind for kind in plan.controls.kinds if kind in OF_LABELS]
    if len(counts) == 1 and "fig4" in plan.figures and needing:
        raise BadInput(
            f"The traces have the label {plan.label!r} alone, so these controls cannot be made: {', '.join(needing)}.",
            "Leave them out of the plan, or label the traces with more labels.",
        )
    if len(counts) == 1 and plan.negatives in ("other", "position"):
        raise BadInput(
            f"The traces have the label {plan.label!r} alone, so there is nothing else to subtract.",
            "Subtract the mean over all tokens, or label the traces with more labels.",
        )


def check_space(root: Path, needed: int) -> None:
    """Raise BadInput where the disk has no room for what an experiment keeps."""
    free = shutil.disk_usage(root).free
    if free < needed + SPARE_BYTES:
        raise BadInput(
            f"The experiment keeps about {needed / 1e6:.0f} MB, and {free / 1e6:.0f} MB are free.",
            "Free some space, or ask for fewer questions, doses or shorter texts.",
        )


def check_memory(cost: Cost, free: int) -> None:
    """Raise BadInput where the keys and values of a block have no room in `free` bytes of the device's memory."""
    if cost.memory_bytes > free:
        raise BadInput(
            f"The texts of one block take up to {cost.memory_bytes / 1e9:.1f} GB of memory for their keys and values, "
            f"and {free / 1e9:.1f} GB are free.",
            "Run fewer questions together (a smaller block), or ask for shorter texts.",
        )


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a plan takes, at most."""

    points: int
    """Arms × doses that are shown."""
    cells: int
    """Blocks of questions, those of the searches for doses too."""
    tokens: int
    disk_bytes: int
    memory_bytes: int
    """Keys and values of the largest block, if all its texts become as long as they may; 0: not known."""
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


def cost_of(plan: Plan, *, n_labels: int = 6, speeds: Mapping[Role, float] | None = None, kv_bytes: int = 0) -> Cost:
    """Points, cells, tokens, disk and memory of a plan.

    `speeds` are tokens per second of each model on this machine, `kv_bytes` as in ModelFacts, the larger of the two.
    """
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
        memory_bytes=_rows_together(plan) * kv_bytes,
        seconds={role: n / speeds[role] for role, n in tokens.items() if role in speeds} if speeds else None,
    )


def _rows_together(plan: Plan) -> int:
    """Tokens that are in memory together at most: those of the largest block."""
    asked = [len(example.prompt) for half in HALVES for example in plan.questions(half)]
    n_rows = min(plan.block, max(len(plan.questions(half)) for half in HALVES))
    return n_rows * (max(asked, default=0) // CHARACTERS_PER_TOKEN + plan.sampling.max_new_tokens)


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
    cost = EDGE_NLL * abs(want.coefficient) / (EDGE_AFTER * START_SHARE)
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
