"""Traces that the loaded reasoning model writes: a list of questions in, completions asked for, their reasoning out.

Knows no model: completions are made by `workbench.generate_set`, which keeps each of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from core.errors import BadInput
from core.importing.chats import MESSAGE_FIELDS, message_text
from core.importing.forms import QUESTION_FIELDS
from core.runs import Generation, GenerationSpec
from core.text.lines import clean
from core.text.thoughts import END_THINK, split_thought
from core.traces.records import RECORD_FAULTS, reason_of
from core.values import ModelSpec, Prompt, SamplingSpec, Trace

MAX_QUESTIONS = 2_000
MAX_QUESTION_CHARACTERS = 20_000
MAX_LIST_BYTES = 20 << 20
WHOLE = ("eos", "length", "context")
"""Stop reasons of completions that ended by themselves or at their limit."""


@dataclass(frozen=True, kw_only=True)
class QuestionList:
    """The questions of a file, and the lines that hold none, with the reason."""

    questions: tuple[str, ...]
    problems: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class GeneratedTraces:
    """The reasoning of a list of completions."""

    traces: tuple[Trace, ...]
    n_cut_off: int
    """Traces that reached the token limit before the reasoning was closed."""
    n_empty: int
    """Completions without any reasoning; they give no trace."""


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


def generation_specs(
    prompts: Sequence[Prompt], *, model: ModelSpec, fingerprint: str, sampling: SamplingSpec
) -> tuple[GenerationSpec, ...]:
    """One unsteered completion per prompt; the seed of prompt i is `sampling.seed + i`."""
    return tuple(
        GenerationSpec(
            model=model,
            fingerprint=fingerprint,
            prompt=prompt,
            sampling=replace(sampling, seed=sampling.seed + i),
        )
        for i, prompt in enumerate(prompts)
    )


def traces_of(generations: Iterable[Generation]) -> GeneratedTraces:
    """The reasoning of each completion as a trace without labels; the answer behind `</think>` is no part of it."""
    traces, n_cut_off, n_empty = [], 0, 0
    for number, generation in enumerate(generations, start=1):
        thought, _ = split_thought(generation.text)
        if not thought.strip():
            n_empty += 1
            continue
        n_cut_off += generation.stop_reason != "eos" and END_THINK not in generation.text
        traces.append(
            Trace(
                trace_id=f"{number}-seed{generation.spec.sampling.seed}",
                prompt=generation.spec.prompt.question,
                text=thought,
                source=f"written by {generation.spec.model.name}",
            )
        )
    return GeneratedTraces(traces=tuple(traces), n_cut_off=n_cut_off, n_empty=n_empty)


def _question_of(line: str) -> str:
    found = line
    if line.startswith("{"):
        record: dict[str, Any] = json.loads(line)
        texts = (message_text(record[name]) for name in (*QUESTION_FIELDS, *MESSAGE_FIELDS) if name in record)
        found = next((text for text in texts if text.strip()), "")
    elif line.startswith('"') and line.endswith('"'):
        found = json.loads(line)
    question = clean(found).strip()
    if not 1 <= len(question) <= MAX_QUESTION_CHARACTERS:
        raise BadInput(f"its question has {len(question)} characters.", f"Use 1 to {MAX_QUESTION_CHARACTERS}.")
    return question
