"""A completion read back under its own steering program, in one forward pass, and how far two lanes part on it.

Knows nothing of decoding: the tokens are given. What was written before a token decides its steering, as in decoding.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from core.errors import BadInput
from core.forward.hooks import steer_residuals
from core.forward.unembedding import unembed
from core.models.loaded import LoadedModel
from core.runs.generation import steering_of
from core.runs.values import GenerationSpec, LaneKL, LaneKLSpec

_CHUNK = 128


def forced_hidden(loaded: LoadedModel, spec: GenerationSpec, token_ids: Sequence[int]) -> Tensor:
    """(n, d_model) final-normed activations from which each of the n tokens was predicted, steered as `spec` says.

    Raises BadInput when the text does not fit the model.
    """
    ids, n_prompt = (*spec.prompt.token_ids, *token_ids), len(spec.prompt.token_ids)
    if not token_ids or len(ids) > loaded.context_length:
        raise BadInput(
            f"The completion has {len(token_ids)} tokens; with its prompt, {loaded.name} reads 1 to "
            f"{loaded.context_length}.",
            "Choose a lane with text that fits.",
        )
    steering, watches = steering_of(loaded, [spec])
    for place, token_id in enumerate(token_ids):
        for ending in watches[0].feed(token_id) if watches else ():
            steering.end(0, ending, n_prompt + place)
    steering.positions = torch.arange(len(ids), device=loaded.device)[None]
    with loaded.lock, steer_residuals(loaded, steering), torch.inference_mode():
        output = loaded.decoder(input_ids=torch.tensor([ids], device=loaded.device), use_cache=False)
    hidden: Tensor = output.last_hidden_state[0, n_prompt - 1 : -1]
    return hidden


def lane_kl(ours: LoadedModel, theirs: LoadedModel, spec: LaneKLSpec) -> LaneKL:
    """KL of the next-token distribution between two lanes at every token of one text.

    Raises BadInput when the two models have different vocabularies or the text does not fit one of them.
    """
    if ours.d_vocab != theirs.d_vocab:
        raise BadInput(
            f"{ours.name} and {theirs.name} have different vocabularies.", "Compare lanes of models that share one."
        )
    a = forced_hidden(ours, spec.lane, spec.token_ids)
    b = forced_hidden(theirs, spec.reference, spec.token_ids)
    kl = np.zeros(len(spec.token_ids), np.float32)
    with torch.inference_mode():
        for start in range(0, len(kl), _CHUNK):
            here = slice(start, start + _CHUNK)
            p = unembed(ours, a[here]).double().log_softmax(-1)
            q = unembed(theirs, b[here]).double().log_softmax(-1).to(p.device)
            kl[here] = (p.exp() * (p - q)).sum(-1).clamp(min=0).cpu().numpy()
    return LaneKL(spec=spec, kl=kl)
