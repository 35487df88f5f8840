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


LETTERS = "abcdefghijklmnopqrstuvwxyz"


def distinct(n):
    return [LETTERS[i // 26] + LETTERS[i % 26] for i in range(n)]


def test_eight_words_are_evidence_and_seven_are_not():
    assert measure_text(" ".join(distinct(7))).no_evidence == "the completion has only 7 words"
    assert measure_text(" ".join(distinct(8))).no_evidence is None


def test_half_the_ngrams_may_repeat_and_not_one_more():
    words = distinct(18) * 3
    half, more = measure_text(" ".join(words[:39])), measure_text(" ".join(words[:40]))
    assert half.repetition == 0.5
    assert half.no_evidence is None
    assert more.repetition == pytest.approx(1 - 18 / 37)
    assert more.no_evidence == "the text repeats itself"


def padded_to(words, *, below):
    """The words and the fewest spaces behind them that take the zlib ratio to a quarter, or below it."""
    text = " ".join(words)
    while (ratio := zlib_ratio(text)) > 0.25 or (below and ratio == 0.25):
        text += " "
    return text


def test_a_text_that_zlib_takes_to_less_than_a_quarter_repeats_itself():
    quarter = measure_text(padded_to(distinct(41), below=False))
    assert (quarter.n_words, quarter.repetition, quarter.zlib_ratio) == (41, 0, 0.25)
    assert quarter.no_evidence is None
    less = measure_text(padded_to(distinct(41), below=True))
    assert 0.248 < less.zlib_ratio < 0.25
    assert less.no_evidence == "the text repeats itself"


def test_zlib_says_nothing_about_forty_words():
    forty = measure_text(padded_to(distinct(40), below=True))
    assert (forty.n_words, forty.repetition) == (40, 0)
    assert forty.zlib_ratio < 0.25
    assert forty.no_evidence is None
