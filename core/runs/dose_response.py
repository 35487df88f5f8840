"""The 2×2 of Fig. 3 as cells, and the numbers of its points. No torch, no disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from core.directions.direction import Direction
from core.runs.cells import DoseCell, DoseCellSpec
from core.runs.coherence import CURVE_POINT, Measured, is_readable
from core.statistics import mean_interval
from core.values import ModelSpec, Prompt, SamplingSpec


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
