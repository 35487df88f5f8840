"""The sentences of an attributed text in tokens, and the one that reads strongest before an event. No Streamlit."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

import numpy as np

from core.text.sentences import split_sentences
from core.values import Floats

Segment = tuple[int, int]
"""First token of a sentence, and the token after its last."""


def sentence_starts(pieces: Sequence[str], *, text_start: int, parts: Iterable[int] = ()) -> tuple[int, ...]:
    """The first token of every sentence, 0 and the text's first token among them, in order.

    A labelled part (`parts`: their first tokens) begins a sentence too. A token that lies in two sentences belongs to
    the one it begins in; white space belongs to the sentence before it.
    """
    starts = {0, text_start, *parts}
    for first, stop in ((0, text_start), (text_start, len(pieces))):
        ends = np.cumsum([len(piece) for piece in pieces[first:stop]])
        spans = split_sentences("".join(pieces[first:stop]))
        starts |= {first + int(np.searchsorted(ends, start, side="right")) for start, _ in spans}
    return tuple(sorted(start for start in starts if start < len(pieces)))


def segments(starts: Sequence[int], n: int) -> tuple[Segment, ...]:
    """The sentences that begin at `starts`, of a text of n tokens."""
    return tuple(itertools.pairwise((*starts, n)))


def strongest_before(values: Floats, sentences: Iterable[Segment], *, text_start: int, event: int) -> int | None:
    """The token with the highest of the (seq,) values, in the sentence with the highest mean of those that end before
    the event; None where no sentence of the text does.
    """
    before = [(start, stop) for start, stop in sentences if text_start <= start and stop <= event]
    if not before:
        return None
    start, stop = max(before, key=lambda one: float(np.mean(values[one[0] : one[1]])))
    return start + int(np.argmax(values[start:stop]))
