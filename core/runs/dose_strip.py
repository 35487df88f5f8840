"""The dose strip: one program at a row of coefficients, and which of them leave the text coherent. No model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from core.forward.edits import OPERATORS
from core.runs.coherence import ONE_TEXT, Measured, faults_of, is_readable
from core.runs.values import Generation, GenerationSpec
from core.text.words import KEYWORDS, measure_text

UNIT_DOSES = (-12.0, -8.0, -4.0, -2.0, 0.0, 2.0, 4.0, 6.0, 8.0, 10.0, 12.0, 16.0)
"""Coefficients around those of the paper, in unit vectors."""
SHARE_DOSES = (-0.6, -0.4, -0.2, -0.1, 0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8)
"""The same row as shares of the mean residual norm, for models whose streams are longer or shorter."""


@dataclass(frozen=True, kw_only=True)
class DoseReading:
    """What one completion of the strip says."""

    coefficient: float
    fraction: float
    """Share of words that are keywords (paper, Eq. 1)."""
    n_keywords: int
    n_words: int
    repetition: float
    nll: float
    """Nats per token under the unsteered model; nan before it is scored."""
    no_evidence: str
    """Why the text says nothing, or ""."""
    coherent: bool
    faults: tuple[str, ...] = ()
    """Why the text is not coherent, beside saying nothing."""


def strip_specs(spec: GenerationSpec, coefficients: Sequence[float]) -> tuple[GenerationSpec, ...]:
    """`spec` at each coefficient of its first edit, the others as they are; a 0 that is no edit leaves it out."""
    first, *others = spec.steering
    return tuple(
        replace(spec, steering=tuple(others))
        if coefficient == 0 and OPERATORS[first.operator].zero_is_no_edit
        else replace(spec, steering=(replace(first, coefficient=float(coefficient)), *others))
        for coefficient in coefficients
    )


def read_strip(
    coefficients: Sequence[float], generations: Sequence[Generation], keywords: Sequence[str] = KEYWORDS
) -> tuple[DoseReading, ...]:
    """One reading per dose; what is coherent says `core.runs.coherence` for ONE_TEXT, against dose 0."""
    readings = [_read(c, g, keywords) for c, g in zip(coefficients, generations, strict=True)]
    baseline = next((reading for reading in readings if reading.coefficient == 0), None)
    unsteered = _measured(baseline) if baseline else None
    return tuple(
        replace(
            one,
            coherent=is_readable(_measured(one), unsteered, ONE_TEXT),
            faults=() if one.no_evidence else faults_of(_measured(one), unsteered, ONE_TEXT),
        )
        for one in readings
    )


def coherent_band(readings: Sequence[DoseReading]) -> tuple[float, float] | None:
    """Lowest and highest coefficient around 0 up to which every text is coherent; None where dose 0 is not."""
    ordered = sorted(readings, key=lambda reading: reading.coefficient)
    zero = next((i for i, reading in enumerate(ordered) if reading.coefficient == 0), None)
    if zero is None or not ordered[zero].coherent:
        return None
    low = high = zero
    while low > 0 and ordered[low - 1].coherent:
        low -= 1
    while high < len(ordered) - 1 and ordered[high + 1].coherent:
        high += 1
    return ordered[low].coefficient, ordered[high].coefficient


def _read(coefficient: float, generation: Generation, keywords: Sequence[str]) -> DoseReading:
    measured = measure_text(generation.text, keywords)
    return DoseReading(
        coefficient=coefficient,
        fraction=measured.keyword_fraction,
        n_keywords=measured.n_keywords,
        n_words=measured.n_words,
        repetition=measured.repetition,
        nll=math.nan if generation.nll is None else generation.nll,
        no_evidence=measured.no_evidence or "",
        coherent=False,
    )


def _measured(reading: DoseReading) -> Measured:
    nothing = int(bool(reading.no_evidence))
    return Measured(nll=reading.nll, repetition=reading.repetition, no_evidence=nothing, n_texts=1)
