"""Lists of questions, with the known answers where there are any: reading them, and checking what a model answered."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from core.errors import BadInput
from core.importing.chats import MESSAGE_FIELDS, QUESTION_FIELDS, message_text
from core.text.lines import without_surrogates
from core.text.thoughts import END_THINK
from core.traces.records import RECORD_FAULTS, reason_of

MAX_QUESTIONS = 2_000
MAX_QUESTION_CHARACTERS = 20_000
MAX_ANSWER_CHARACTERS = 200
MAX_LIST_BYTES = 20 << 20

_NUMBER = re.compile(r"-?\d+(?:[.,]\d+)*(?:/\d+)?")
_WORD = re.compile(r"[^\W\d_]+")
_BOXED = re.compile(r"\\boxed\{([^{}]*)\}")
_ANSWER = re.compile(r"answer\b[^\w\n-]*(?:is\b|are\b)?", re.IGNORECASE)
_LIKE_AN_ARRAY = re.compile(r'\[\s*(["{\[\]]|$)')


@dataclass(frozen=True, kw_only=True)
class Example:
    """A question with its known answer, "" where there is none."""

    prompt: str
    answer: str = ""
    family: str = ""


@dataclass(frozen=True, kw_only=True)
class QuestionList:
    """The questions of a file, and the lines or items that hold none, with the reason."""

    questions: tuple[Example, ...]
    problems: tuple[str, ...]


def read_questions(data: bytes, *, source: str = "The file") -> QuestionList:
    """Questions from a JSON array, JSON Lines or plain text with one a line.

    An item of JSON is a text, or an object with a question or chat messages (the field names of imported traces), and
    maybe an "answer". What cannot be used is reported with its place. Raises BadInput when nothing can be used, and
    for more than MAX_QUESTIONS.
    """
    if len(data) > MAX_LIST_BYTES:
        raise BadInput(f"{source} is larger than {MAX_LIST_BYTES >> 20} MB.", "Split the list.")
    text = _decoded(data, source)
    items = _array(text, source)
    lines = [(f"Line {i}", line.strip()) for i, line in enumerate(text.splitlines(), start=1) if line.strip()]
    rows = lines if items is None else [(f"Item {i}", item) for i, item in enumerate(items, start=1)]
    questions, problems = [], []
    for place, row in rows:
        try:
            questions.append(_example(_parsed(str(row)) if items is None else row))
        except RECORD_FAULTS as error:
            problems.append(f"{place}: {reason_of(error)}")
        except BadInput as error:
            problems.append(f"{place}: {error.problem}")
    if not questions:
        found = f" {problems[0]}" if problems else ""
        raise BadInput(f"{source} holds no question.{found}", 'Write one a line, or JSON Lines with "prompt".')
    if len(questions) > MAX_QUESTIONS:
        raise BadInput(f"{source} holds {len(questions):,} questions.", f"Use at most {MAX_QUESTIONS:,} at a time.")
    return QuestionList(questions=tuple(questions), problems=tuple(problems))


def _decoded(data: bytes, source: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInput(f"{source} is not UTF-8 text.", "Save it as UTF-8, with one question a line.") from error


def _array(text: str, source: str) -> list[object] | None:
    """The items of a JSON array; None for lines, which may begin with a bracket too. Raises BadInput for a torn one."""
    if not text.lstrip().startswith("["):
        return None
    try:
        found = json.loads(text)
    except RECORD_FAULTS as error:
        if not _LIKE_AN_ARRAY.match(text.lstrip()):
            return None
        raise BadInput(
            f"{source} begins as a JSON array, and {reason_of(error)}", "Correct it, or write one question a line."
        ) from error
    return list(found)


def _parsed(line: str) -> object:
    """What a line holds: an object or a text of JSON, else the line itself. Raises one of RECORD_FAULTS."""
    return json.loads(line) if line.startswith("{") or (line.startswith('"') and line.endswith('"')) else line


def _example(item: object) -> Example:
    if not isinstance(item, str | dict):
        raise BadInput("it is neither a text nor an object.", "Give a text, or an object with a question.")
    fields = {"prompt": item} if isinstance(item, str) else item
    texts = (message_text(fields[name]) for name in (*QUESTION_FIELDS, *MESSAGE_FIELDS) if name in fields)
    question = without_surrogates(next((text for text in texts if text.strip()), "")).strip()
    if not 1 <= len(question) <= MAX_QUESTION_CHARACTERS:
        raise BadInput(f"its question has {len(question)} characters.", f"Use 1 to {MAX_QUESTION_CHARACTERS}.")
    answer = fields.get("answer")
    if not isinstance(answer, str | int | float | None):
        raise BadInput("its answer is neither text nor number.", "Write it as text.")
    known = "" if answer is None else without_surrogates(str(answer))[:MAX_ANSWER_CHARACTERS]
    return Example(prompt=question, answer=known)


def is_right(text: str, answer: str) -> bool | None:
    """Whether a completion gives the known answer; None where no answer is known.

    What counts is what stands last: in `\\boxed{}`, else after the word "answer", else in the last line. Where the
    answer holds numbers, the first ones there must be the same numbers in any order; else its words must be there.
    """
    if not answer.strip():
        return None
    said, numbers = _said(text), _numbers(answer)
    if numbers:
        return sorted(_numbers(said)[: len(numbers)]) == sorted(numbers)
    words, found = _words(answer), _words(said)
    return any(found[i : i + len(words)] == words for i in range(len(found) - len(words) + 1))


def _said(text: str) -> str:
    answer = text.rsplit(END_THINK, 1)[-1]
    text = answer if answer.strip() else text.replace(END_THINK, "\n")
    boxed = _BOXED.findall(text)
    if boxed:
        return str(boxed[-1])
    marks = list(_ANSWER.finditer(text))
    if marks:
        return text[marks[-1].end() :].strip().split("\n", 1)[0]
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""


def _numbers(text: str) -> list[str]:
    """Numbers in one spelling: 1,000 and 1000 and 1000.0 are the same."""
    return [_plain_number(match) for match in _NUMBER.findall(text)]


def _plain_number(raw: str) -> str:
    raw = re.sub(r",(?=\d{3}\b)", "", raw)
    if "/" in raw:
        return raw
    try:
        return f"{float(raw.replace(',', '.')):g}"
    except ValueError:
        return raw


def _words(text: str) -> list[str]:
    return [word.casefold() for word in _WORD.findall(text)]


def accuracy(texts: Sequence[str], answers: Sequence[str]) -> tuple[int, int]:
    """(right ones, prompts with a known answer)."""
    checked = [is_right(text, answer) for text, answer in zip(texts, answers, strict=True)]
    return sum(bool(right) for right in checked), sum(right is not None for right in checked)
