"""From a residual stream to logits and log-probabilities: final norm, unembedding, keywords in the vocabulary."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from core.errors import BadDirection, ModelUnavailable, UserFacingError
from core.models.loaded import LoadedModel

CHUNK = 256
"""Positions whose logits over the whole vocabulary are in memory at a time."""
WAITING_BYTES = 2**31
"""Of logits that wait for those of the other model."""
STEP, LINEAR_WITHIN = 2.0**-8, 2e-2
"""The share of a vector that the slope at 0 is taken with, and how far a linear head may be from doubling."""


def unembed(loaded: LoadedModel, normed: Tensor) -> Tensor:
    """(..., d_vocab) float32 logits of final-normed activations (..., d_model), by the model's own head."""
    return loaded.head(normed)


def logit_lens(loaded: LoadedModel, resid: Tensor) -> Tensor:
    """(..., d_vocab) float32 logits of residual-stream activations (..., d_model), as if the model ended there."""
    return unembed(loaded, loaded.final_norm(resid))


def read_vectors(loaded: LoadedModel, vectors: Tensor) -> Tensor:
    """(k, d_vocab) float64 what each vector (k, d_model) adds to the logits: without final norm, bias or squeezing.

    So Eq. 2 has the model's own scale. Where the head is not linear, its slope at 0 is taken.
    """
    size = 1.0 if is_linear(loaded) else STEP
    rows = torch.cat([size * vectors, torch.zeros_like(vectors[:1])]).to(loaded.device, loaded.compute_dtype)
    found = unembed(loaded, rows).double()
    return (found[:-1] - found[-1]) / size


def is_linear(loaded: LoadedModel) -> bool:
    """Whether the head is linear up to a bias: what soft-capping squeezes is not."""
    vector = torch.full((1, loaded.d_model), 1.0, device=loaded.device, dtype=loaded.compute_dtype)
    vector[:, ::2] = -0.5
    scale = 2.0**8 / float(vector.norm())
    nothing, once, twice = unembed(loaded, torch.cat([0 * vector, scale * vector, 2 * scale * vector])).double()
    gap = (twice - nothing) - 2 * (once - nothing)
    return bool(gap.abs().max() <= LINEAR_WITHIN * (twice - nothing).abs().max())


def log_probabilities(loaded: LoadedModel, normed: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Yield positions and (k, d_vocab) float64 log-probabilities of their next tokens, at most CHUNK positions a time.

    `normed` (seq, d_model) is final-normed. The caller opens `torch.inference_mode` where no gradient is wanted,
    and does not hold the lock.
    """
    for start in range(0, len(normed), CHUNK):
        here = slice(start, min(start + CHUNK, len(normed)))
        with loaded.lock:
            logits = unembed(loaded, normed[here])
        yield here, logits.double().log_softmax(-1)


def kl_divergence(p: Tensor, q: Tensor) -> Tensor:
    """(k,) KL(p ‖ q) in nats, never below 0, from log-probabilities (k, d_vocab); on the device of `p`."""
    return (p.exp() * (p - q.to(p.device))).sum(-1).clamp(min=0)


def any_probability(log_probs: Tensor, ids: Tensor) -> Tensor:
    """(k,) probability that the next token is one of `ids` (n,), from log-probabilities (k, d_vocab)."""
    return log_probs[:, ids].logsumexp(-1).exp()


def keyword_ids(loaded: LoadedModel, keywords: Sequence[str]) -> list[int]:
    """Ids of the tokens that begin one of the keywords; see `core.tokens.keywords`. Raises BadInput for none."""
    return list(loaded.keyword_forms(keywords).ids)


def word_items(loaded: LoadedModel, words: Sequence[str]) -> list[int]:
    """Ids of the vocabulary items whose text contains one of the words, whatever the case (the `a` of Eq. 2)."""
    wanted = [word.casefold() for word in words if word.strip()]
    return [i for i, text in enumerate(loaded.vocabulary_texts()) if any(word in text.casefold() for word in wanted)]


def not_finite(loaded: LoadedModel, *, is_steered: bool) -> UserFacingError:
    """What is said of a step whose steered stream, or else whose logits, are not finite."""
    if is_steered:
        return BadDirection(
            "The steered residual stream overflowed.", "Use a smaller coefficient, or load the model in fp32 or bf16."
        )
    return ModelUnavailable(
        f"The logits of {loaded.name} hold NaN or infinite values here, so nothing that it writes can be kept.",
        "Its weights are damaged, or overflow in this precision: fetch them again, or load it in bf16 or fp32.",
    )


def log_probabilities_of_both(
    loaded: LoadedModel, normed: Tensor, other: LoadedModel, other_normed: Tensor
) -> Iterator[tuple[slice, Tensor, Tensor] | None]:
    """Yield positions and (k, d_vocab) float64 log-probabilities of each, at most CHUNK positions a time.

    Models that share a card come to it one after the other, so that the logits of the first wait in the computer's
    memory; None comes before the second is needed, so that a job can say so by a step. Without gradients; the caller
    holds neither lock.
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
