"""Labelled text: sentences, and documents made of them.

This module knows the six labels and how sentences join into one text. It does not know any problem or phrase.
"""

from dataclasses import dataclass
from random import Random

from core.traces.events import Label


@dataclass(frozen=True)
class Sentence:
    """One sentence, the phrase kind it was made from, and whether a verdict on a try was just given."""

    text: str
    kind: str
    ends_step: bool = False


@dataclass(frozen=True)
class Part:
    """A character span [start, end) of a text and its label."""

    label: Label
    start: int
    end: int


@dataclass(frozen=True)
class Document:
    """A training text: a prompt that the loss skips, then the part to learn."""

    prompt: str
    completion: str


def join_sentences(sentences: list[Sentence], rng: Random) -> tuple[str, list[tuple[int, int]]]:
    """The text of the sentences and each one's character span; half of the steps end with a line break."""
    text, spans = "", []
    for i, sentence in enumerate(sentences):
        start = len(text)
        text += sentence.text
        spans.append((start, len(text)))
        if i + 1 < len(sentences):
            text += "\n" if rng.random() < (0.5 if sentence.ends_step else 0.05) else " "
    return text, spans
