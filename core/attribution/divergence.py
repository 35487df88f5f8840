"""Two models on one text: how far their predictions part at every token."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from core.attribution.one_text import normed_of
from core.attribution.targets import check_text
from core.attribution.values import Divergence, DivergenceSpec
from core.errors import BadInput
from core.forward.unembedding import any_probability, kl_divergence, log_probabilities_of_both
from core.models.loaded import LoadedModel
from core.tokens.readers import check_same_words


def compare_models(loaded: LoadedModel, other: LoadedModel, spec: DivergenceSpec) -> Iterator[float | Divergence]:
    """Yield the share of work done after each pass, and at last the Divergence.

    Raises BadInput before the first forward when a text does not fit its model, or the models differ in shape.
    """
    if loaded.d_model != other.d_model:
        raise BadInput(
            f"{loaded.name} and {other.name} differ in d_model, so one cannot read the other's residual stream.",
            "Load a base model and the reasoning model finetuned from it.",
        )
    check_same_words(loaded, other)
    wanted = check_text(loaded, spec.text)
    check_text(other, spec.other)
    keywords = torch.tensor(wanted, device=other.device)
    seq, start = len(spec.text.token_ids), spec.text.text_start
    with loaded.lock, torch.inference_mode():
        ours = normed_of(loaded, spec.text.token_ids)[start:]
    other.lock.expect()
    yield 0.5
    with other.lock, torch.inference_mode():
        theirs = normed_of(other, spec.other.token_ids)[spec.other.text_start :]
    yield 0.9
    kl, p_other = np.full((2, seq), np.nan, np.float32)
    for item in log_probabilities_of_both(loaded, ours, other, theirs):
        if item is None:
            yield 0.95
            continue
        here, p, q = item
        kl[start:][here] = kl_divergence(p, q).cpu().numpy()
        p_other[start:][here] = any_probability(q, keywords).cpu().numpy()
    yield Divergence(spec=spec, kl=kl, p_keyword_other=p_other)
