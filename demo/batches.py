"""Endless training batches from a document generator: tokenised, sorted by length, padded, the same for the same seed.

Most rows hold one document; some hold several in a row, so that distances up to the row length are trained.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random

import torch
from tokenizers import Tokenizer

from demo.documents import Document

ROW_LENGTH = 512
CHUNK_DOCUMENTS = 512
LONG_ROW_SHARE = 0.1
IGNORED = -100

DrawDocument = Callable[[Random], Document]


@dataclass(frozen=True)
class Batch:
    """A padded batch."""

    ids: torch.Tensor
    """(rows, length) token ids."""
    targets: torch.Tensor
    """(rows, length) next token ids, or IGNORED."""
    chunk: int
    """Which chunk of the stream it came from."""


def stream_batches(
    draw: DrawDocument, tokenizer: Tokenizer, *, name: str, tokens: int, chunk: int = 0
) -> Iterator[Batch]:
    """Batches of about `tokens` tokens, from the given chunk of the stream called `name` on."""
    pad = tokenizer.token_to_id("<|pad|>")
    assert pad is not None, "the tokenizer has no padding token"
    while True:
        rng = Random(f"{name} chunk {chunk}")
        rows = sorted(_draw_rows(draw, tokenizer, rng), key=lambda row: len(row[0]))
        groups = _group_rows(rows, tokens)
        rng.shuffle(groups)
        for group in groups:
            yield _pad(group, pad, chunk)
        chunk += 1


def _draw_rows(draw: DrawDocument, tokenizer: Tokenizer, rng: Random) -> list[tuple[list[int], list[int]]]:
    rows: list[tuple[list[int], list[int]]] = []
    for _ in range(CHUNK_DOCUMENTS):
        ids, targets = _encode(draw(rng), tokenizer)
        long = rng.random() < LONG_ROW_SHARE
        while long and len(ids) < ROW_LENGTH:
            more_ids, more_targets = _encode(draw(rng), tokenizer)
            ids, targets = ids + more_ids, targets + more_targets
        rows.append((ids[:ROW_LENGTH], targets[:ROW_LENGTH]))
    return rows


def _encode(document: Document, tokenizer: Tokenizer) -> tuple[list[int], list[int]]:
    prompt = tokenizer.encode(document.prompt).ids
    completion = tokenizer.encode(document.completion).ids
    learned = [IGNORED] * len(prompt) + completion
    return prompt + completion, [*learned[1:], IGNORED]


def _group_rows(rows: list[tuple[list[int], list[int]]], tokens: int) -> list[list[tuple[list[int], list[int]]]]:
    groups: list[list[tuple[list[int], list[int]]]] = [[]]
    for row in rows:
        if len(row[0]) * (len(groups[-1]) + 1) > tokens and groups[-1]:
            groups.append([])
        groups[-1].append(row)
    return groups


def _pad(rows: list[tuple[list[int], list[int]]], pad: int, chunk: int) -> Batch:
    length = max(len(ids) for ids, _ in rows)
    ids = torch.tensor([row + [pad] * (length - len(row)) for row, _ in rows])
    targets = torch.tensor([row + [IGNORED] * (length - len(row)) for _, row in rows])
    return Batch(ids, targets, chunk)
