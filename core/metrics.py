"""Numbers about completions: keyword fraction (paper, Eq. 1), repetition, intervals, divergence. No model, no torch."""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]
KEYWORDS = ("wait", "hmm")
LENS_WORDS = ("wait", "but")
MAX_NLL_ABOVE_BASELINE, MAX_REPETITION_FACTOR = 0.5, 2.0
"""Up to where a steered text counts as coherent: nats per token, and multiples of the baseline's repetition."""
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_LOOP_NGRAM = 0.5
_LOOP_ZLIB = 0.25
_MIN_WORDS = 8
_BOOTSTRAP_NUMBERS = 4_000_000


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A mean with its 95% interval."""

    mean: float
    low: float
    high: float
    n: int


@dataclass(frozen=True, kw_only=True)
class TextMetrics:
    """What can be said of one completion by reading it."""

    n_words: int
    n_keywords: int
    keyword_fraction: float
    """Share of words that are keywords (paper, Eq. 1); 0 for an empty text, which is no evidence."""
    repetition: float
    """Share of 4-grams of words that occurred before; 0 = none."""
    zlib_ratio: float
    """Compressed over plain size; small for repetitive text."""
    no_evidence: str | None
    """Why the numbers above say nothing (empty or looping text), or None."""


def stays_coherent(
    nll: float, repetition: float, *, baseline: tuple[float, float], always_allowed: float = 0.0, share: float = 1.0
) -> bool:
    """Whether a steered text stays within `share` of both limits above its baseline's (NLL, repetition).

    `always_allowed` is a repetition that is no fault, whatever the baseline's. An unknown NLL (nan) is none either.
    """
    base_nll, base_repetition = baseline
    limit = max(share * MAX_REPETITION_FACTOR * base_repetition, always_allowed)
    return not nll > base_nll + share * MAX_NLL_ABOVE_BASELINE and repetition <= limit


def words_of(text: str) -> list[str]:
    """Lower-case words: runs of letters, apostrophes inside allowed."""
    return [match.group().casefold() for match in _WORD.finditer(text)]


def keyword_spans(text: str, keywords: Sequence[str] = KEYWORDS) -> list[tuple[int, int]]:
    """Character spans of the words that are keywords."""
    wanted = {word.casefold() for word in keywords}
    return [match.span() for match in _WORD.finditer(text) if match.group().casefold() in wanted]


def keyword_tokens(pieces: Sequence[str], keywords: Sequence[str] = KEYWORDS) -> tuple[int, ...]:
    """Indices of the tokens that hold a keyword or a piece of one."""
    ends = np.cumsum([len(piece) for piece in pieces])
    found: set[int] = set()
    for start, end in keyword_spans("".join(pieces), keywords):
        first, last = np.searchsorted(ends, [start, end - 1], side="right")
        found.update(range(int(first), int(last) + 1))
    return tuple(sorted(found))


def measure_text(text: str, keywords: Sequence[str] = KEYWORDS) -> TextMetrics:
    """All readings of one completion."""
    words = words_of(text)
    wanted = {word.casefold() for word in keywords}
    hits = sum(word in wanted for word in words)
    repetition, ratio = repeated_ngrams(words), zlib_ratio(text)
    return TextMetrics(
        n_words=len(words),
        n_keywords=hits,
        keyword_fraction=hits / len(words) if words else 0.0,
        repetition=repetition,
        zlib_ratio=ratio,
        no_evidence=_no_evidence(words, repetition, ratio),
    )


def _no_evidence(words: list[str], repetition: float, ratio: float) -> str | None:
    if not words:
        return "the completion is empty"
    if len(words) < _MIN_WORDS:
        return f"the completion has only {len(words)} words"
    if repetition > _LOOP_NGRAM or (len(words) > 40 and ratio < _LOOP_ZLIB):
        return "the text repeats itself"
    return None


def repeated_ngrams(words: Sequence[str], n: int = 4) -> float:
    """Share of the n-grams of words that have occurred before in the text."""
    grams = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def zlib_ratio(text: str) -> float:
    """Compressed bytes over plain bytes; 1 for an empty text."""
    data = text.encode("utf-8", errors="replace")
    return len(zlib.compress(data, 6)) / len(data) if data else 1.0


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


def first_divergence(a: Sequence[int], b: Sequence[int]) -> int | None:
    """Index of the first token in which two completions differ; None while one is a beginning of the other."""
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), None)
