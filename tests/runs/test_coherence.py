"""The limits of a coherent text, at each of them and just beyond."""

import math

import pytest

from core.runs.coherence import stays_coherent

BASELINE = (1.0, 0.25)


def above(value):
    return math.nextafter(value, math.inf)


@pytest.mark.parametrize(("share", "nll", "repetition"), [(1.0, 1.5, 0.5), (0.5, 1.25, 0.25), (2.0, 2.0, 1.0)])
def test_each_limit_is_included_and_nothing_above_it(share, nll, repetition):
    assert stays_coherent(nll, repetition, baseline=BASELINE, share=share)
    assert not stays_coherent(above(nll), repetition, baseline=BASELINE, share=share)
    assert not stays_coherent(nll, above(repetition), baseline=BASELINE, share=share)


def test_the_share_is_one_unless_given():
    assert stays_coherent(1.5, 0.5, baseline=BASELINE)
    assert not stays_coherent(above(1.5), 0.5, baseline=BASELINE)
    assert not stays_coherent(1.5, above(0.5), baseline=BASELINE)


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_the_allowed_repetition_counts_where_the_baselines_limit_is_lower(share):
    low, high = (0.0, 0.0625), (1.0, 1.0)
    assert stays_coherent(0.0, 0.25, baseline=low, always_allowed=0.25, share=share)
    assert not stays_coherent(0.0, above(0.25), baseline=low, always_allowed=0.25, share=share)
    limit = share * 2
    assert stays_coherent(1.0, limit, baseline=high, always_allowed=0.25, share=share)
    assert not stays_coherent(1.0, above(limit), baseline=high, always_allowed=0.25, share=share)


def test_no_repetition_is_allowed_above_a_baseline_without_any():
    assert stays_coherent(0.0, 0.0, baseline=(0.0, 0.0))
    assert not stays_coherent(0.0, above(0.0), baseline=(0.0, 0.0))


def test_an_unknown_likelihood_is_no_fault_and_hides_none():
    assert stays_coherent(math.nan, 0.5, baseline=BASELINE)
    assert not stays_coherent(math.nan, above(0.5), baseline=BASELINE)
