"""Equations of the text metrics."""

import pytest

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


def test_keyword_tokens_are_those_that_hold_a_keyword():
    pieces = ["Wa", "it", ",", " hmm", "m", " a", " Hmm", ".", "waiter"]
    assert keyword_tokens(pieces) == (0, 1, 6)
    assert keyword_tokens([]) == ()
