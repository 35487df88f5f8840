"""Where a decoder's blocks and its final norm are, by the names that families have for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from core.models.loading import not_a_decoder

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_LAYERS = ("layers", "h", "blocks")
_FINAL_NORMS = ("norm", "final_layer_norm", "final_layernorm", "layer_norm", "layernorm", "ln_f", "norm_f", "ln_out")


def blocks_of(model: PreTrainedModel) -> tuple[nn.Module, nn.Module, nn.ModuleList]:
    """The decoder, the part of it that owns its blocks, which mostly is the decoder itself, and the blocks.

    Raises ModelUnavailable where there are none.
    """
    decoders = [model.base_model] if model.base_model is not model else list(model.children())
    for decoder in decoders:
        for owner in (decoder, *decoder.children()):
            for name in _LAYERS:
                layers = getattr(owner, name, None)
                if isinstance(layers, nn.ModuleList) and len(layers) == model.config.num_hidden_layers:
                    return decoder, owner, layers
    raise not_a_decoder(type(model).__name__)


def final_norm_of(owner: nn.Module) -> nn.Module:
    """The norm after the last block, by its name or as the only norm there; none where there is none."""
    named = [x for name in _FINAL_NORMS if isinstance(x := getattr(owner, name, None), nn.Module)]
    norms = [child for child in owner.children() if "norm" in type(child).__name__.lower()]
    return named[0] if named else norms[0] if len(norms) == 1 else nn.Identity()
