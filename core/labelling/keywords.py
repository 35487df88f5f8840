"""Labelling traces sentence by sentence: what each label means, and the labeller that looks for keywords.

Knows no endpoint; the labeller that asks a language model is in `judge`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from core.errors import BadInput
from core.text.sentences import Span, split_sentences
from core.text.words import KEYWORDS, words_of
from core.traces.events import BACKTRACKING, LABELS
from core.values import Part, Trace

EXTENDED_KEYWORDS = (
    *KEYWORDS,
    "actually",
    "alternatively",
    "hold on",
    "let me check",
    "let me double-check",
    "let me think again",
    "let me reconsider",
    "on second thought",
    "that is not right",
    "that's not right",
    "another approach",
    "another way",
)
"""The paper's two words and further turns of phrase; chosen by reading, not by their score."""
MAX_KEYWORDS = 100

LABEL_MEANINGS: dict[str, str] = dict(
    zip(
        LABELS,
        (
            "says what is asked or given, or how the work will begin",
            "draws a conclusion from what is given or was found before",
            "brings in a fact, a definition or a method that the question does not state",
            "tries a concrete number, case or example to see what comes out",
            "says how sure or unsure the writer is, without changing course",
            "gives up or questions a step that was taken, and goes back to correct it or to try another way",
        ),
        strict=True,
    )
)
"""Label → what a sentence with that label does, in our words; the taxonomy is that of Venhoff et al. (2025)."""


@dataclass(frozen=True, kw_only=True)
class KeywordSet:
    """Words and phrases, of which one is enough for a sentence to get `label` (paper, Eq. 1: "wait" and "hmm").

    They are compared word by word, ignoring case and punctuation. Raises BadInput for an empty or overlong set.
    """

    keywords: tuple[str, ...] = KEYWORDS
    label: str = BACKTRACKING

    def __post_init__(self) -> None:
        if not 1 <= len(self.keywords) <= MAX_KEYWORDS:
            raise BadInput(f"The set has {len(self.keywords)} keywords.", f"Give 1 to {MAX_KEYWORDS}.")
        wordless = [keyword for keyword in self.keywords if not words_of(keyword)]
        if wordless:
            raise BadInput(f"The keyword {wordless[0]!r} holds no word.", "Use words of letters, separated by commas.")
        if not self.label.strip():
            raise BadInput("The label is empty.", f"Choose one, for instance {self.label or BACKTRACKING!r}.")

    @property
    def name(self) -> str:
        """What a labelling by this set is called."""
        shown = ", ".join(self.keywords[:4])
        more = f" and {len(self.keywords) - 4} more" if len(self.keywords) > 4 else ""
        return f"keywords: {shown}{more}"

    def matches(self, sentence: str) -> bool:
        """Whether one of the keywords occurs in the sentence."""
        words = words_of(sentence)
        return any(_occurs(words_of(keyword), words) for keyword in self.keywords)


def parse_keywords(text: str) -> tuple[str, ...]:
    """The keywords of a text in which commas or line breaks stand between them, without repetitions."""
    found = (" ".join(piece.split()) for line in text.splitlines() for piece in line.split(","))
    return tuple(dict.fromkeys(piece.casefold() for piece in found if piece))


def label_by_keywords(traces: Iterable[Trace], keywords: KeywordSet) -> tuple[Trace, ...]:
    """The traces with one part for each sentence that holds a keyword, in the place of the parts they had."""
    return tuple(
        with_labels(trace, spans, [keywords.label if keywords.matches(trace.text[a:b]) else "" for a, b in spans])
        for trace in traces
        for spans in (split_sentences(trace.text),)
    )


def with_labels(trace: Trace, spans: Sequence[Span], labels: Sequence[str]) -> Trace:
    """The trace with a part of labels[i] at spans[i], where that is not "", in the place of the parts it had."""
    parts = (
        Part(label=label, start=start, end=end) for (start, end), label in zip(spans, labels, strict=True) if label
    )
    return replace(trace, parts=tuple(parts))


def _occurs(phrase: list[str], words: list[str]) -> bool:
    return any(words[i : i + len(phrase)] == phrase for i in range(len(words) - len(phrase) + 1))
