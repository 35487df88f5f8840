"""Two models on one text: how far their predictions part at every token."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from core.attribution.one_text import normed_of
from core.attribution.targets import check_text
from core.attribution.values import Divergence, DivergenceSpec
from core.errors import BadInput
from core.forward.unembedding import any_probability, kl_divergence, log_probabilities
from core.models.loaded import LoadedModel
from core.tokens.readers import check_same_words
from core.values import Floats


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
    yield 0.5
    with other.lock, torch.inference_mode():
        theirs = normed_of(other, spec.other.token_ids)[spec.other.text_start :]
    yield 0.9
    kl, p_other = np.full((2, seq), np.nan, np.float32)
    kl[start:], p_other[start:] = _compare(loaded, other, ours, theirs, keywords)
    yield Divergence(spec=spec, kl=kl, p_keyword_other=p_other)


def _compare(
    loaded: LoadedModel, other: LoadedModel, ours: Tensor, theirs: Tensor, keywords: Tensor
) -> tuple[Floats, Floats]:
    """(k,) KL(ours ‖ theirs) in nats and (k,) P(keyword) of theirs, from final-normed activations (k, d_model)."""
    kl, p_other = np.zeros((2, len(ours)), np.float32)
    with torch.inference_mode():
        both = zip(log_probabilities(loaded, ours), log_probabilities(other, theirs), strict=True)
        for (here, p), (_, q) in both:
            kl[here] = kl_divergence(p, q).cpu().numpy()
            p_other[here] = any_probability(q, keywords).cpu().numpy()
    return kl, p_other
