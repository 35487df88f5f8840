"""Traces as rows of tokens: what is learned of each, which are held out, which rows make the batch of a step.

All of it follows from traces, tokenizer and recipe alone, so that a finetune that goes on finds the same batches.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from core.errors import BadInput
from core.finetuning.values import LEAST_TRACES, Recipe
from core.tokens.encoding import Encoder
from core.tokens.frames import ChatFrame
from core.values import Trace

_ENDS = tuple(".!?…。！？\"'”’»)]}*`$>")
"""What a text that was not cut off ends with."""
_LEAST_LEARNED = 4
"""Tokens of reasoning below which a trace teaches nothing."""
MAX_HELD_OUT = 64
"""Traces: more of them only take time."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """A question with its reasoning."""

    question: str
    token_ids: tuple[int, ...]
    learned_from: int
    """Index of the first token that is learned: each from those before it."""

    @property
    def n_learned(self) -> int:
        return len(self.token_ids) - self.learned_from


@dataclass(frozen=True, kw_only=True)
class Rows:
    """The rows of a finetune."""

    learned: tuple[Row, ...]
    held_out: tuple[Row, ...]
    n_left_out: int

    @property
    def n_tokens(self) -> int:
        """Tokens that are learned."""
        return sum(row.n_learned for row in self.learned)


def rows_of(traces: Sequence[Trace], encoder: Encoder, frame: ChatFrame, *, recipe: Recipe, end: int) -> Rows:
    """The rows of the traces; the token `end` follows a text that ends as sentences do and is not cut.

    Raises BadInput where fewer than LEAST_TRACES are left to learn from.
    """
    rows = [row for trace in traces if (row := _row(trace, encoder, frame, recipe.max_tokens, end)) is not None]
    held = _held_out(rows, recipe)
    learned = tuple(row for row in rows if row.question not in held)
    if len(learned) < LEAST_TRACES:
        raise too_few(len(traces), len(rows), len(learned))
    kept = tuple(row for row in rows if row.question in held)[:MAX_HELD_OUT]
    return Rows(learned=learned, held_out=kept, n_left_out=len(traces) - len(rows))


def too_few(n_traces: int, n_usable: int, n_learned: int) -> BadInput:
    """The error for too few traces."""
    if n_traces < LEAST_TRACES:
        why = f"{n_traces} traces are given"
    elif n_usable < LEAST_TRACES:
        why = f"only {n_usable} of the {n_traces} traces have a question and reasoning after it that fits"
    else:
        why = f"only {n_learned} of the {n_usable} traces are not held out"
    return BadInput(
        f"A finetune needs {LEAST_TRACES} or more traces to learn from, and {why}.",
        "Add traces with a question and its reasoning, let traces be longer, or hold fewer out.",
    )


def _row(trace: Trace, encoder: Encoder, frame: ChatFrame, longest: int, end: int) -> Row | None:
    if not trace.prompt.strip() or not trace.text.strip():
        return None
    reading = encoder.reading(frame, trace.prompt, trace.text, limited=False)
    ids = reading.token_ids
    if len(ids) < longest and trace.text.rstrip().endswith(_ENDS):
        ids = (*ids, end)
    ids = ids[:longest]
    row = Row(question=trace.prompt, token_ids=ids, learned_from=reading.text_start)
    return row if reading.text_start and row.n_learned >= _LEAST_LEARNED else None


def _held_out(rows: Sequence[Row], recipe: Recipe) -> set[str]:
    """Questions: a question's traces are held out together, so that none of its answers is seen."""

    def place(question: str) -> bytes:
        return hashlib.sha256(f"{recipe.seed}\n{question}".encode()).digest()

    questions = sorted({row.question for row in rows}, key=place)
    wanted = round(recipe.held_out * len(questions))
    return set(questions[: max(1, wanted)]) if recipe.held_out else set()


def batches(rows: Sequence[Row], recipe: Recipe) -> Iterator[tuple[Row, ...]]:
    """Endlessly, the rows of each step: in another order every time round, as many as the budget of tokens takes."""
    batch: list[Row] = []
    size, turn = 0, 0
    while True:
        order = list(rows)
        Random(f"{recipe.seed} {turn}").shuffle(order)
        for row in order:
            if batch and size + len(row.token_ids) > recipe.batch_tokens:
                yield tuple(batch)
                batch, size = [], 0
            batch.append(row)
            size += len(row.token_ids)
        turn += 1


def slices(batch: Sequence[Row], most: int) -> list[tuple[Row, ...]]:
    """The rows of a batch in parts that are computed at once: rows alike in length, up to `most` padded tokens."""
    parts: list[list[Row]] = []
    for row in sorted(batch, key=lambda row: len(row.token_ids)):
        if not parts or len(row.token_ids) * (len(parts[-1]) + 1) > most:
            parts.append([])
        parts[-1].append(row)
    return [tuple(part) for part in parts]
