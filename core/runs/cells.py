"""A cell: one model, one edit, one dose, a block of prompts: what experiments run and keep. No torch, no disk."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from core.directions.direction import Direction
from core.forward.edits import Operator, SteeringSpec
from core.runs.values import GenerationSpec
from core.statistics import Interval, mean_interval, rate_interval
from core.text.thoughts import split_thought
from core.values import ADDED_LATER, Kinds, ModelSpec, Positions, Prompt, SamplingSpec, Spec

Counted = Literal["all", "thinking"]
"""What of a completion is measured: all of it, or the reasoning alone, where marks say where it ends."""


def counted_text(text: str, counted: Counted) -> str:
    """The part of a completion that is measured."""
    return split_thought(text)[0] if counted == "thinking" else text


@dataclass(frozen=True, kw_only=True)
class DoseCellSpec(Spec["DoseCell"]):
    """One point of a dose-response curve: a model steered with one direction at one coefficient, on many prompts."""

    model: ModelSpec
    fingerprint: str
    direction: Direction | None
    """None at coefficient 0, so that every source shares one baseline."""
    layer: int
    coefficient: float
    prompts: tuple[Prompt, ...]
    sampling: SamplingSpec
    """The seed of prompt i is `seed + i`, the same at every coefficient: runs are paired by prompt and seed."""
    keywords: tuple[str, ...]
    operator: Operator = "add"
    counted: Counted = field(default="all", metadata=ADDED_LATER)
    positions: Positions = field(default=Positions(), metadata=ADDED_LATER)

    def generations(self) -> list[GenerationSpec]:
        """The completions that this cell consists of, one per prompt."""
        steering: tuple[SteeringSpec, ...] = ()
        if self.direction is not None:
            steering = (
                SteeringSpec(
                    direction=self.direction,
                    layer=self.layer,
                    operator=self.operator,
                    coefficient=self.coefficient,
                    positions=self.positions,
                ),
            )
        return [
            GenerationSpec(
                model=self.model,
                fingerprint=self.fingerprint,
                prompt=prompt,
                sampling=replace(self.sampling, seed=self.sampling.seed + i),
                steering=steering,
            )
            for i, prompt in enumerate(self.prompts)
        ]


@dataclass(frozen=True, kw_only=True)
class DoseCell:
    """What came out of one cell, per prompt."""

    spec: DoseCellSpec
    hits: tuple[int, ...]
    """(n_prompts,) keyword occurrences."""
    words: tuple[int, ...]
    """(n_prompts,) words."""
    repetition: tuple[float, ...]
    """(n_prompts,) share of repeated 4-grams."""
    nll: tuple[float, ...]
    """(n_prompts,) nats per token under the unsteered model; nan for an empty completion."""
    no_evidence: tuple[str, ...]
    """(n_prompts,) why a completion says nothing; "" where it does."""
    texts: tuple[str, ...]

    def keyword_fraction(self) -> Interval:
        """Share of all words that are keywords (paper, Eq. 1), with its interval over prompts."""
        return rate_interval(self.hits, self.words)

    def mean_nll(self) -> Interval:
        """Mean nats per token over the completions, with its interval over prompts."""
        return mean_interval(self.nll)


KINDS: Kinds = {DoseCellSpec: ("dose_cell", DoseCell)}
