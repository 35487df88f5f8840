"""Where a decoder's blocks and its final norm are, by the names that families have for them; how far it reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from core.models.loading import not_a_decoder

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

DEFAULT_CONTEXT = 2048
"""Tokens, where a config states no length."""

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


def context_of(config: PreTrainedConfig) -> int:
    """How many tokens are read alike whatever follows them.

    A "longrope" turns all positions otherwise once a text is longer than its original length. Keys that are cached
    would be wrong from there on, and a row would depend on the longest of its batch: so the original length is the end.
    """
    longest = int(getattr(config, "max_position_embeddings", None) or DEFAULT_CONTEXT)
    stated = getattr(config, "rope_parameters", None) or {}
    for rope in (stated, *stated.values()):
        if isinstance(rope, dict) and rope.get("rope_type") == "longrope":
            longest = min(longest, int(rope.get("original_max_position_embeddings") or longest))
    return longest
