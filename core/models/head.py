"""A model's own way from the final norm's output to logits, whatever it scales, squeezes or adds on it.

The model runs with a stand-in where its decoder was, which hands on what it is given. So no family has to be known.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn
from transformers.modeling_outputs import BaseModelOutputWithPast

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Head = Callable[[Tensor], Tensor]
"""(..., d_model) final-normed activations to (..., d_vocab) float32 logits."""


class _Last(BaseModelOutputWithPast):  # type: ignore[misc]  # the library has no types
    """A last hidden state alone: what else a family asks of its decoder's output is None."""

    def __getattr__(self, name: str) -> None:
        if name.startswith("_"):
            raise AttributeError(name)


class _Given(nn.Module):
    """Returns what it is given as the last hidden state; answers for the decoder in everything else.

    Where the blocks are in a part of the decoder, it answers for that part too.
    """

    def __init__(self, decoder: nn.Module, owner: nn.Module) -> None:
        super().__init__()
        self.__dict__["_decoder"], self.__dict__["_owner"] = decoder, owner

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.__dict__["_decoder"], name)
        return self if found is self.__dict__["_owner"] else found

    def forward(self, *_: object, inputs_embeds: Tensor, **__: object) -> _Last:
        return _Last(last_hidden_state=inputs_embeds)


def head_of(model: PreTrainedModel, decoder: nn.Module, owner: nn.Module) -> Head:
    """The head of `model`, whose blocks are in `owner`: its `decoder`, or a part of that."""
    shallow = copy.copy(model)
    name = next(name for name, module in model.named_children() if module is decoder)
    shallow.__dict__["_modules"] = dict(model._modules) | {name: _Given(decoder, owner)}
    forward = type(model).forward

    def head(normed: Tensor) -> Tensor:
        flat = normed.reshape(1, -1, normed.shape[-1])
        logits: Tensor = forward(shallow, inputs_embeds=flat, use_cache=False, return_dict=True).logits
        return logits.float().reshape(*normed.shape[:-1], logits.shape[-1])

    return head
