"""Numbers about completions: keyword fraction (paper, Eq. 1), repetition, intervals, divergence. No model, no torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]
_BOOTSTRAP_NUMBERS = 4_000_000


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A mean with its 95% interval."""

    mean: float
    low: float
    high: float
    n: int


def bootstrap_mean(values: Sequence[float], *, seed: int = 0) -> Interval:
    """Mean with a 95% percentile bootstrap interval over the values (one per prompt); nan values are left out."""
    data = [value for value in values if not math.isnan(value)]
    return bootstrap_ratio(data, [1] * len(data), seed=seed)


def bootstrap_ratio(numerators: Sequence[float], denominators: Sequence[float], *, seed: int = 0) -> Interval:
    """Σ numerators / Σ denominators with a 95% percentile bootstrap interval that resamples rows (prompts).

    For the keyword fraction of a set of completions: hits and words of each. nan when there is nothing to divide by.
    """
    rows = np.asarray([numerators, denominators], float).T
    if not rows[:, 1].sum():
        return Interval(mean=math.nan, low=math.nan, high=math.nan, n=0)
    return bootstrap_sums(rows, lambda sums: sums[..., 0] / np.maximum(sums[..., 1], 1e-12), seed=seed)


def bootstrap_sums(rows: Doubles, statistic: Callable[[Doubles], Doubles], *, seed: int = 0) -> Interval:
    """statistic(Σ rows) with a 95% percentile bootstrap interval that resamples rows (prompts, traces).

    `rows` is (n, k); `statistic` takes (..., k) sums to (...) numbers. The ends are nan for fewer than two rows.
    """
    n = len(rows)
    mean = float(statistic(rows.sum(axis=0)))
    if n < 2:
        return Interval(mean=mean, low=math.nan, high=math.nan, n=n)
    from scipy.stats import bootstrap

    interval = bootstrap(
        tuple(rows.T),
        lambda *columns, axis=-1: statistic(np.stack([column.sum(axis) for column in columns], axis=-1)),
        paired=True,
        vectorized=True,
        n_resamples=2000,
        batch=max(1, _BOOTSTRAP_NUMBERS // n),
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return Interval(mean=mean, low=float(interval.low), high=float(interval.high), n=n)


def wilson(hits: int, n: int) -> Interval:
    """Share with its 95% Wilson score interval."""
    if n == 0:
        return Interval(mean=math.nan, low=math.nan, high=math.nan, n=0)
    from scipy.stats import binomtest

    interval = binomtest(hits, n).proportion_ci(0.95, method="wilson")
    return Interval(mean=hits / n, low=float(interval.low), high=float(interval.high), n=n)
