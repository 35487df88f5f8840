"""From a residual stream to logits and log-probabilities: final norm, unembedding, keywords in the vocabulary."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from core.errors import BadInput
from core.models.loaded import LoadedModel

CHUNK = 256
"""Positions whose logits over the whole vocabulary are in memory at a time."""


def unembed(loaded: LoadedModel, normed: Tensor) -> Tensor:
    """(..., d_vocab) float32 logits of final-normed activations (..., d_model), soft-capped where the model does so."""
    logits: Tensor = loaded.unembed(normed).float()
    cap = getattr(loaded.model.config, "final_logit_softcapping", None)
    return logits if not cap else torch.tanh(logits / cap) * cap


def logit_lens(loaded: LoadedModel, resid: Tensor) -> Tensor:
    """(..., d_vocab) float32 logits of residual-stream activations (..., d_model), as if the model ended there."""
    return unembed(loaded, loaded.final_norm(resid))


def log_probabilities(loaded: LoadedModel, normed: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Yield positions and (k, d_vocab) float64 log-probabilities of their next tokens, at most CHUNK positions a time.

    `normed` (seq, d_model) is final-normed. The caller opens `torch.inference_mode` where no gradient is wanted.
    """
    for start in range(0, len(normed), CHUNK):
        here = slice(start, min(start + CHUNK, len(normed)))
        yield here, unembed(loaded, normed[here]).double().log_softmax(-1)


def kl_divergence(p: Tensor, q: Tensor) -> Tensor:
    """(k,) KL(p ‖ q) in nats, never below 0, from log-probabilities (k, d_vocab); on the device of `p`."""
    return (p.exp() * (p - q.to(p.device))).sum(-1).clamp(min=0)


def any_probability(log_probs: Tensor, ids: Tensor) -> Tensor:
    """(k,) probability that the next token is one of `ids` (n,), from log-probabilities (k, d_vocab)."""
    return log_probs[:, ids].logsumexp(-1).exp()


def keyword_ids(loaded: LoadedModel, keywords: Sequence[str]) -> list[int]:
    """Ids of the vocabulary items that begin one of the keywords: "wait", " Wait", "WAIT" for "wait".

    An item counts when its text, without surrounding white space and case, equals a keyword. Where the tokenizer
    splits a keyword, its first token counts instead. Raises BadInput when nothing is left to look for.
    """
    wanted = {word.strip().casefold() for word in keywords} - {""}
    if not wanted:
        raise BadInput("There are no keywords.", 'Give at least one word, for example "wait".')
    texts = loaded.vocabulary_texts()
    ids = {i for i, text in enumerate(texts) if text.strip().casefold() in wanted}
    found = {texts[i].strip().casefold() for i in ids}
    for word in wanted - found:
        for form in (word, " " + word, word.capitalize(), " " + word.capitalize()):
            ids.add(loaded.tokenizer.encode(form, add_special_tokens=False)[0])
    return sorted(ids)


def word_items(loaded: LoadedModel, words: Sequence[str]) -> list[int]:
    """Ids of the vocabulary items whose text contains one of the words, whatever the case (the `a` of Eq. 2)."""
    wanted = [word.casefold() for word in words if word.strip()]
    return [i for i, text in enumerate(loaded.vocabulary_texts()) if any(word in text.casefold() for word in wanted)]
