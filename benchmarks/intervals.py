"""How often the intervals of `core.statistics` hold the truth: python -m benchmarks.intervals

Made-up prompts with a known rate: words per completion vary by 30%, the rate varies from prompt to prompt (gamma, by
its coefficient of variation), and keywords may come in bursts. Beside ours stands the plain percentile bootstrap.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from core.statistics import Doubles, Interval, compare_rates, rate_interval

DRAWS = 2_000
RESAMPLES = 500
GOAL = 0.93


@dataclass(frozen=True, kw_only=True)
class Case:
    """What the prompts are like."""

    n: int
    words: int
    """Mean words of a completion."""
    rate: float
    spread: float
    """Coefficient of variation of the rate over prompts; 0 where all have the same."""
    burst: int
    """Mean number of keywords that come together."""

    def __str__(self) -> str:
        return f"n {self.n:3} · {self.words} words · {self.rate:.1%} · spread {self.spread} · burst {self.burst}"


CASES = tuple(
    Case(n=n, words=words, rate=rate, spread=spread, burst=burst)
    for n, words, rate, (spread, burst) in product(
        (8, 16, 32, 100), (85, 400), (0.003, 0.01, 0.05), ((0.0, 1), (0.7, 1), (1.0, 1), (1.0, 2), (1.5, 1))
    )
)


@dataclass(frozen=True, kw_only=True)
class Covered:
    """Shares of the draws whose interval holds the truth."""

    rate: float
    difference: float
    bootstrap: float
    zero_width: float
    """Share of the bootstrap's intervals that are [0, 0]."""


def draw(case: Case, rate: float, shared: Doubles, rng: np.random.Generator) -> tuple[Doubles, Doubles]:
    """(n,) hits and (n,) words; `shared` is each prompt's rate relative to the mean."""
    words = np.maximum(10, np.round(case.words * np.exp(rng.normal(0, 0.3, case.n) - 0.045)))
    bursts = rng.poisson(rate * shared * words / case.burst)
    further = rng.negative_binomial(np.maximum(bursts, 1), 1 / case.burst) if case.burst > 1 else 0
    return np.minimum(bursts + further * (bursts > 0), words).astype(float), words


def relative_rates(case: Case, rng: np.random.Generator) -> Doubles:
    """(n,) rates over their mean."""
    if not case.spread:
        return np.ones(case.n)
    shape = 1 / case.spread**2
    return rng.gamma(shape, 1 / shape, case.n)


def coverage(case: Case, *, draws: int = DRAWS, seed: int = 0) -> Covered:
    """Of a rate, and of its difference to a second arm of a third of the rate on the same prompts."""
    rng = np.random.default_rng(seed)
    held = np.zeros((draws, 4))
    for i in range(draws):
        shared = relative_rates(case, rng)
        hits, words = draw(case, case.rate, shared, rng)
        other_hits, other_words = draw(case, case.rate / 3, shared, rng)
        theirs = _bootstrap(hits, words, rng)
        difference = compare_rates(hits, words, other_hits, other_words).difference
        held[i] = (
            _holds(rate_interval(hits, words), case.rate),
            _holds(difference, case.rate * 2 / 3),
            theirs[0] <= case.rate <= theirs[1],
            theirs[1] == 0,
        )
    rate, paired, bootstrap, zero = held.mean(axis=0)
    return Covered(rate=float(rate), difference=float(paired), bootstrap=float(bootstrap), zero_width=float(zero))


def false_alarms(n: int, *, rate: float, draws: int = DRAWS, seed: int = 0) -> float:
    """How often the paired test finds a difference at 5% between two arms that have none."""
    case = Case(n=n, words=85, rate=rate, spread=1.0, burst=1)
    rng = np.random.default_rng(seed)
    found = 0
    for _ in range(draws):
        shared = relative_rates(case, rng)
        found += compare_rates(*draw(case, rate, shared, rng), *draw(case, rate, shared, rng)).p <= 0.05
    return found / draws


def _holds(interval: Interval, truth: float) -> bool:
    return interval.low <= truth <= interval.high


def _bootstrap(hits: Doubles, words: Doubles, rng: np.random.Generator) -> tuple[float, float]:
    """The plain percentile bootstrap of the ratio over prompts."""
    counts = rng.multinomial(len(hits), np.full(len(hits), 1 / len(hits)), size=RESAMPLES)
    low, high = np.percentile((counts @ hits) / (counts @ words), [2.5, 97.5])
    return float(low), float(high)


def main() -> None:
    """Print the table, and what falls short of the goal."""
    print(f"coverage of nominal 95%, {DRAWS:,} draws a row: ours, the paired difference, plain bootstrap (its [0, 0])")
    short = []
    for case in CASES:
        found = coverage(case)
        print(
            f"  {case}: {found.rate:.3f}  {found.difference:.3f}  {found.bootstrap:.3f} ({found.zero_width:.0%})",
            flush=True,
        )
        if case.n >= 16 and min(found.rate, found.difference) < GOAL:
            short.append(str(case))
    print(f"below {GOAL:.0%} at n ≥ 16: {'; '.join(short) or 'none'}")
    for n in (8, 16, 32, 100):
        print(f"false alarms of the paired test at 5%, n {n}: {false_alarms(n, rate=0.01):.3f}", flush=True)


if __name__ == "__main__":
    main()
