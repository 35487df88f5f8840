"""Equations of the intervals and of the paired test."""

import math

import numpy as np
import pytest
from scipy import stats

from benchmarks.intervals import CASES, coverage, false_alarms
from core.statistics import (
    MIN_DESIGN_EFFECT,
    bootstrap_sums,
    compare_rates,
    mean_interval,
    rate_interval,
    swap_test,
    wilson,
)


def test_a_mean_has_students_interval():
    values = np.random.default_rng(0).normal(3, 1, 12)
    found = mean_interval([*values, math.nan])
    expected = stats.t.interval(0.95, 11, loc=values.mean(), scale=stats.sem(values))
    assert (found.low, found.high) == pytest.approx(expected)
    assert (found.mean, found.n) == (pytest.approx(values.mean()), 12)
    assert math.isnan(mean_interval([1.0]).low)
    assert math.isnan(mean_interval([]).mean)


def test_a_rate_pools_words_over_prompts():
    found = rate_interval([1, 0, 3], [10, 50, 40])
    assert found.mean == pytest.approx(4 / 100)
    assert 0 < found.low < found.mean < found.high < 1
    assert found.n == 3
    assert math.isnan(rate_interval([0], [0]).mean)
    assert math.isnan(rate_interval([1], [9]).low)


@pytest.mark.parametrize("n", [2, 8, 16, 200])
def test_zero_hits_leave_open_what_the_exact_limit_of_the_effective_size_does(n):
    found = rate_interval([0] * n, [90] * n)
    size = 90 * n / MIN_DESIGN_EFFECT * (stats.norm.ppf(0.975) / stats.t.ppf(0.975, n - 1)) ** 2
    assert (found.mean, found.low) == (0, 0)
    assert found.high == pytest.approx(1 - 0.025 ** (1 / size))
    assert found.high > 3.6 / (90 * n)


def test_the_limits_are_clopper_and_pearsons_at_the_size_that_the_design_effect_leaves():
    hits, words = np.array([0, 9, 1, 0, 4, 0, 12, 2.0]), np.array([80, 90, 70, 100, 90, 60, 110, 85.0])
    rate, total, n = hits.sum() / words.sum(), words.sum(), 8
    linearised = (hits - rate * words) / total
    variance = n * np.var(linearised, ddof=1)
    effect = 1 + (variance / (rate * (1 - rate) / total) - 1) * (1 + 6 / n)
    assert effect > MIN_DESIGN_EFFECT
    size = total / effect * (stats.norm.ppf(0.975) / stats.t.ppf(0.975, n - 1)) ** 2
    found = rate_interval(hits, words)
    assert found.low == pytest.approx(stats.beta.ppf(0.025, rate * size, size - rate * size + 1))
    assert found.high == pytest.approx(stats.beta.ppf(0.975, rate * size + 1, size - rate * size))


def test_prompts_that_vary_widen_the_interval():
    even, uneven = rate_interval([2] * 16, [100] * 16), rate_interval([16, *[0] * 14, 16], [100] * 16)
    assert even.mean == uneven.mean
    assert uneven.high - uneven.low > 2 * (even.high - even.low)


def test_one_word_more_or_less_turns_no_finding():
    """The fault of old: 1 hit in 720 words against none was "unlike the paper's"."""
    one = compare_rates([1, *[0] * 7], [90] * 8, [0] * 8, [90] * 8)
    assert one.finding() == "unclear"
    assert one.p == 1
    assert one.difference.low < 0 < one.difference.high


def test_four_of_twenty_prompts_against_none_is_not_told_from_chance():
    found = compare_rates([1] * 4 + [0] * 16, [50] * 20, [0] * 20, [50] * 20)
    assert (found.n_informative, found.finding()) == (4, "unclear")
    assert 0.08 < found.p < 0.2


@pytest.mark.parametrize("n", [3, 6, 10])
def test_the_swap_test_is_exact_at_few_prompts(n):
    gains = np.random.default_rng(n).normal(0.8, 1, n)
    theirs = stats.permutation_test((gains,), np.sum, permutation_type="samples", n_resamples=np.inf)
    assert swap_test(gains) == pytest.approx(theirs.pvalue)
    assert swap_test(np.ones(n)) == 2 / 2**n


def test_the_swap_test_turns_with_the_arms_and_not_with_their_names():
    rng = np.random.default_rng(2)
    h, g, w = rng.poisson(2, 30), rng.poisson(1, 30), rng.integers(60, 120, 30)
    forth, back = compare_rates(h, w, g, w), compare_rates(g, w, h, w)
    assert forth.p == back.p
    assert forth.difference.mean == -back.difference.mean
    assert (forth.difference.low, forth.difference.high) == pytest.approx((-back.difference.high, -back.difference.low))
    assert (forth.finding(), back.finding()) == ("more", "less")
    assert forth.finding(tries=10_000_000) != "more"


def test_the_difference_joins_both_intervals_with_their_correlation():
    """MOVER: the limits of a difference from those of its parts (Zou and Donner 2008, eq. 7)."""
    h, g = np.array([3, 5, 2, 4, 6, 1, 3, 4.0]), np.array([1, 2, 0, 2, 3, 0, 1, 1.0])
    w, v = np.full(8, 100.0), np.full(8, 90.0)
    found = compare_rates(h, w, g, v).difference
    one, other = 28 / 800, 10 / 720
    r = np.corrcoef(h - one * w, g - other * v)[0, 1]

    def limits(hits, words):
        rate, total = hits.sum() / words.sum(), words.sum()
        spread = 8 * np.var((hits - rate * words) / total, ddof=1) / (rate * (1 - rate) / total)
        size = (
            total
            / max(1 + (spread - 1) * (1 + 6 / 8), MIN_DESIGN_EFFECT)
            * (stats.norm.ppf(0.975) / stats.t.ppf(0.975, 7)) ** 2
        )
        x = rate * size
        return stats.beta.ppf(0.025, x, size - x + 1), stats.beta.ppf(0.975, x + 1, size - x)

    (low, high), (other_low, other_high) = limits(h, w), limits(g, v)
    down = math.sqrt((one - low) ** 2 + (other_high - other) ** 2 - 2 * r * (one - low) * (other_high - other))
    up = math.sqrt((high - one) ** 2 + (other - other_low) ** 2 - 2 * r * (high - one) * (other - other_low))
    assert (found.low, found.high) == pytest.approx((one - other - down, one - other + up))


def test_prompts_without_words_in_an_arm_are_left_out_and_too_few_prompts_are_too_little():
    found = compare_rates([1, 1, 5], [10, 10, 10], [0, 0, 0], [10, 10, 0])
    assert found.difference.n == 2
    assert found.finding() == "too little"
    assert compare_rates([5] * 6, [10] * 6, [0] * 6, [10] * 6).finding() == "more"
    assert compare_rates([5] * 6, [10] * 6, [0] * 6, [10] * 6).finding(tries=2) == "too little"
    assert compare_rates([], [], [], []).finding() == "too little"


def test_a_bootstrap_is_scipys_percentile_one_over_rows():
    rows = np.random.default_rng(1).gamma(2.0, 1.0, (40, 1))
    found = bootstrap_sums(rows, lambda sums: sums[..., 0] / 40)
    theirs = stats.bootstrap(
        (rows[:, 0],), np.mean, n_resamples=2000, method="percentile", rng=np.random.default_rng(0)
    )
    assert found.low == pytest.approx(theirs.confidence_interval.low)
    assert found.high == pytest.approx(theirs.confidence_interval.high)


def test_wilson_matches_its_closed_form():
    z, p, n = 1.959963984540054, 8 / 20, 20
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    interval = wilson(8, 20)
    assert (interval.low, interval.high) == pytest.approx((centre - half, centre + half))


@pytest.mark.parametrize("case", [case for case in CASES if case.n == 16], ids=str)
def test_intervals_hold_the_truth_as_often_as_they_say(case):
    """93% at n ≥ 16 for rates of 0.3 to 5%; of 400 draws' standard error, 1.3 points, three are allowed."""
    found = coverage(case, draws=400)
    assert min(found.rate, found.difference) > 0.93 - 0.038


@pytest.mark.parametrize("n", [8, 16])
def test_the_test_gives_no_more_false_alarms_than_it_says(n):
    assert false_alarms(n, rate=0.01, draws=600) < 0.05 + 0.03
