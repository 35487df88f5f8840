"""A point of a figure as cells, a block of questions each, and the numbers that come back. No model, no disk."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from core.disk.codec import key_of
from core.experiments.values import Arm, Half, Plan, Point
from core.models.pair import ModelFacts, Role
from core.runs import cells
from core.runs.cells import DoseCell, DoseCellSpec, counted_text
from core.runs.questions import Example, accuracy
from core.text.turns import turns_of
from core.values import Prompt, Trace
from core.weights import PACKAGES, version

SHORT_QUESTIONS, SHORT_TOKENS = 12, 128
"""Of the texts by which a dose is searched: how many, and how long at most. What a dose costs grows along a text."""


@dataclass(frozen=True, kw_only=True)
class Want:
    """One arm at one dose on one half of the questions; `short` for the few short texts of a search."""

    arm: Arm
    coefficient: float
    half: Half
    short: bool = False
    ahead: tuple[Want, ...] = ()
    """What will be asked for next, whatever comes out: for whoever has nothing to do in the meantime."""

    @property
    def key(self) -> tuple[object, ...]:
        """What makes two points of an experiment one."""
        arm = self.arm
        return arm.target, arm.kind, arm.name, arm.match, arm.layer, arm.window, self.coefficient, self.half


def short_want(arm: Arm, dose: float, ahead: tuple[Want, ...] = ()) -> Want:
    """What a search for a dose asks for."""
    return Want(arm=arm, coefficient=dose, half="choose", short=True, ahead=ahead)


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What a plan's cells have in common: the models, and the questions as each of them reads them."""

    plan: Plan
    facts: Mapping[Role, ModelFacts]
    prompts: Mapping[tuple[Role, Half], tuple[Prompt, ...]]

    def cells(self, want: Want) -> tuple[DoseCellSpec, ...]:
        """The cells of a point in order, `block` questions each."""
        plan, arm = self.plan, want.arm
        prompts = self.prompts[arm.target, want.half]
        sampling = plan.sampling
        if want.short:
            prompts = prompts[:SHORT_QUESTIONS]
            sampling = replace(sampling, max_new_tokens=min(sampling.max_new_tokens, SHORT_TOKENS))
        steered = arm.direction is not None and want.coefficient != 0
        facts = self.facts[arm.target]
        return tuple(
            DoseCellSpec(
                model=facts.spec,
                fingerprint=facts.fingerprint,
                direction=arm.direction if steered else None,
                layer=arm.layer if steered else 0,
                coefficient=want.coefficient if steered else 0.0,
                prompts=prompts[start : start + plan.block],
                sampling=replace(sampling, seed=sampling.seed + start),
                keywords=plan.keywords,
                operator=arm.operator if steered else "add",
                counted=plan.counted,
                positions=plan.positions if steered else type(plan.positions)(),
            )
            for start in range(0, len(prompts), plan.block)
        )


def point_of(
    plan: Plan, want: Want, found: Sequence[DoseCell], *, resid_norm: float, cosine: float | None = None
) -> Point:
    """The numbers of a point from all of its cells, in order."""
    arm = want.arm
    texts = [text for cell in found for text in cell.texts]
    examples = plan.questions(want.half)[: len(texts)]
    right, n_known = accuracy(texts, [example.answer for example in examples])
    back, remarks = _turns(plan, texts, examples)
    kind, _ = cells.KINDS[DoseCellSpec]
    return Point(
        target=arm.target,
        kind=arm.kind,
        name=arm.name,
        source=arm.source,
        layer=arm.layer,
        window=arm.window,
        match=arm.match,
        half=want.half,
        coefficient=want.coefficient,
        resid_norm=resid_norm,
        raw_norm=arm.direction.norm if arm.direction is not None else 0.0,
        hits=tuple(n for cell in found for n in cell.hits),
        words=tuple(n for cell in found for n in cell.words),
        repetition=tuple(value for cell in found for value in cell.repetition),
        nll=tuple(None if math.isnan(value) else value for cell in found for value in cell.nll),
        no_evidence=sum(bool(reason) for cell in found for reason in cell.no_evidence),
        right=right,
        n_known=n_known,
        back=back,
        remarks=remarks,
        cosine=cosine,
        cells=tuple(key_of(kind, cell.spec) for cell in found),
    )


def _turns(plan: Plan, texts: Sequence[str], examples: Sequence[Example]) -> tuple[int, int]:
    read = [
        turns_of(counted_text(text, plan.counted), example.prompt, plan.keywords)
        for text, example in zip(texts, examples, strict=True)
    ]
    return sum(turns.back for turns in read), sum(turns.remarks for turns in read)


def provenance_of(setting: Setting, traces: Sequence[Trace]) -> tuple[tuple[str, str], ...]:
    """What the numbers were made with, and on which day."""
    label, reasoner = setting.plan.label, setting.facts["reasoner"]
    device = ", ".join(filter(None, (reasoner.spec.device, reasoner.card)))
    events = sum(part.label == label for trace in traces for part in trace.parts)
    found = [("traces", f"{len(traces)} with {events} events")] if traces else []
    found += [(name, version(name)) for name in PACKAGES]
    return (*found, ("device", device), ("measured", time.strftime("%Y-%m-%d", time.gmtime())))
