"""A tiny model whose way from the first block's stream to the logits is linear, positions mixed by even attention."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from core.models.loaded import LoadedModel
from tests.tiny_models import tiny_loaded


def linear_loaded(tmp_path: Path) -> LoadedModel:
    """Norms are the identity, MLPs write nothing, and every attention head looks at all earlier positions alike."""
    loaded = tiny_loaded(tmp_path)
    with torch.no_grad():
        for block in loaded.layers:
            block.input_layernorm = block.post_attention_layernorm = nn.Identity()
            block.self_attn.q_proj.weight.zero_()
            block.mlp.down_proj.weight.zero_()
    loaded.model.model.norm = nn.Identity()
    return replace(loaded, final_norm=loaded.model.model.norm)
