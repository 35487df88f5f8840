"""The texts of a record with their paths, and what the names on a path say of them.

Knows names and shapes, not forms: which text becomes a trace is `candidates`' business.
"""

from __future__ import annotations

import functools
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Record = dict[str, object]
"""A JSON object, whatever it holds."""
Path = tuple[str | int, ...]
Role = Literal["question", "reasoning", "response", "reference", "piece", "aside", "other"]

MAX_DEPTH = 8
MAX_NODES = 20_000
MAX_ITEMS = 2_000
"""Items of one list that are looked into."""

_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+|[^\W\d_]+")


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_GENERIC = _set("text content contents value values string str body raw message messages arg full")
_ASIDE = _set(
    "system developer context passage passages document documents article evidence template config args "
    "kwargs tests code shots fewshot examples html logprobs usage tools functions error warning tokenizer image "
    "filtered rejection notes comment comments description header headers"
)
_META_OBJECTS = _set("metadata meta")
_META = _set(
    "id ids uuid type kind model name names source split url link path file date time timestamp created language lang "
    "level difficulty subject category topic domain style format version hash license author effort reason status tag "
    "tags role seed index idx count tokens length budget title nickname provider engine fingerprint object"
)
_GIVEN = _set(
    "gold golden truth groundtruth reference references ref expected gt canonical target targets judge judgement grade "
    "grader verdict evaluation feedback critique review human expert extracted parsed boxed correct"
)
_ANSWER = _set("answer answers solution solutions explanation hint")
_REASONING = _set(
    "reasoning thinking thought thoughts think cot trajectory trajectories trace traces scratchpad monologue "
    "deliberation"
)
_MODEL = _set("model generated predicted prediction predictions llm assistant deepseek qwen r1 student sampled gpt")
_RESPONSE = _set(
    "response responses completion completions generation generations output outputs result results resps candidate "
    "candidates sample samples rollout rollouts attempt attempts reply chosen rejected text content"
)
_QUESTION = _set(
    "problem problems prompt prompts question questions query instruction instructions input inputs task goal request "
    "puzzle exercise user arguments original"
)
_PIECE = _set("chunk chunks step steps sentence sentences segment segments paragraph paragraphs prefix")
QUESTION_NAMES = ("problem", "question", "prompt", "query", "instruction", "input", "task")
"""In the order in which one of several questions is taken."""


@dataclass(frozen=True)
class Leaf:
    """A text of a record, and the way to it."""

    path: Path
    text: str


@dataclass(frozen=True)
class Node:
    """A list or an object in a record."""

    path: Path
    value: list[object] | dict[object, object]


def walk(record: Record, skipped: frozenset[Path] = frozenset()) -> Iterator[Leaf | Node]:
    """Everything in a record that is no number, what lies higher first; nothing below the skipped paths."""
    queue: deque[tuple[Path, object]] = deque([((), record)])
    for _ in range(MAX_NODES):
        if not queue:
            return
        path, value = queue.popleft()
        if path in skipped:
            continue
        if isinstance(value, str):
            yield Leaf(path, value)
        elif isinstance(value, dict | list):
            if path:
                yield Node(path, value)
            if len(path) < MAX_DEPTH:
                items = value.items() if isinstance(value, dict) else enumerate(value[:MAX_ITEMS])
                queue.extend(((*path, key if isinstance(key, int) else str(key)), item) for key, item in items)


def shape(path: Path) -> str:
    """The path as it is shown, with [] for any place in a list."""
    found = ""
    for key in path:
        found += "[]" if isinstance(key, int) else f".{key}" if found else key
    return found[:80] or "the whole record"


def shared(one: Path, other: Path) -> int:
    """How many steps two paths have in common."""
    n = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        n += 1
    return n


def role_of(path: Path) -> Role:
    """What the names on a path say of the text at its end."""
    return _role(tuple(key for key in path if isinstance(key, str)))


@functools.lru_cache(maxsize=4096)
def _role(names: tuple[str, ...]) -> Role:
    if not names:
        return "response"
    words = [_words(name) for name in names]
    if any(_ASIDE & set(found) for found in words) or _META_OBJECTS & set(words[-1]):
        return "aside"
    telling = [found for found in words if not set(found) <= _GENERIC]
    if not telling:
        return "response"
    last, named = telling[-1], set(telling[-1])
    anywhere = {word for found in words for word in found}
    signs: tuple[tuple[bool, Role], ...] = (
        (last[-1] in _META or named <= _META | _GENERIC, "aside"),
        (bool(anywhere & _GIVEN), "reference"),
        (last[-1] in _QUESTION, "question"),
        (bool(named & _PIECE), "piece"),
        (bool(named & _REASONING), "reasoning"),
        (bool(named & _MODEL), "response"),
        (bool(anywhere & _ANSWER), "reference"),
        (bool(named & _RESPONSE), "response"),
        (bool(named & _QUESTION), "question"),
    )
    return next((role for holds, role in signs if holds), "other")


def _words(name: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(name[:200])] or [""]


_CUE = re.compile(
    r"\b(?:wait|hmm|let me|let's|we need|i need|i should|so|therefore|thus|because|first|then|since|alternatively)\b",
    re.IGNORECASE,
)
_LONG, _MANY = 4_000, 8


def reads_like_reasoning(text: str) -> bool:
    """Whether the text is prose of some length: no number, name, code of letters or address."""
    head = text[:_LONG]
    words = head.split()
    if len(words) >= _MANY:
        return sum(map(len, words)) <= 16 * len(words) and not head.lstrip().startswith(("{", "<html", "http"))
    return sum(c > "\u2e7f" and c.isalpha() for c in head) >= 20


def has_cues(text: str) -> bool:
    """Whether words stand in it with which a thought goes on or back."""
    return _CUE.search(text[: 5 * _LONG]) is not None
