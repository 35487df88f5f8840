"""A completion read back under its own steering program, in one forward pass, and how far two lanes part on it.

Knows nothing of decoding: the tokens are given. What was written before a token decides its steering, as in decoding.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from core.errors import BadInput
from core.forward.hooks import steer_residuals
from core.forward.unembedding import kl_divergence, log_probabilities_of_both
from core.models.loaded import LoadedModel
from core.runs.generation import steering_of
from core.runs.values import GenerationSpec, LaneKL, LaneKLSpec
from core.tokens.readers import check_same_words


def forced_hidden(loaded: LoadedModel, spec: GenerationSpec, token_ids: Sequence[int]) -> Tensor:
    """(n, d_model) final-normed activations from which each of the n tokens was predicted, steered as `spec` says.

    Raises BadInput when the text does not fit the model.
    """
    ids, n_prompt = (*spec.prompt.token_ids, *token_ids), len(spec.prompt.token_ids)
    if not token_ids:
        raise BadInput("The completion has no tokens.", "Choose a lane with text.")
    loaded.check_fits(ids)
    steering, watches = steering_of(loaded, [spec])
    for place, token_id in enumerate(token_ids):
        for ending in watches[0].feed(token_id) if watches else ():
            steering.end(0, ending, n_prompt + place)
    steering.positions = torch.arange(len(ids), device=loaded.device)[None]
    with loaded.lock, steer_residuals(loaded, steering), torch.inference_mode():
        output = loaded.decoder(input_ids=torch.tensor([ids], device=loaded.device), use_cache=False)
    hidden: Tensor = output.last_hidden_state[0, n_prompt - 1 : -1]
    return hidden


def compare_lanes(ours: LoadedModel, theirs: LoadedModel, spec: LaneKLSpec) -> Iterator[float | LaneKL]:
    """Yield the share of work done after each pass, and at last the KL of the next token between two lanes on one text.

    Raises BadInput where token ids mean other words in the other model, or the text does not fit one of them.
    """
    check_same_words(ours, theirs)
    a = forced_hidden(ours, spec.lane, spec.token_ids)
    theirs.lock.expect()
    yield 0.4
    b = forced_hidden(theirs, spec.reference, spec.token_ids)
    yield 0.8
    kl = np.zeros(len(spec.token_ids), np.float32)
    for item in log_probabilities_of_both(ours, a, theirs, b):
        if item is None:
            yield 0.9
            continue
        here, p, q = item
        kl[here] = kl_divergence(p, q).cpu().numpy()
    yield LaneKL(spec=spec, kl=kl)


def lane_kl(ours: LoadedModel, theirs: LoadedModel, spec: LaneKLSpec) -> LaneKL:
    """As `compare_lanes`, in one go."""
    *_, found = compare_lanes(ours, theirs, spec)
    assert isinstance(found, LaneKL)
    return found
