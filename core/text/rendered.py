"""The question in a text that a chat template has rendered: what the last user said, without the template's marks."""

from __future__ import annotations

import re
from dataclasses import dataclass

from core.text.thoughts import find_thought

_SPECIAL = (
    r"<[|｜][^<>|｜\n]{1,40}[|｜]>|<\|[a-z_]{1,30}>|<[a-z_]{1,30}\|>|</?s>|<bos>|<eos>|<(?:start|end)_of_turn>"
    r"|\[/?INST\]|\[\|[^\]\n|]{1,30}\|\]|<SPECIAL_\d+>|<extra_id_\d+>|</?role>|\]~b\]|\[e~\["
)
_USER = re.compile(
    r"(?:<[|｜](?:\w{1,20}_)?(?:user|human)(?:_token)?[|｜]>|\[\|(?:user|human)\|\]|\[INST\]"
    rf"|(?:{_SPECIAL})\s{{0,2}}(?:user|human)\b[ \t]{{0,2}}(?:{_SPECIAL}|\n|$))",
    re.IGNORECASE,
)
_MARK = re.compile(_SPECIAL, re.IGNORECASE)
_SYSTEM_IN_TURN = re.compile(r"\s*<<SYS>>.*?<</SYS>>\s*", re.DOTALL)
_SPOKEN_END = re.compile(
    r"\n[ \t]*(?:#+ *)?(?:assistant|response|ai|gpt|answer) *:\s*(?:\S{3,12}\s*)?\Z", re.IGNORECASE
)
_SPOKEN_USER = re.compile(r"(?:\A|\n)[ \t]{0,4}(?:#{1,4} ?)?(?:user|human|instruction|question) ?:", re.IGNORECASE)
_LAST = 200
"""Characters at the end of a text in which a line that asks for the answer is looked for."""
MAX_PROMPT = 100_000


@dataclass(frozen=True, kw_only=True)
class Question:
    """A question, and what was done to get it as (kind, sentence)."""

    text: str
    notes: tuple[tuple[str, str], ...] = ()


def unframed(text: str) -> Question:
    """The question of a rendered prompt; any other text as it is."""
    if len(text) > MAX_PROMPT:
        return Question(text="", notes=(("question", f"it has {len(text):,} characters and is left out"),))
    found = _by_marks(text)
    if found is None:
        found = _by_words(text)
    if found is not None and found.strip():
        n = len(text.strip()) - len(found.strip())
        note = f"it was a rendered prompt: the last user's text is kept, {n:,} characters around it are left out"
        return Question(text=found.strip(), notes=(("question", note),))
    thought = find_thought(text)
    if thought and thought.opened and not text[thought.start :].strip():
        left = text[: thought.start].rstrip().removesuffix(thought.opened).rstrip()
        return Question(text=left, notes=(("question", f"the mark {thought.opened} at its end is left out"),))
    marks = list(dict.fromkeys(match[0] for match in _MARK.finditer(text)))
    if not marks:
        return Question(text=text)
    first, rest = _MARK.match(text.lstrip()), ""
    if first and len(marks) == 1 and text.count(marks[0]) == 1:
        rest = text.lstrip()[first.end() :]
    if rest.strip():
        return Question(text=rest, notes=(("question", f"the mark {marks[0]} before it is left out"),))
    seen = ", ".join(marks[:3])
    return Question(text=text, notes=(("question", f"it holds marks of an unknown chat template and is kept: {seen}"),))


def _by_marks(text: str) -> str | None:
    users = list(_USER.finditer(text))
    if not users:
        return None
    start = users[-1].end()
    end = _MARK.search(text, start)
    return _SYSTEM_IN_TURN.sub("", text[start : end.start() if end else len(text)], count=1)


def _by_words(text: str) -> str | None:
    end = _SPOKEN_END.search(text, max(0, len(text) - _LAST))
    users = list(_SPOKEN_USER.finditer(text, 0, end.start())) if end else []
    return text[users[-1].end() : end.start()] if end and users else None
