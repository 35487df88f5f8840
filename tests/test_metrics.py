"""Equations of the text metrics."""

import math

import numpy as np
import pytest

from core.runs.arms import first_divergence
from core.statistics import bootstrap_mean, bootstrap_ratio, wilson
from core.text.words import keyword_spans, keyword_tokens, measure_text, repeated_ngrams, zlib_ratio


def test_keyword_fraction_is_hits_over_words():
    text = "Wait, let me think. Hmm... WAIT! A waiter waits; don't wait-list me."
    measured = measure_text(text)
    assert measured.n_keywords == 4
    assert measured.n_words == 13
    assert measured.keyword_fraction == pytest.approx(4 / 13)
    assert [text[a:b] for a, b in keyword_spans(text)] == ["Wait", "Hmm", "WAIT", "wait"]


def test_empty_and_looping_texts_are_no_evidence():
    assert measure_text("").no_evidence == "the completion is empty"
    assert "only 3 words" in measure_text("Just three words").no_evidence
    assert measure_text("Wait, hold on. " * 40).no_evidence == "the text repeats itself"
    sentence = "So I need two numbers whose sum is nine, and their product should be twenty in the end."
    assert measure_text(sentence).no_evidence is None


def test_repetition_counts_ngrams_seen_before():
    assert repeated_ngrams(["a", "b", "c", "d", "e", "f"]) == 0
    assert repeated_ngrams(["a", "b", "c", "d", "a", "b", "c", "d"]) == pytest.approx(1 - 4 / 5)
    assert repeated_ngrams(["a"]) == 0
    assert zlib_ratio("abc" * 500) < 0.1 < zlib_ratio("The quick brown fox jumps over it.")


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


def test_keyword_tokens_are_those_that_hold_a_keyword():
    pieces = ["Wa", "it", ",", " hmm", "m", " a", " Hmm", ".", "waiter"]
    assert keyword_tokens(pieces) == (0, 1, 6)
    assert keyword_tokens([]) == ()


def test_first_divergence():
    assert first_divergence([1, 2, 3], [1, 2, 4]) == 2
    assert first_divergence([1, 2], [1, 2, 4]) is None
