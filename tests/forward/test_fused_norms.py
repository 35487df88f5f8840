"""Norms in one kernel are the model's own."""

import pytest
import torch

from core.forward.fused_norms import fused_norms
from core.forward.stand_ins import stand_in
from tests.tiny_models import tiny_loaded

FUSED = {"llama": 7, "qwen2": 7, "qwen3": 13, "mistral": 7, "gemma": 7, "gemma2": 13, "gpt_neox": 0}
"""Norms of three layers and the final one; some families have norms of queries and keys, or after each part."""


@pytest.mark.parametrize(("family", "n"), FUSED.items())
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_model_with_fused_norms_has_its_own_logits(family, n, precision, tmp_path):
    loaded = tiny_loaded(tmp_path, family, precision=precision)
    with torch.no_grad():
        for norm in loaded.model.modules():
            if type(norm).__name__.endswith("RMSNorm"):
                norm.weight.add_(torch.randn_like(norm.weight) * 0.3)
    norms, ids = fused_norms(loaded), torch.arange(10, 40)[None]
    assert len(norms) == n
    with torch.inference_mode():
        own = loaded.model(ids).logits.float()
        with stand_in(norms):
            fused = loaded.model(ids).logits.float()
    limit = 1e-4 if precision == "fp32" else 0.05
    assert (fused - own).abs().max() <= limit * own.abs().max()


def test_a_norm_that_does_something_else_keeps_its_own_forward(tmp_path):
    loaded = tiny_loaded(tmp_path)
    norm = loaded.layers[0].input_layernorm
    own = type(norm).forward
    vars(norm)["forward"] = lambda x: own(norm, x) + 0.5
    assert norm not in fused_norms(loaded)
    assert loaded.layers[1].input_layernorm in fused_norms(loaded)
