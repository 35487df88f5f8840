"""Two models on one text of final-normed activations: the log-probabilities of both, position by position.

Models that share a card come to it one after the other, so that the logits of the first wait in the computer's memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from core.forward.unembedding import CHUNK, unembed
from core.models.loaded import LoadedModel

WAITING_BYTES = 2**31
"""Of logits that wait for those of the other model."""


def log_probabilities_of_both(
    loaded: LoadedModel, normed: Tensor, other: LoadedModel, other_normed: Tensor
) -> Iterator[tuple[slice, Tensor, Tensor] | None]:
    """Yield positions and (k, d_vocab) float64 log-probabilities of each, at most CHUNK positions a time.

    None comes before the second of two models that share a card is needed, so that a job can say so by a step. Without
    gradients; the caller holds neither lock.
    """
    assert len(normed) == len(other_normed), (normed.shape, other_normed.shape)
    chunks = [slice(start, min(start + CHUNK, len(normed))) for start in range(0, len(normed), CHUNK)]
    take_turns, at_once = loaded.lock.excludes(other.lock), 1
    if take_turns:
        at_once = max(1, WAITING_BYTES // (4 * CHUNK * loaded.d_vocab))
    for first in range(0, len(chunks), at_once):
        here = chunks[first : first + at_once]
        both = [(loaded, normed), (other, other_normed)]
        if is_turned := loaded.lock.is_away:
            both.reverse()
        (one, one_normed), (two, two_normed) = both
        waiting = [logits.cpu() if take_turns else logits for logits in _logits(one, one_normed, here)]
        if take_turns:
            two.lock.expect()
            yield None
        for chunk, kept, logits in zip(here, waiting, _logits(two, two_normed, here), strict=True):
            with torch.inference_mode():
                p, q = (part.to(normed.device).double().log_softmax(-1) for part in (kept, logits))
            yield (chunk, q, p) if is_turned else (chunk, p, q)


def _logits(loaded: LoadedModel, normed: Tensor, chunks: Sequence[slice]) -> Iterator[Tensor]:
    for chunk in chunks:
        with loaded.lock, torch.inference_mode():
            logits = unembed(loaded, normed[chunk])
        yield logits
