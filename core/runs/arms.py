"""Comparing two ways of running the same prompts, prompt by prompt and seed by seed. No model, no disk."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.runs.questions import accuracy
from core.runs.values import Generation
from core.statistics import Comparison, Interval, compare_rates, mean_interval, rate_interval, wilson
from core.text.words import KEYWORDS, measure_text

_Z_INTERVAL, _Z_POWER = 1.96, 0.84


@dataclass(frozen=True, kw_only=True)
class ArmReading:
    """What the completions of one arm say, one per prompt."""

    hits: tuple[int, ...]
    words: tuple[int, ...]
    fraction: Interval
    """Share of all words that are keywords (paper, Eq. 1), with its interval over prompts."""
    nll: Interval
    """Nats per token under the unsteered model."""
    repetition: float
    tokens: float
    """Mean number of tokens."""
    accuracy: Interval | None
    """Share of right answers with its Wilson interval; None where no answer is known."""
    no_evidence: int
    """How many completions say nothing."""


def read_arm(
    generations: Sequence[Generation], answers: Sequence[str], keywords: Sequence[str] = KEYWORDS
) -> ArmReading:
    """The reading of one arm; `answers` has one entry per prompt, "" where none is known."""
    measured = [measure_text(g.text, keywords) for g in generations]
    hits, words = tuple(m.n_keywords for m in measured), tuple(m.n_words for m in measured)
    right, known = accuracy([g.text for g in generations], answers)
    return ArmReading(
        hits=hits,
        words=words,
        fraction=rate_interval(hits, words),
        nll=mean_interval([math.nan if g.nll is None else g.nll for g in generations]),
        repetition=float(np.mean([m.repetition for m in measured])),
        tokens=float(np.mean([len(g.token_ids) for g in generations])),
        accuracy=wilson(right, known) if known else None,
        no_evidence=sum(m.no_evidence is not None for m in measured),
    )


def compare_arms(arm: ArmReading, baseline: ArmReading) -> Comparison:
    """Keyword fraction of `arm` minus that of `baseline`, paired by prompt: interval and test."""
    return compare_rates(arm.hits, arm.words, baseline.hits, baseline.words)


def needed_prompts(arm: ArmReading, baseline: ArmReading) -> int | None:
    """How many prompts would tell the difference from none, at 5% and with 80% power, if it is as large as it looks.

    n = ((1.96 + 0.84) · s / |d|)², with mean d and standard deviation s of the difference per prompt. None where the
    difference is 0.
    """
    pairs = zip(arm.hits, arm.words, baseline.hits, baseline.words, strict=True)
    differences = [h / w - b / v for h, w, b, v in pairs if w and v]
    if len(differences) < 2:
        return None
    mean, spread = float(np.mean(differences)), float(np.std(differences, ddof=1))
    if mean == 0:
        return None
    return max(math.ceil(((_Z_INTERVAL + _Z_POWER) * spread / abs(mean)) ** 2), 2)


def first_divergence(a: Sequence[int], b: Sequence[int]) -> int | None:
    """Index of the first token in which two completions differ; None while one is a beginning of the other."""
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), None)
