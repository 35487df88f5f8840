"""What a model writes while it is being finetuned: a few tokens after a question, drawn by a seed of their own."""

from __future__ import annotations

from collections.abc import Generator, Sequence

import torch

from core.finetuning.factors import Factors
from core.forward.kv_cache import roomy_cache
from core.models.loaded import LoadedModel

TEMPERATURE, NEW_TOKENS, QUESTIONS = 0.7, 64, 2


def write_sample(
    loaded: LoadedModel, factors: Factors, prompt: Sequence[int], *, seed: int
) -> Generator[float, None, tuple[int, ...]]:
    """Yield after every token; returns up to NEW_TOKENS of them, without the one that ends the text."""
    random = torch.Generator().manual_seed(seed)
    cache, written = roomy_cache(loaded.model.config), list[int]()
    ids = torch.tensor([list(prompt)], device=loaded.device)
    for _ in range(min(NEW_TOKENS, loaded.context_length - len(prompt))):
        with loaded.lock, factors.added(), torch.inference_mode():
            hidden = loaded.decoder(input_ids=ids, past_key_values=cache, use_cache=True).last_hidden_state
            shares = (loaded.head(hidden[:, -1]) / TEMPERATURE).softmax(-1)[0].double().cpu()
        token = int(torch.multinomial(shares, 1, generator=random))
        if token in loaded.eos_ids:
            break
        written.append(token)
        ids = torch.tensor([[token]], device=loaded.device)
        yield len(written) / NEW_TOKENS
    return tuple(written)
