"""How likely given completions are: the mean negative log-likelihood of their tokens, without steering."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from core.forward.unembedding import not_finite, unembed
from core.models.loaded import LoadedModel

SCORED_AT_ONCE = 2048
"""Positions whose logits are in memory together while a completion is scored."""


def score_completions(loaded: LoadedModel, rows: Sequence[tuple[Sequence[int], Sequence[int]]]) -> list[float]:
    """Mean negative log-likelihood (nats per token) of each completion after its prompt, without steering.

    Rows are (prompt ids, completion ids); padding goes to the right, where causal attention cannot see it. An empty
    completion scores nan. Raises ModelUnavailable when logits are not finite.
    """
    width = max(len(prompt) + len(completion) for prompt, completion in rows)
    input_ids = torch.zeros(len(rows), width, dtype=torch.int64)
    for i, (prompt, completion) in enumerate(rows):
        input_ids[i, : len(prompt) + len(completion)] = torch.tensor([*prompt, *completion])
    scores = []
    with loaded.lock, torch.inference_mode():
        hidden = loaded.decoder(input_ids=input_ids.to(loaded.device), use_cache=False).last_hidden_state
        for i, (prompt, completion) in enumerate(rows):
            read = hidden[i, len(prompt) - 1 : len(prompt) + len(completion) - 1]
            scores.append(_mean_of(loaded, read, completion) if completion else float("nan"))
    return scores


def _mean_of(loaded: LoadedModel, hidden: Tensor, completion: Sequence[int]) -> float:
    """Mean negative log-likelihood of tokens whose predictions follow from `hidden` (n, d_model), final-normed."""
    mean = 0.0
    for start in range(0, len(completion), SCORED_AT_ONCE):
        part = completion[start : start + SCORED_AT_ONCE]
        logits = unembed(loaded, hidden[start : start + len(part)])
        if not bool(torch.isfinite(logits).all()):
            raise not_finite(loaded, is_steered=False)
        targets = torch.tensor(part, device=logits.device, dtype=torch.int64)
        here = float(torch.nn.functional.cross_entropy(logits, targets))
        mean += (here - mean) * len(part) / (start + len(part))
    return mean
