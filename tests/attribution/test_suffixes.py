"""Exact effects by passes over the end of the text are those of passes over all of it, whatever the family."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import transformers

from core.attribution import interventions
from core.attribution.interventions import measure_effects
from core.attribution.values import InterventionSpec
from core.forward.suffixes import reproduces, run_and_keep, run_suffix
from core.models.loaded import hook_count, load_model
from core.values import ModelSpec
from tests.attribution.test_effects import last, target_text
from tests.tiny_models import tiny_folder, tiny_loaded

SIZES = {
    "vocab_size": 352,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 512,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 1,
    "initializer_range": 0.1,
}
FAMILIES = {
    "llama": {},
    "mistral": {"sliding_window": 6},
    "gemma2": {"sliding_window": 6, "query_pre_attn_scalar": 8},
    "gemma3_text": {"sliding_window": 6, "query_pre_attn_scalar": 8},
    "qwen2": {"use_sliding_window": True, "sliding_window": 6, "max_window_layers": 1},
    "qwen3": {},
    "phi3": {"sliding_window": 6},
    "gpt_neox": {},
    "stablelm": {},
    "olmo2": {},
    "cohere2": {"sliding_window": 6, "logit_scale": 1.0},
    "mixtral": {"num_local_experts": 4},
}
NOT_KEPT = {
    "qwen3_next": {
        "linear_num_key_heads": 2,
        "linear_num_value_heads": 4,
        "linear_key_head_dim": 8,
        "linear_value_head_dim": 8,
        "num_experts": 4,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 16,
        "shared_expert_intermediate_size": 16,
    },
}
TEXT = "First we add the numbers. Wait, that is wrong. But maybe there is another way, and so we try it again."


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def loaded_family(tmp_path, family, options):
    folder = tiny_folder(tmp_path, "llama")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = transformers.AutoConfig.for_model(family, **SIZES | options)
        transformers.AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return load_model(ModelSpec(repo_id=str(folder), precision="fp32"))


def effects_spec(loaded, direction, *, layer, first, targets):
    text = target_text(loaded, targets=targets, text=TEXT)
    return InterventionSpec(text=text, direction=direction, layer=layer, coefficient=2.0, first=first)


def without_suffixes(monkeypatch, loaded, spec):
    """The same spec with a whole pass for every row."""
    with monkeypatch.context() as patch:
        whole = lambda model, ids, layer: (run_and_keep(model, ids, layer)[0], None)  # noqa: E731
        patch.setattr(interventions, "run_and_keep", whole)
        return last(measure_effects(loaded, spec))


def assert_equal(got, want):
    for name in ("steered", "ablated"):
        assert np.nanmax(np.abs(getattr(want, name))) > 1e-3
        assert np.allclose(getattr(got, name), getattr(want, name), atol=1e-5, equal_nan=True), name
    assert (got.steered_all, got.ablated_all) == pytest.approx((want.steered_all, want.ablated_all), abs=1e-5)
    assert got.target == pytest.approx(want.target, abs=1e-5)


@pytest.mark.parametrize("layer", [0, 2, 3])
@pytest.mark.parametrize("family", FAMILIES)
def test_only_the_end_is_run_and_the_effects_are_the_same(family, layer, tmp_path, make_direction, monkeypatch):
    loaded = loaded_family(tmp_path, family, FAMILIES[family])
    spec = effects_spec(loaded, make_direction(loaded.d_model), layer=layer, first=9, targets=(5, 22, 30))
    want = without_suffixes(monkeypatch, loaded, spec)
    lengths = []
    monkeypatch.setattr(interventions, "run_suffix", lambda *a, **k: lengths.append(31 - a[2]) or run_suffix(*a, **k))
    assert_equal(last(measure_effects(loaded, spec)), want)
    assert lengths[0] == 22
    assert lengths[-1] < 22
    assert hook_count(loaded) == 0
    assert all("forward" not in vars(block) for block in loaded.layers)


@pytest.mark.parametrize("family", NOT_KEPT)
def test_a_model_with_other_states_is_run_whole(family, tmp_path, make_direction, monkeypatch):
    loaded = loaded_family(tmp_path, family, NOT_KEPT[family])
    spec = effects_spec(loaded, make_direction(loaded.d_model), layer=1, first=20, targets=(22,))
    want = without_suffixes(monkeypatch, loaded, spec)
    monkeypatch.setattr(interventions, "run_suffix", lambda *_a, **_k: pytest.fail("its end was run alone"))
    assert_equal(last(measure_effects(loaded, spec)), want)


def test_a_block_that_reads_more_than_the_stream_is_noticed(tmp_path, make_direction, monkeypatch):
    """The last block adds what the first one wrote, as models with connections across blocks do."""
    loaded = tiny_loaded(tmp_path)
    first, final, seen = loaded.layers[0], loaded.layers[-1], []
    run_final = final.forward
    first.register_forward_hook(lambda _block, _inputs, output: seen.append(output))
    final.forward = lambda hidden, *a, **k: run_final(hidden, *a, **k) + seen[-1]
    spec = effects_spec(loaded, make_direction(loaded.d_model), layer=1, first=10, targets=(22,))
    ids = torch.tensor([spec.text.token_ids])
    with torch.inference_mode():
        normed, kept = run_and_keep(loaded, ids, 1)
        assert not reproduces(loaded, kept, normed, (12,))
    want = without_suffixes(monkeypatch, loaded, spec)
    assert_equal(last(measure_effects(loaded, spec)), want)


def test_steps_grow_with_the_time_that_rows_take(tmp_path, make_direction):
    """A stop comes within a batch: the first is one row, and none is much longer than the time allowed."""
    loaded = tiny_loaded(tmp_path)
    spec = effects_spec(loaded, make_direction(loaded.d_model), layer=1, first=0, targets=(30,))
    shares = list(measure_effects(loaded, spec))[:-1]
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert shares[1] - shares[0] < shares[-1] - shares[-2]
    alone = replace(spec, first=30)
    assert last(measure_effects(loaded, alone)).steered[30] != 0
