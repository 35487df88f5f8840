"""What an adapter's config and header say: ranks, scales and replaced tensors as PEFT has them, or a refusal."""

from __future__ import annotations

import math
import time
from typing import Any

import pytest

from core.errors import ModelUnavailable
from core.lora.changes import changes_of

Q, V = "model.layers.0.self_attn.q_proj", "model.layers.1.self_attn.v_proj"
CONFIG: dict[str, Any] = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "bias": "none", "target_modules": ["q_proj"]}


def _factors(module: str, *, r: int = 4, n_out: int = 6, n_in: int = 5) -> dict[str, tuple[int, ...]]:
    prefix = f"base_model.model.{module}"
    return {f"{prefix}.lora_A.weight": (r, n_in), f"{prefix}.lora_B.weight": (n_out, r)}


def _changes(header: dict[str, tuple[int, ...]], **config: Any) -> Any:
    return changes_of("mine", CONFIG | config, header)


def test_a_product_has_the_shape_of_its_map_and_the_scale_of_the_config() -> None:
    change = _changes(_factors(Q))[f"{Q}.weight"]
    assert (change.shape, change.scale) == ((6, 5), 2.0)
    assert _changes(_factors(Q), use_rslora=True)[f"{Q}.weight"].scale == pytest.approx(8 / math.sqrt(4))


def test_keys_with_an_adapter_name_and_without_a_prefix_are_the_same() -> None:
    plain = {k.removeprefix("base_model.model."): shape for k, shape in _factors(Q).items()}
    named = {k.replace(".weight", ".default.weight"): shape for k, shape in _factors(Q).items()}
    for header in (plain, named):
        assert _changes(header)[f"{Q}.weight"].shape == (6, 5)


@pytest.mark.parametrize(
    ("pattern", "fits"),
    [
        ("q_proj", Q),
        ("self_attn.q_proj", Q),
        (Q, Q),
        ("v_proj", V),
        (r"model.layers.\d+.self_attn.q_proj", Q),
        (r".*\.0\.self_attn\.q_proj$", Q),
        (".*q_proj", Q),
        (r"layers\.\d+\.self_attn\.v_proj", V),
        ("^model.layers.1.self_attn.v_proj", V),
        ("proj", None),
        ("layers.0", None),
    ],
)
def test_patterns_give_a_module_its_own_rank_and_alpha(pattern: str, fits: str | None) -> None:
    ranks = {module: 2 if module == fits else 4 for module in (Q, V)}
    header = _factors(Q, r=ranks[Q]) | _factors(V, r=ranks[V])
    found = _changes(header, rank_pattern={pattern: 2}, alpha_pattern={pattern: 16})
    assert {m: found[f"{m}.weight"].scale for m in (Q, V)} == {m: 8.0 if m == fits else 2.0 for m in (Q, V)}


def test_the_first_pattern_that_fits_counts() -> None:
    found = _changes(_factors(Q), alpha_pattern={r".*q_proj": 4, "q_proj": 400, Q: 40})
    assert found[f"{Q}.weight"].scale == 1.0


def test_replaced_tensors_and_biases_are_those_that_the_config_names() -> None:
    header = _factors(Q) | {
        "base_model.model.lm_head.weight": (9, 5),
        "base_model.model.model.norm.modules_to_save.default.weight": (5,),
        f"base_model.model.{Q}.base_layer.bias": (6,),
        "base_model.model.model.embed_tokens.base_layer.weight": (9, 5),
    }
    found = _changes(header, modules_to_save=["lm_head", "norm"], bias="all")
    assert {k: c.own for k, c in found.items() if c.whole} == {
        "lm_head.weight": True,
        "model.norm.weight": True,
        f"{Q}.bias": False,
        "model.embed_tokens.weight": False,
    }


def test_factors_of_an_embedding_lie_the_other_way_round() -> None:
    prefix = "base_model.model.model.embed_tokens"
    change = _changes({f"{prefix}.lora_embedding_A": (4, 90), f"{prefix}.lora_embedding_B": (5, 4)})
    assert change["model.embed_tokens.weight"].shape == (90, 5)
    assert change["model.embed_tokens.weight"].embedding


A, B = (f"base_model.model.{Q}.lora_{half}.weight" for half in "AB")


@pytest.mark.parametrize(
    ("config", "more", "why"),
    [
        ({"peft_type": "IA3"}, {}, "kind 'IA3'"),
        ({"peft_type": "PROMPT_TUNING"}, {}, "PROMPT_TUNING"),
        ({"peft_type": None}, {}, "only LORA"),
        ({"use_dora": True}, {}, "use_dora"),
        ({"lora_bias": True}, {}, "lora_bias"),
        ({"layer_replication": [[0, 2], [1, 3]]}, {}, "layer_replication"),
        ({"target_parameters": ["experts.gate_up_proj"]}, {}, "target_parameters"),
        ({"trainable_token_indices": [5]}, {}, "trainable_token_indices"),
        ({"an_option_of_next_year": 3}, {}, "an_option_of_next_year"),
        ({"init_lora_weights": "pissa_niter_4"}, {}, "pissa_niter_4"),
        ({"init_lora_weights": "loftq"}, {}, "loftq"),
        ({"bias": "some"}, {}, "'some'"),
        ({"r": 8}, {}, "says rank 8"),
        ({"r": 0}, {}, "r = 0"),
        ({"r": True}, {}, "r = True"),
        ({"lora_alpha": None}, {}, "lora_alpha = None"),
        ({"lora_alpha": float("nan")}, {}, "lora_alpha = nan"),
        ({"rank_pattern": ["q_proj"]}, {}, "rank_pattern"),
        ({"rank_pattern": {"q_proj": 2.5}}, {}, "rank 2.5"),
        ({"alpha_pattern": {"(a+)+$": 2}}, {}, r"pattern .* in alpha_pattern"),
        ({"alpha_pattern": {"(q_proj|v_proj)": 2}}, {}, r"pattern .* in alpha_pattern"),
        ({}, {f"{'a' * 300}.lora_A.weight": (4, 5)}, "aaaa"),
        ({"modules_to_save": ["score"]}, {}, "'score'"),
        ({"modules_to_save": "lm_head"}, {}, "modules_to_save"),
        ({}, {f"base_model.model.{Q}.lora_magnitude_vector": (6,)}, "lora_magnitude_vector"),
        ({}, {f"base_model.model.{Q}.lora_B.bias": (6,)}, "lora_B.bias"),
        ({}, {f"base_model.model.{V}.lora_A.weight": (4, 5)}, "only one of the two factors"),
        ({}, {"base_model.model.model.norm.weight": (5,)}, "model.norm.weight"),
        ({}, {f"base_model.model.{Q}.bias": (6,)}, "q_proj.bias"),
        ({}, {f"base_model.model.{Q}.lora_A.default.weight": (4, 5)}, "one factor twice"),
        ({}, {"layers.0.attention.wq.lora_a": (4, 5)}, "lora_a"),
        ({}, {"prompt_embeddings": (8, 5)}, "prompt_embeddings"),
        ({"modules_to_save": ["q_proj"]}, {f"base_model.model.{Q}.weight": (6, 5)}, "two ways"),
        ({}, {B: (6, 3)}, r"B is \(6, 3\)"),
        ({}, {A: (4, 5, 1, 1)}, r"A is \(4, 5, 1, 1\)"),
    ],
)
def test_what_is_not_merged_rightly_is_refused_by_name(
    config: dict[str, Any], more: dict[str, tuple[int, ...]], why: str
) -> None:
    with pytest.raises(ModelUnavailable, match=why):
        _changes(_factors(Q) | more, **config)


def test_an_adapter_without_tensors_is_refused() -> None:
    with pytest.raises(ModelUnavailable, match="0 tensors"):
        _changes({})


def test_foreign_patterns_and_names_take_no_time() -> None:
    header = {k: s for i in range(2000) for k, s in _factors(f"model.layers.{i}.{'a.' * 40}q").items()}
    begun = time.process_time()
    for wild in (r".*a.a.a", r"\d+a\d+.", "a" * 200, ".*" * 20, r"\d+" * 30):
        try:
            _changes(header, alpha_pattern={f"^{wild}{i}": 4 for i in range(60)} | {f".*{wild}": 4})
        except ModelUnavailable:
            continue
    assert time.process_time() - begun < 20
