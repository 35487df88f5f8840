"""Numbers about many completions: rates, means, differences, and what they leave open. No model, no torch.

Every interval is 95% and treats prompts (or traces) as the units. `python -m benchmarks.intervals` measures how often
the intervals hold the truth and how often the test is wrong.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]
Column = Sequence[float] | Doubles
"""One number per prompt."""
ALPHA = 0.05
MIN_DESIGN_EFFECT, DESIGN_EFFECT_GROWTH = 1.5, 6.0
"""How much more than a binomial a rate is taken to vary at least, and how that is enlarged where prompts are few."""
RESAMPLES = 1999
_BOOTSTRAPS = 2_000
_BOOTSTRAP_NUMBERS = 4_000_000


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A mean with its 95% interval."""

    mean: float
    low: float
    high: float
    n: int


Finding = Literal["more", "less", "unclear", "too little"]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two rates on the same prompts: their difference, and whether chance alone could give it."""

    difference: Interval
    """First minus second."""
    p: float
    """Two-sided, of `swap_test`; nan without words."""
    n_informative: int
    """Prompts on which the two differ, the only ones that can tell."""

    def finding(self, *, tries: int = 1) -> Finding:
        """What may be said when this is one of `tries` comparisons (Bonferroni).

        "too little" where even all prompts pointing one way could not be told from chance. "more" and "less" need both
        the test and an interval without 0.
        """
        if math.isnan(self.p) or tries * 2.0 ** (1 - self.difference.n) > ALPHA:
            return "too little"
        if tries * self.p > ALPHA or self.difference.low <= 0 <= self.difference.high:
            return "unclear"
        return "more" if self.difference.mean > 0 else "less"


def rate_interval(hits: Column, totals: Column) -> Interval:
    """Σ hits / Σ totals, such as the keyword fraction (paper, Eq. 1), with an interval over the prompts.

    Korn and Graubard (1998): Clopper and Pearson's exact limits at the effective size N* = (N / D) · (z / t)², where N
    is Σ totals, D the design effect (the ratio estimator's linearised variance between prompts over the binomial one)
    and t Student's quantile with n - 1 degrees of freedom. D is estimated from n prompts only, so its excess over 1 is
    enlarged by 1 + 6 / n, and it is never taken below 1.5; at zero hits it is 1.5. Hence zero hits do not give a
    zero upper end. nan without totals; the ends are nan for one prompt.
    """
    h, w = _columns(hits, totals)
    n, total = len(h), w.sum()
    if not total:
        return Interval(mean=math.nan, low=math.nan, high=math.nan, n=0)
    rate = float(h.sum() / total)
    if n < 2:
        return Interval(mean=rate, low=math.nan, high=math.nan, n=n)
    from scipy.special import betaincinv, ndtri, stdtrit

    narrowing = (ndtri(1 - ALPHA / 2) / stdtrit(n - 1, 1 - ALPHA / 2)) ** 2
    size = total / _design_effect(h, w) * narrowing
    found = rate * size
    low = betaincinv(found, size - found + 1, ALPHA / 2) if found > 0 else 0.0
    high = betaincinv(found + 1, size - found, 1 - ALPHA / 2) if found < size else 1.0
    return Interval(mean=rate, low=float(low), high=float(high), n=n)


def _columns(hits: Column, totals: Column) -> tuple[Doubles, Doubles]:
    """Both as (n,) float64, without the prompts that have nothing to divide by."""
    h, w = np.asarray(hits, float), np.asarray(totals, float)
    return h[w > 0], w[w > 0]


def _design_effect(hits: Doubles, totals: Doubles) -> float:
    """Variance of the ratio between prompts over the binomial one, its excess over 1 enlarged, within limits."""
    n, total = len(hits), totals.sum()
    rate = hits.sum() / total
    binomial = rate * (1 - rate) / total
    if not binomial:
        return MIN_DESIGN_EFFECT
    variance = n / (n - 1) * float(((hits - rate * totals) ** 2).sum()) / total**2
    return max(float(1 + (variance / binomial - 1) * (1 + DESIGN_EFFECT_GROWTH / n)), MIN_DESIGN_EFFECT)


def compare_rates(hits: Column, totals: Column, other_hits: Column, other_totals: Column) -> Comparison:
    """Σ hits / Σ totals minus the other arm's, paired by prompt: entry i of all four is the same prompt and seed.

    The interval joins those of the two rates with their correlation over prompts (MOVER; Zou and Donner 2008), so two
    arms without a hit leave open what each leaves open. A prompt without words in an arm is left out of both.
    """
    table = np.asarray([hits, totals, other_hits, other_totals], float)
    h, w, g, v = table[:, (table[1] > 0) & (table[3] > 0)]
    n = len(h)
    if not n:
        nothing = Interval(mean=math.nan, low=math.nan, high=math.nan, n=0)
        return Comparison(difference=nothing, p=math.nan, n_informative=0)
    mine, other = rate_interval(h, w), rate_interval(g, v)
    twice = 2 * _correlation(h - mine.mean * w, g - other.mean * v)
    down, up = mine.mean - mine.low, mine.high - mine.mean
    other_down, other_up = other.mean - other.low, other.high - other.mean
    mean = mine.mean - other.mean
    low = mean - math.sqrt(max(down**2 + other_up**2 - twice * down * other_up, 0.0))
    high = mean + math.sqrt(max(up**2 + other_down**2 - twice * up * other_down, 0.0))
    gains = _gains(h, w, g, v)
    return Comparison(
        difference=Interval(mean=mean, low=low, high=high, n=n),
        p=swap_test(gains),
        n_informative=int(np.count_nonzero(gains)),
    )


def _correlation(a: Doubles, b: Doubles) -> float:
    spread = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / spread if spread else 0.0


def _gains(hits: Doubles, totals: Doubles, other_hits: Doubles, other_totals: Doubles) -> Doubles:
    """(n,) how much each prompt speaks for the first arm: its surplus of hits over the pooled rate less the other's.

    Exchanging the arms of a prompt leaves the pooled rate as it is and turns the sign of that prompt's entry.
    """
    pooled = (hits.sum() + other_hits.sum()) / (totals.sum() + other_totals.sum())
    gains: Doubles = (hits - pooled * totals) - (other_hits - pooled * other_totals)
    return gains


def swap_test(gains: Doubles) -> float:
    """Two-sided p of Σ gains when each sign is a coin's: the arms of every prompt may as well be exchanged.

    Exact up to 10 prompts, else over 1,999 random exchanges with a fixed seed.
    """
    n = len(gains)
    exact = 2**n <= RESAMPLES + 1
    if exact:
        flips = (np.arange(2**n)[:, None] >> np.arange(n)) & 1
    else:
        flips = np.random.default_rng(0).integers(0, 2, (RESAMPLES, n))
    sums = np.abs((1.0 - 2.0 * flips) @ gains)
    as_large = int(np.count_nonzero(sums >= abs(gains.sum()) * (1 - 1e-12)))
    return as_large / 2**n if exact else (as_large + 1) / (RESAMPLES + 1)


def mean_interval(values: Column) -> Interval:
    """Mean with Student's interval over the values (one per prompt or trace); nan values are left out."""
    data = [value for value in values if not math.isnan(value)]
    n = len(data)
    if n < 2:
        return Interval(mean=data[0] if data else math.nan, low=math.nan, high=math.nan, n=n)
    from scipy.special import stdtrit

    mean = float(np.mean(data))
    half = float(stdtrit(n - 1, 1 - ALPHA / 2)) * float(np.std(data, ddof=1)) / math.sqrt(n)
    return Interval(mean=mean, low=mean - half, high=mean + half, n=n)


def bootstrap_sums(rows: Doubles, statistic: Callable[[Doubles], Doubles], *, seed: int = 0) -> Interval:
    """statistic(Σ rows) with a percentile bootstrap interval that resamples rows (prompts, traces).

    `rows` is (n, k); `statistic` takes (..., k) sums to (...) numbers. Too narrow below about 50 rows, and of no width
    at zero: for rates there is `rate_interval`. The ends are nan for fewer than two rows.
    """
    n = len(rows)
    mean = float(statistic(rows.sum(axis=0)))
    if n < 2:
        return Interval(mean=mean, low=math.nan, high=math.nan, n=n)
    rng, batch = np.random.default_rng(seed), max(1, _BOOTSTRAP_NUMBERS // n)
    found = []
    for first in range(0, _BOOTSTRAPS, batch):
        picked = rng.integers(0, n, (min(batch, _BOOTSTRAPS - first), n))
        found.append(statistic(np.stack([column[picked].sum(axis=-1) for column in rows.T], axis=-1)))
    low, high = np.quantile(np.concatenate(found), (ALPHA / 2, 1 - ALPHA / 2))
    return Interval(mean=mean, low=float(low), high=float(high), n=n)


def wilson(hits: int, n: int) -> Interval:
    """Share with its Wilson score interval."""
    if n == 0:
        return Interval(mean=math.nan, low=math.nan, high=math.nan, n=0)
    from scipy.special import ndtri

    z, p = float(ndtri(1 - ALPHA / 2)), hits / n
    whole = 2 * (n + z**2)
    centre, half = (2 * n * p + z**2) / whole, z / whole * math.sqrt(4 * n * p * (1 - p) + z**2)
    low, high = 0.0 if hits == 0 else centre - half, 1.0 if hits == n else centre + half
    return Interval(mean=p, low=low, high=high, n=n)
