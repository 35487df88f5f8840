"""The target of a text as a linear function of logits: keywords against the most likely others, weights fixed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from core.attribution.values import TargetText
from core.errors import BadInput
from core.forward.unembedding import keyword_ids, unembed
from core.models.loaded import LoadedModel

N_OTHERS = 5


@dataclass(frozen=True)
class Contrast:
    """A weighted difference of logits per position; the keywords' weights add up to 1, the others' to −1."""

    ids: Tensor
    """(k, n) token ids."""
    weights: Tensor
    """(k, n) float32; each set is weighted by its probabilities on the unsteered model."""

    def of(self, logits: Tensor) -> Tensor:
        """(k,) differences of the logits (k, d_vocab)."""
        return (logits.gather(-1, self.ids) * self.weights).sum(-1)


def contrast_of(logits: Tensor, keywords: Sequence[int]) -> Contrast:
    """The contrast that the unsteered logits (k, d_vocab) fix.

    Its gradient is that of log P(keywords) − log P(the five most likely others), at these logits.
    """
    wanted = torch.tensor(list(keywords), device=logits.device).expand(len(logits), -1)
    others = logits.scatter(-1, wanted, -torch.inf).topk(min(N_OTHERS, logits.shape[-1] - wanted.shape[-1]), dim=-1)
    weights = (logits.gather(-1, wanted).softmax(-1), -others.values.softmax(-1))
    return Contrast(ids=torch.cat((wanted, others.indices), -1), weights=torch.cat(weights, -1))


def contrast_gradient(loaded: LoadedModel, normed: Tensor, keywords: Sequence[int]) -> tuple[Tensor, Tensor]:
    """(k, d_model) gradient of each position's difference in its final-normed activation, and (k,) the differences."""
    with torch.enable_grad():
        leaf = normed.detach().clone().requires_grad_()
        logits = unembed(loaded, leaf)
        values = contrast_of(logits.detach(), keywords).of(logits)
        (gradient,) = torch.autograd.grad(values.sum(), leaf)
    return gradient.detach(), values.detach()


def check_text(loaded: LoadedModel, text: TargetText) -> list[int]:
    """The keyword ids. Raises BadInput where the tokens do not fit the model or nothing else is left to compare."""
    loaded.check_fits(text.token_ids)
    wanted = keyword_ids(loaded, text.keywords)
    if len(wanted) >= loaded.d_vocab:
        raise BadInput("Every token of the vocabulary is a keyword.", "Give fewer keywords.")
    return wanted
