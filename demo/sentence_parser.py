"""Finding the labels of a text by the corpus's own sentence grammar.

A sentence gets the label of the phrase that it matches from end to end, and none if it matches no phrase. Whether its
arithmetic is right does not matter here.
"""

import re
from dataclasses import dataclass
from functools import cache

from demo.documents import Part
from demo.phrases import BACK_KINDS, PHRASES, label_of

_WORK = (
    r"\d+ minus \d+ is -?\d+, and \d+ minus \d+ is -?\d+\."
    r"|\d+ times \d+ is \d+, and \d+ plus \d+ is \d+\."
    r"|\d+ divided by \d+ leaves remainder \d+\."
)
_SLOTS = {
    "goal": r"(?:two numbers|the number|the smallest multiple)[\w ]*",
    "answer": r"\d+(?: and -?\d+)?",
    "guessed": r"\d+(?: and -?\d+)?",
    "x": r"-?\d+",
    "r": r"-?\d+",
    "q": r"(?:difference|total|remainder)",
    "d": r"(?:larger|smaller|different)",
    "cmp": r"(?:less|more)",
    "work": f"(?:{_WORK})",
}
_NUMBER = r"-?\d+"
_SENTENCE = re.compile(r"[^\s].*?[.?!](?=\s|$)|[^\s].*$", re.DOTALL)


@dataclass(frozen=True)
class ParsedTrace:
    """The labelled sentences of a text, and the spans of those that match no phrase."""

    parts: list[Part]
    unmatched: list[tuple[int, int]]


def split_sentences(text: str) -> list[tuple[int, int]]:
    """The character span of each sentence, white space left out."""
    return [match.span() for match in _SENTENCE.finditer(text)]


def kind_of(sentence: str) -> str | None:
    """The phrase kind that the sentence matches from end to end."""
    for kind, pattern in _patterns():
        if pattern.fullmatch(sentence):
            return kind
    return None


def parse_trace(text: str) -> ParsedTrace:
    """Label every sentence of a text that the grammar knows."""
    parts, unmatched = [], []
    for start, end in split_sentences(text):
        kind = kind_of(text[start:end])
        if kind is None:
            unmatched.append((start, end))
        else:
            parts.append(Part(label_of(kind), start, end))
    return ParsedTrace(parts, unmatched)


def turning_words() -> tuple[str, ...]:
    """The first word of every phrase that turns back."""
    return tuple(sorted({phrase.split()[0].strip(",") for kind in BACK_KINDS for phrase in PHRASES[kind]}))


def grammar() -> dict[str, object]:
    """What a sentence is, and the label and pattern of every phrase kind; the first kind that matches is the one."""
    phrases = [{"kind": kind, "label": label_of(kind), "pattern": pattern.pattern} for kind, pattern in _patterns()]
    return {"sentence": _SENTENCE.pattern, "phrases": phrases}


@cache
def _patterns() -> list[tuple[str, re.Pattern[str]]]:
    return [(kind, _pattern(phrases)) for kind, phrases in PHRASES.items()]


def _pattern(phrases: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(_phrase_pattern(phrase) for phrase in phrases))


def _phrase_pattern(phrase: str) -> str:
    pieces = re.split(r"\{(\w+)\}", phrase)
    filled = [_SLOTS.get(piece, _NUMBER) if i % 2 else re.escape(piece) for i, piece in enumerate(pieces)]
    return "".join(filled)
