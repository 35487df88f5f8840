"""The sentences of a text in tokens, and where a text opens."""

from __future__ import annotations

import numpy as np

from ui.attribution.reader.sentences import segments, sentence_starts, strongest_before

PIECES = ("<bos>", "Q", ":", " So", " it", " is", " 3", ".", "5", ".", "\n", " Wait", ",", " no", ".", " x", " y")


def test_a_sentence_begins_at_the_token_that_holds_its_first_character():
    assert sentence_starts(PIECES, text_start=3) == (0, 3, 11, 15)


def test_a_labelled_part_and_the_text_itself_begin_a_sentence():
    assert sentence_starts(PIECES, text_start=1, parts=(5, 13)) == (0, 1, 5, 11, 13, 15)
    assert sentence_starts(("a",), text_start=1) == (0,)
    assert sentence_starts((" \n", "x"), text_start=0) == (0, 1)


def test_the_segments_hold_every_token_once():
    starts = sentence_starts(PIECES, text_start=3)
    held = [i for start, stop in segments(starts, len(PIECES)) for i in range(start, stop)]
    assert held == list(range(len(PIECES)))


def test_the_strongest_sentence_is_that_of_the_highest_mean_that_ends_before_the_event():
    values = np.array([9, 9, 0, 4, 0, 0, 3, 3, 2, 8], dtype=np.float32)
    sentences = segments((0, 2, 5, 8), 10)
    assert strongest_before(values, sentences, text_start=2, event=8) == 6
    assert strongest_before(values, sentences, text_start=2, event=7) == 3
    assert strongest_before(values, sentences, text_start=2, event=2) is None
