"""Values of the paper's experiments: here the 2×2 dose-response of Fig. 3. No torch, no disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from core.directions.direction import Direction
from core.forward.edits import Operator, SteeringSpec
from core.runs.coherence import CURVE_POINT, Measured, is_readable
from core.runs.values import GenerationSpec
from core.statistics import Interval, mean_interval, rate_interval
from core.values import Kinds, ModelSpec, Prompt, SamplingSpec, Spec


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

    def generations(self) -> list[GenerationSpec]:
        """The completions that this cell consists of, one per prompt."""
        steering: tuple[SteeringSpec, ...] = ()
        if self.direction is not None:
            steering = (
                SteeringSpec(
                    direction=self.direction, layer=self.layer, operator=self.operator, coefficient=self.coefficient
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


@dataclass(frozen=True, kw_only=True)
class DosePoint:
    """The numbers of one cell, without its texts: what curves are drawn from and what is recorded."""

    source: str
    target: str
    coefficient: float
    hits: tuple[int, ...]
    words: tuple[int, ...]
    repetition: tuple[float, ...]
    nll: tuple[float, ...]
    no_evidence: int
    """How many of the completions say nothing."""

    def is_readable(self, baseline: DosePoint | None) -> bool:
        """Whether `core.runs.coherence` allows it for CURVE_POINT, beside the same model's unsteered texts."""
        return is_readable(self._measured(), baseline._measured() if baseline else None, CURVE_POINT)

    def _measured(self) -> Measured:
        return Measured(
            nll=mean_interval(self.nll).mean,
            repetition=sum(self.repetition) / max(len(self.repetition), 1),
            no_evidence=self.no_evidence,
            n_texts=len(self.hits),
        )


@dataclass(frozen=True, kw_only=True)
class DoseLine:
    """One curve of the 2×2: direction of `source` added to `target` at its own layer, one cell per coefficient."""

    source: str
    target: str
    cells: tuple[DoseCellSpec, ...]


def plan_dose_response(
    *,
    directions: Sequence[tuple[str, Direction]],
    targets: Sequence[tuple[str, ModelSpec, str, tuple[Prompt, ...]]],
    coefficients: Sequence[float],
    sampling: SamplingSpec,
    keywords: tuple[str, ...],
) -> tuple[DoseLine, ...]:
    """The cells of the 2×2: every direction (name, direction) into every target (name, model, fingerprint, prompts).

    Each direction is added at its own layer.
    """
    return tuple(
        DoseLine(
            source=source,
            target=target,
            cells=tuple(
                DoseCellSpec(
                    model=model,
                    fingerprint=fingerprint,
                    direction=direction if coefficient else None,
                    layer=direction.layer if coefficient else 0,
                    coefficient=coefficient,
                    prompts=prompts,
                    sampling=sampling,
                    keywords=keywords,
                )
                for coefficient in coefficients
            ),
        )
        for target, model, fingerprint, prompts in targets
        for source, direction in directions
    )


def point_of(line: DoseLine, cell: DoseCell) -> DosePoint:
    """The numbers of a cell on its curve."""
    return DosePoint(
        source=line.source,
        target=line.target,
        coefficient=cell.spec.coefficient,
        hits=cell.hits,
        words=cell.words,
        repetition=cell.repetition,
        nll=cell.nll,
        no_evidence=sum(map(bool, cell.no_evidence)),
    )
