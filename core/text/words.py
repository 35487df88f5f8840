"""Words of a text: keyword fraction (paper, Eq. 1), repetition, and whether they are evidence. No model, no torch."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

KEYWORDS = ("wait", "hmm")
"""The words whose share is measured (paper, Eq. 1)."""
LENS_WORDS = ("wait", "but")
"""The words that are read in the vocabulary (paper, Eq. 2)."""
_COMMON = """
a about actually after again ago ah all also always am an and another any are as ask at away back be because been
before but by can case cause check come could count day did do does double down each eh even ever every far few find
first for from get give go good great had half has have he her here hi high him his hold home how huh i if in into is
it its just keep kind know large last least less let like line list long look lot made make many may maybe me mean
might more most much must my need never new next no not note nothing now number of off oh ok okay old on once one only
or other our out over part per perhaps place plus point problem put question quite re read real right said same say
see set she should side since small so solution some step still stop such sum sure take tell ten than that the their
them then there these they thing think this those though three through time to together too try two under until up us
use very wait was way we well were what when where whether which while who whole whose why will with within without
work would yeah yes yet you your zero
"""
COMMON_WORDS = frozenset(_COMMON.split())
"""English words that often begin a sentence or a longer word."""
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_LOOP_NGRAM = 0.5
_LOOP_ZLIB = 0.25
_MIN_WORDS = 8


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
