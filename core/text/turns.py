"""What the sentence of a keyword hit does: go back to the task, remark on the text itself, or neither.

A model that is pushed off its topic may say "wait" because it notices, which is no backtracking. The rule, in words in
`RULE`, reads the sentence that holds the hit, and the next one too where that is a mere interjection ("Hmm, wait.").
Words of the question make a phrase the task's: "these words" is no remark where the question asks about words. It is
a rule about wording, so it knows neither whether a doubt is justified nor what the model meant. No model, no torch.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from core.text.sentences import Span, split_sentences
from core.text.words import COMMON_WORDS, KEYWORDS, keyword_spans, words_of

RULE = (
    "A hit remarks on the text where its sentence speaks of what is being written: of its words, its repetition, its "
    "sense or its loss of the thread. Otherwise it goes back to the task where its sentence doubts, checks or repeats "
    "a step, changes course, asks, or names something from the question, save in the first two sentences. An "
    "interjection is read with the next sentence."
)
"""The rule in the words of a report."""
Turn = Literal["back", "remarks", "other"]
OPENING = 2
"""So many sentences at the beginning of a text have nothing behind them to go back to."""
MIN_LETTERS = 4
"""A word of the question with fewer letters names nothing of the task."""

_FILLERS = """
a actually ah alright and but hm hmm hold huh i interesting is just let let's me minute moment no not now oh ok okay on
right sec second see so that's uh um wait well yeah yes
"""
_INTERJECTIONS = frozenset(_FILLERS.split())
_TASK = r"question|problem|task|puzzle|prompt"
_TEXT = (
    r"words?|sentences?|phrases?|text|writing|output|paragraphs?|response|reply|message|language|tokens?|repetitions?"
)
_I_AM = r"i(?:'m| am)"
_REMARK = re.compile(
    "|".join(
        rf"\b(?:{phrase})\b"
        for phrase in (
            r"(?:what|why)(?: \w+)? (?:am|was) i(?: even| just| really)? (?:writing|saying|typing|talking)",
            r"what (?:am|was) i(?: even| just)? (?:doing|thinking)(?= here|[?!.]|$)",
            rf"(?:what|why|that) {_I_AM}(?: even| just)? (?:writing|saying|typing|talking)",
            r"where was i(?=[?!.,]|$)",
            r"(?:this|that|it|all|which)(?: \w+)? (?:makes|is making|has made|made) (?:no|little) sense",
            r"(?:none|nothing|not any) of (?:this|that|it|what \w+ \w+) makes(?: any)? sense",
            rf"{_I_AM} (?:not|no longer) making(?: any)? sense",
            r"i (?:just )?(?:keep|kept)(?: on)? (?:repeating|saying|writing|typing|drifting|rambling|going)",
            r"(?:can't|cannot|can not) stop (?:repeating|saying|writing|typing)",
            r"repeating (?:myself|the same|that same|this same)|(?:going|walking) (?:a?round )?in circles",
            rf"{_I_AM} (?:stuck )?in a loop|stuck in (?:a|this) loop|over and over(?: again)?",
            r"off[- ]topic|(?:drift|stray|wander)(?:ing|ed|s)? (?:away |off)",
            r"(?:going|gone|went|getting|got|am|is) off (?:on a tangent|the rails|(?:the )?track)",
            r"side-?tracked|got distracted|getting distracted|digress(?:ing|ed)?|rambl(?:ing|ed)|babbl(?:ing|ed)",
            r"gibberish|nonsense|nonsensical|word salad|random words|incoherent|garbled|gobbledygook",
            r"lost (?:my|the) (?:train of thought|thread|focus|plot)|lost track of (?:what i|where i|my thought)",
            rf"(?:this|that|it|all this) (?:has|had|have) nothing to do with (?:the|my|this|that) (?:{_TASK}|topic)",
            rf"(?:these|those|this|that|my|the same|strange|weird|odd)(?: \w+)? (?:{_TEXT})",
            rf"something (?:is|went|'s) (?:wrong|off|strange) with (?:me|my (?:{_TEXT}|mind|brain|thoughts?))",
            r"not (?:even )?english",
        )
    )
)
_BACK = re.compile(
    r"\?|\b(?:"
    + "|".join(
        (
            rf"{_TASK}|but|though|however|actually|alternatively|instead|otherwise|rather|unless|maybe|perhaps",
            r"again|once more|go(?:ing)? back|step back|start over|from the (?:start|beginning)|back to",
            r"re-?(?:read|check|think|consider|examin|calculat|comput|count|evaluat|visit|phras|do|work|verif|assess)\w*",
            r"(?:double|cross)[- ]?check\w*|check(?:ed|ing)?|verif(?:y|ied|ying)|mak(?:e|ing) sure|confirm\w*",
            r"mistakes?|mistaken|errors?|wrong(?:ly)?|incorrect(?:ly)?|contradict\w*|impossible|confus\w*|mixed up",
            r"mis(?:read|underst\w+|interpret\w*|calculat\w*|count\w*|remember\w*)",
            r"overlook\w*|forgot(?:ten)?|miss(?:ed|ing)|i should",
            r"no|not|(?:is|are|was|were|do|does|did|can|could|would|should|have|has)n't|can't|cannot|won't",
            r"another|different(?:ly)?|better (?:way|choice)|the other way|other (?:way|factor)s?|something else",
        )
    )
    + r")\b"
)


@dataclass(frozen=True, kw_only=True)
class Turns:
    """How many keyword hits of a text stand in sentences of each kind; together they are all its hits."""

    back: int = 0
    remarks: int = 0
    other: int = 0


def turns_of(text: str, question: str, keywords: Sequence[str] = KEYWORDS) -> Turns:
    """What every keyword hit's sentence does, by RULE; `text` is the part of a completion that is measured."""
    found = [turn for _, turn in hits_of(text, question, keywords)]
    return Turns(back=found.count("back"), remarks=found.count("remarks"), other=found.count("other"))


def hits_of(text: str, question: str, keywords: Sequence[str] = KEYWORDS) -> Iterator[tuple[Span, Turn]]:
    """The characters of every keyword hit, and what its sentence does."""
    sentences = split_sentences(text)
    fillers = _INTERJECTIONS | {word.casefold() for word in keywords}
    task = _names(words_of(question))
    turns: dict[int, Turn] = {}
    at = 0
    for start, end in keyword_spans(text, keywords):
        while at + 1 < len(sentences) and sentences[at][1] <= start:
            at += 1
        if at not in turns:
            turns[at] = _turn(text, sentences, at, fillers, task)
        yield (start, end), turns[at]


def _turn(text: str, sentences: Sequence[Span], at: int, fillers: frozenset[str], task: frozenset[str]) -> Turn:
    """What the sentence numbered `at` does; a text of marks alone has none."""
    if not sentences:
        return "other"
    (start, end), last = sentences[at], min(at + 1, len(sentences) - 1)
    if set(words_of(text[start:end])) <= fillers:
        end = sentences[last][1]
    said = " ".join(text[start:end].replace("’", "'").casefold().split())
    if any(not _names(words_of(match[0])) & task for match in _REMARK.finditer(said)):
        return "remarks"
    if at < OPENING:
        return "other"
    return "back" if _BACK.search(said) or _names(words_of(said)) & task else "other"


def _names(words: Sequence[str]) -> frozenset[str]:
    """The words that name something, without a plural's ending."""
    return frozenset(word.removesuffix("s") for word in words if len(word) >= MIN_LETTERS and word not in COMMON_WORDS)
