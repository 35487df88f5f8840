"""Attention of a decode step on the CPU with the query heads that share keys side by side.

torch's CPU kernel reads the shared keys anew for every query head, and in bf16 repacks them each time: ten times the
work. With one new token the query heads of a group can stand as the rows of one matrix instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask
from transformers.modeling_utils import AttentionInterface

if TYPE_CHECKING:
    from transformers import PreTrainedModel

NAME = "sdpa_packed"
_UNPACKED = ("position_bias", "cache", "softcap")
"""Options that change the attention in ways the packed form does not know."""


def use_packed_attention(model: PreTrainedModel) -> None:
    """Let a model on the CPU that attends by torch's own kernel ("sdpa") use `packed_attention`; no other changes."""
    if model.device.type != "cpu" or model.config._attn_implementation != "sdpa":
        return
    AttentionInterface.register(NAME, packed_attention)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    model.set_attn_implementation(NAME)


def packed_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    **options: object,
) -> tuple[Tensor, None]:
    """Attend from query (batch, n_heads, seq, d_head) to key and value (batch, n_groups, n_keys, d_head).

    Returns ((batch, seq, n_heads, d_head), None). Only seq = 1 with shared keys, without a mask, is packed;
    all else goes to transformers' own function, which packs masked ones itself.
    """
    batch, n_heads, n_new, d_head = query.shape
    n_groups = key.shape[1]
    plain = attention_mask is None and all(options.get(name) is None for name in _UNPACKED)
    if n_new > 1 or n_heads == n_groups or not plain:
        attended: tuple[Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, **options
        )
        return attended
    packed = query.reshape(batch, n_groups, n_heads // n_groups, d_head)
    mixed = torch.nn.functional.scaled_dot_product_attention(packed, key, value, scale=scaling)
    return mixed.reshape(batch, 1, n_heads, value.shape[-1]), None
