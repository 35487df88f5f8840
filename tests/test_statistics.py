"""Equations of the intervals."""

import math

import numpy as np
import pytest

from core.statistics import bootstrap_mean, bootstrap_ratio, wilson


def test_intervals_hold_the_mean_and_shrink_with_n():
    values = np.random.default_rng(0).normal(3, 1, 400)
    wide, narrow = bootstrap_mean(values[:40].tolist()), bootstrap_mean(values.tolist())
    for interval in (wide, narrow):
        assert interval.low < interval.mean < interval.high
    assert narrow.high - narrow.low < wide.high - wide.low
    assert narrow.high - narrow.low == pytest.approx(2 * 1.96 / math.sqrt(400), rel=0.15)
    assert bootstrap_mean([1.0, math.nan, 3.0]).n == 2
    assert math.isnan(bootstrap_mean([]).mean)


def test_the_ratio_pools_words_over_prompts():
    interval = bootstrap_ratio([1, 0, 3], [10, 50, 40])
    assert interval.mean == pytest.approx(4 / 100)
    assert interval.low <= interval.mean <= interval.high
    assert math.isnan(bootstrap_ratio([0], [0]).mean)


def test_wilson_matches_its_closed_form():
    z, p, n = 1.959963984540054, 8 / 20, 20
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    interval = wilson(8, 20)
    assert (interval.low, interval.high) == pytest.approx((centre - half, centre + half))
