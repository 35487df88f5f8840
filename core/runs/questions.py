"""Sets of prompts, with the known answers where there are any: reading them, and checking what a model answered."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from core.errors import BadInput
from core.importing.chats import MESSAGE_FIELDS, message_text
from core.importing.forms import QUESTION_FIELDS
from core.text.lines import without_surrogates
from core.traces.records import RECORD_FAULTS, reason_of

MAX_QUESTIONS = 2_000
MAX_QUESTION_CHARACTERS = 20_000
MAX_LIST_BYTES = 20 << 20

MAX_BYTES, MAX_PROMPTS, MAX_CHARACTERS = 2_000_000, 512, 4000
_PROMPT_NAMES = ("prompt", "question", "problem")
_NUMBER = re.compile(r"-?\d+(?:[.,]\d+)*(?:/\d+)?")
_WORD = re.compile(r"[^\W\d_]+")
_BOXED = re.compile(r"\\boxed\{([^{}]*)\}")
_ANSWER = re.compile(r"answer\b[^\w\n-]*(?:is\b|are\b)?", re.IGNORECASE)


def read_prompts(data: bytes) -> tuple[Example, ...]:
    """The prompts of a file: JSON lines or a JSON list of texts or of objects with "prompt" (or "question") and maybe
    "answer"; anything else is plain text with a prompt on each line.

    Raises BadInput, naming the line, for what cannot be read.
    """
    if len(data) > MAX_BYTES:
        raise BadInput(f"The file has {len(data):,} bytes.", f"Use one of at most {MAX_BYTES:,} bytes.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInput("The file is not UTF-8 text.", "Save it as UTF-8, with one prompt on each line.") from error
    rows = _rows(text)
    examples = [_example(row, number) for number, row in rows]
    if not examples:
        raise BadInput("The file holds no prompt.", "Write one prompt on each line.")
    if len(examples) > MAX_PROMPTS:
        raise BadInput(f"The file holds {len(examples)} prompts.", f"Use at most {MAX_PROMPTS}.")
    return tuple(examples)


def _rows(text: str) -> list[tuple[int, Any]]:
    """(line number, text or object) of every prompt."""
    lines = [(i, line.strip()) for i, line in enumerate(text.splitlines(), 1) if line.strip()]
    if not lines or lines[0][1][0] not in '{["':
        return list(lines)
    if lines[0][1][0] == "[":
        return list(enumerate(_parsed(text, 1), 1))
    return [(number, _parsed(line, number)) for number, line in lines]


def _parsed(text: str, line: int) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInput(
            f"Line {line} is not JSON.", "Correct it, or use plain text with a prompt on each line."
        ) from error


def _example(row: Any, number: int) -> Example:
    fields = {"prompt": row} if isinstance(row, str) else row
    prompt = next((fields[n] for n in _PROMPT_NAMES if n in fields), None) if isinstance(fields, dict) else None
    if not isinstance(prompt, str) or not prompt.strip():
        raise BadInput(f"Prompt {number} is no text.", 'Give a text, or an object with "prompt" and maybe "answer".')
    if len(prompt) > MAX_CHARACTERS:
        raise BadInput(f"Prompt {number} has {len(prompt)} characters.", f"Use at most {MAX_CHARACTERS}.")
    answer = fields.get("answer", "")
    if not isinstance(answer, str | int | float):
        raise BadInput(f"The answer of prompt {number} is neither text nor number.", "Write it as text.")
    return Example(prompt=prompt, answer=str(answer)[:200])


def is_right(text: str, answer: str) -> bool | None:
    """Whether a completion gives the known answer; None where no answer is known.

    What counts is what stands last: in `\\boxed{}`, else behind the word "answer", else in the last line. Where the
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
    text = text.rsplit("</think>", 1)[-1] if text.rsplit("</think>", 1)[-1].strip() else text.replace("</think>", "\n")
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


@dataclass(frozen=True, kw_only=True)
class Example:
    """A question with its known answer, "" where there is none."""

    prompt: str
    answer: str = ""
    family: str = ""


@dataclass(frozen=True, kw_only=True)
class QuestionList:
    """The questions of a file, and the lines that hold none, with the reason."""

    questions: tuple[str, ...]
    problems: tuple[str, ...]


def parse_questions(data: bytes, *, source: str) -> QuestionList:
    """Questions from plain text, one a line, or JSON Lines: a string, an object with a question, or chat messages.

    What cannot be used is reported with its line. Raises BadInput when nothing can, or for more than MAX_QUESTIONS.
    """
    if len(data) > MAX_LIST_BYTES:
        raise BadInput(f"{source} is larger than {MAX_LIST_BYTES >> 20} MB.", "Split the list.")
    questions, problems = [], []
    for number, line in enumerate(data.decode("utf-8-sig", errors="replace").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            questions.append(_question_of(line.strip()))
        except RECORD_FAULTS as error:
            problems.append(f"Line {number}: {reason_of(error)}")
        except BadInput as error:
            problems.append(f"Line {number}: {error.problem}")
    if not questions:
        found = f" {problems[0]}" if problems else ""
        raise BadInput(f"{source} holds no question.{found}", 'Write one a line, or JSON Lines with "prompt".')
    if len(questions) > MAX_QUESTIONS:
        raise BadInput(f"{source} holds {len(questions):,} questions.", f"Use at most {MAX_QUESTIONS:,} at a time.")
    return QuestionList(questions=tuple(questions), problems=tuple(problems))


def _question_of(line: str) -> str:
    found = line
    if line.startswith("{"):
        record: dict[str, Any] = json.loads(line)
        texts = (message_text(record[name]) for name in (*QUESTION_FIELDS, *MESSAGE_FIELDS) if name in record)
        found = next((text for text in texts if text.strip()), "")
    elif line.startswith('"') and line.endswith('"'):
        found = json.loads(line)
    question = without_surrogates(found).strip()
    if not 1 <= len(question) <= MAX_QUESTION_CHARACTERS:
        raise BadInput(f"its question has {len(question)} characters.", f"Use 1 to {MAX_QUESTION_CHARACTERS}.")
    return question
