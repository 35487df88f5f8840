"""Norms and rotations in fewer kernels are the model's own."""

import sys

import pytest
import torch

from core.forward import fixed_step
from core.forward.fused_parts import find_fused, use_fused
from core.models.loaded import encode_prompt
from core.runs.generation import stream_completions
from core.runs.values import GenerationSpec
from core.values import SamplingSpec
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
    found, ids = find_fused(loaded), torch.arange(10, 40)[:, None]
    assert len(found.norms) == n
    assert len(found.rotations) == 1
    with torch.inference_mode():
        own = loaded.model(ids).logits.float()
        with use_fused(found):
            fused = loaded.model(ids).logits.float()
    limit = 1e-4 if precision == "fp32" else 0.05
    assert (fused - own).abs().max() <= limit * own.abs().max()


def test_a_norm_that_does_something_else_keeps_its_own_forward(tmp_path):
    loaded = tiny_loaded(tmp_path)
    norm = loaded.layers[0].input_layernorm
    own = type(norm).forward
    vars(norm)["forward"] = lambda x: own(norm, x) + 0.5
    assert norm not in find_fused(loaded).norms
    assert loaded.layers[1].input_layernorm in find_fused(loaded).norms


@pytest.mark.parametrize("family", FUSED)
def test_steps_with_fused_parts_give_the_tokens_of_those_without(family, tmp_path, monkeypatch):
    """Rotated together only at one new token; afterwards the family's own function is back in its place."""
    loaded = tiny_loaded(tmp_path, family)
    module = vars(sys.modules[type(loaded.model).__module__])
    own = module["apply_rotary_pos_emb"]
    monkeypatch.setattr(fixed_step, "NOTHING", find_fused(loaded))
    specs = [
        GenerationSpec(
            model=loaded.spec,
            fingerprint=loaded.fingerprint,
            prompt=encode_prompt(loaded, question),
            sampling=SamplingSpec(max_new_tokens=40, temperature=0.8, seed=3),
        )
        for question in ("Why?", "What is 3 plus 4?")
    ]
    fixed, plain = ([list(step) for step in stream_completions(loaded, specs, fixed=way)] for way in (True, False))
    assert fixed == plain
    assert module["apply_rotary_pos_emb"] is own


def test_pairs_of_neighbours_are_left_to_the_family(tmp_path):
    """Some families turn neighbouring numbers of a head instead of its halves."""
    loaded = tiny_loaded(tmp_path)
    module = vars(sys.modules[type(loaded.model).__module__])
    own = module["apply_rotary_pos_emb"]

    def neighbours(query, key, cos, sin):
        def turned(x):
            return torch.stack([-x[..., 1::2], x[..., ::2]], -1).flatten(-2)

        return tuple(x * cos[:, None] + turned(x) * sin[:, None] for x in (query, key))

    module["apply_rotary_pos_emb"] = neighbours
    try:
        assert find_fused(loaded).rotations == ()
    finally:
        module["apply_rotary_pos_emb"] = own
