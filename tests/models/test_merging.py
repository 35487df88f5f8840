"""A model loaded with an adapter computes what base and adapter compute unmerged, in every form that adapters have."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from core.errors import ModelUnavailable
from core.models.checkpoints import estimate_memory
from core.models.loaded import LoadedModel, load_model
from core.values import ModelSpec
from tests.tiny_adapters import adapter_folder, factors, unmerged
from tests.tiny_models import allow_root, save_tokenizer, tiny_folder

IDS = torch.tensor([[0, 5, 9, 30, 200, 7]])
Q, DOWN = "model.layers.1.self_attn.q_proj", "model.layers.0.mlp.down_proj"


def _logits(loaded: LoadedModel) -> torch.Tensor:
    with torch.no_grad():
        logits: torch.Tensor = loaded.model(IDS).logits
    return logits.float()


def _load(folder: Path, adapter: Path | None = None, **changes: Any) -> LoadedModel:
    return load_model(ModelSpec(repo_id=str(folder), adapter=str(adapter) if adapter else None, **changes))


def _differ(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    return float((ours - theirs).norm() / theirs.norm())


@pytest.fixture(autouse=True)
def _root(tmp_path: Path) -> None:
    allow_root(tmp_path)
    torch.set_num_threads(1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny_folder(tmp_path, d_model=64)


def test_merged_equals_unmerged(tmp_path: Path, folder: Path) -> None:
    tensors = factors(Q, 64, 64) | factors(DOWN, 64, 128, seed=2)
    base, merged = _load(folder), _load(folder, adapter_folder(tmp_path / "mine", tensors))
    with unmerged(base, tensors, 2.0):
        expected = _logits(base)
    assert _differ(_logits(merged), expected) < 1e-5
    assert _differ(_logits(base), expected) > 1e-2
    assert merged.name == f"{folder.name} + mine"


@pytest.mark.parametrize("precision", ["bf16", "int8", "nf4"])
def test_a_lower_precision_is_that_of_the_merged_weights(tmp_path: Path, folder: Path, precision: Any) -> None:
    if precision != "bf16":
        pytest.importorskip("bitsandbytes", reason="bitsandbytes has no build for this platform")
    adapter = adapter_folder(tmp_path / "mine", factors(Q, 64, 64) | factors(DOWN, 64, 128, seed=2))
    whole = tmp_path / "whole"
    _load(folder, adapter).model.save_pretrained(whole)
    save_tokenizer(whole, None, True)
    torch.testing.assert_close(
        _logits(_load(folder, adapter, precision=precision)), _logits(_load(whole, precision=precision)), rtol=0, atol=0
    )


def test_weights_of_half_precision_are_merged_in_float32(tmp_path: Path, folder: Path) -> None:
    file = folder / "model.safetensors"
    halved = {k: t.to(torch.bfloat16) for k, t in load_file(file).items()}
    save_file(halved, file, metadata={"format": "pt"})
    tensors = {k: t.to(torch.bfloat16) for k, t in factors(Q, 64, 64, size=0.01).items()}
    merged = _load(folder, adapter_folder(tmp_path / "mine", tensors)).model.get_submodule(Q).weight
    a, b = (tensors[f"{Q}.lora_{half}.weight"].float() for half in "AB")
    torch.testing.assert_close(merged, halved[f"{Q}.weight"].float() + 2 * b @ a, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("family", ["qwen2", "gemma", "gpt_neox"])
def test_other_families(tmp_path: Path, family: Any) -> None:
    folder = tiny_folder(tmp_path, family, d_model=64)
    module = "gpt_neox.layers.1.attention.query_key_value" if family == "gpt_neox" else Q
    tensors = factors(module, 192 if family == "gpt_neox" else 64, 64)
    base, merged = _load(folder), _load(folder, adapter_folder(tmp_path / "mine", tensors))
    with unmerged(base, tensors, 2.0):
        assert _differ(_logits(merged), _logits(base)) < 1e-5


def _state(folder: Path, adapter: Path) -> dict[str, torch.Tensor]:
    """The merged weights, whatever the app makes of the family."""
    from core.models.adapters import read_adapter
    from core.models.merging import load_merged

    config = transformers.AutoConfig.from_pretrained(folder)
    model, _ = load_merged(
        read_adapter(adapter, "mine"), folder, config=config, dtype=torch.float32, output_loading_info=True
    )
    return dict(model.state_dict())


def _saved(folder: Path, model_type: str, **sizes: Any) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(transformers.AutoConfig.for_model(model_type, **sizes))
    model.save_pretrained(folder)
    return {k: t.clone() for k, t in model.state_dict().items()}


@pytest.mark.parametrize("flag", [True, False])
def test_conv1d_of_gpt2_is_stored_turned_whatever_the_flag_says(tmp_path: Path, flag: bool) -> None:
    before = _saved(tmp_path / "gpt2", "gpt2", vocab_size=90, n_embd=32, n_layer=2, n_head=2, n_positions=32)
    module = "transformer.h.1.attn.c_attn"
    tensors = factors(module, 96, 32) | factors("transformer.h.0.attn.c_proj", 32, 32, seed=1)
    after = _state(tmp_path / "gpt2", adapter_folder(tmp_path / "mine", tensors, fan_in_fan_out=flag))
    for name in (module, "transformer.h.0.attn.c_proj"):
        a, b = (tensors[f"{name}.lora_{half}.weight"] for half in "AB")
        torch.testing.assert_close(after[f"{name}.weight"], before[f"{name}.weight"] + 2 * (b @ a).T)


def test_experts_by_their_names_in_the_files(tmp_path: Path) -> None:
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 2}
    sizes |= {"num_key_value_heads": 2, "num_local_experts": 3, "num_experts_per_tok": 2, "vocab_size": 90}
    before = _saved(tmp_path / "moe", "mixtral", **sizes)
    file = load_file(tmp_path / "moe" / "model.safetensors")
    module = next(k for k in sorted(file) if "experts.1.w1" in k).removesuffix(".weight")
    tensors = factors(module, 48, 32)
    after = _state(tmp_path / "moe", adapter_folder(tmp_path / "mine", tensors))
    changed = [k for k in before if not torch.equal(before[k], after[k])]
    assert len(changed) == 1
    difference = after[changed[0]] - before[changed[0]]
    a, b = (tensors[f"{module}.lora_{half}.weight"] for half in "AB")
    torch.testing.assert_close(difference[1, :48], 2 * b @ a, rtol=1e-4, atol=1e-5)
    assert not difference[0].any()
    assert not difference[1, 48:].any()


def _tied(folder: Path, tied: bool = True) -> Path:
    """The folder with embedding and unembedding as one tensor."""
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"tie_word_embeddings": tied}))
    file = folder / "model.safetensors"
    save_file({k: t for k, t in load_file(file).items() if k != "lm_head.weight"}, file, metadata={"format": "pt"})
    return folder


def test_an_embedding_changes_without_the_unembedding_that_was_tied_to_it(tmp_path: Path, folder: Path) -> None:
    base = _load(_tied(folder))
    embed = base.model.get_input_embeddings().weight
    random = torch.Generator().manual_seed(3)
    a, b = torch.randn(4, 352, generator=random) * 0.1, torch.randn(64, 4, generator=random) * 0.1
    name = "model.embed_tokens"
    tensors = {f"{name}.lora_embedding_A": a, f"{name}.lora_embedding_B": b, f"{name}.base_layer.weight": embed.clone()}
    adapter = adapter_folder(tmp_path / "mine", tensors)
    merged = _load(folder, adapter).model
    torch.testing.assert_close(merged.get_input_embeddings().weight, embed + 2 * (b @ a).T)
    torch.testing.assert_close(merged.get_output_embeddings().weight, embed, rtol=0, atol=0)
    plain, with_it = (estimate_memory(ModelSpec(repo_id=str(folder), adapter=one)) for one in (None, str(adapter)))
    assert with_it.weights_bytes - plain.weights_bytes == 4 * 352 * 64
    assert with_it.merging_bytes == 4 * 352 * 64


def test_an_unembedding_changes_without_the_embedding_that_was_tied_to_it(tmp_path: Path, folder: Path) -> None:
    base = _load(_tied(folder))
    tensors = factors("lm_head", 352, 64)
    merged = _load(folder, adapter_folder(tmp_path / "mine", tensors))
    with unmerged(base, tensors, 2.0):
        assert _differ(_logits(merged), _logits(base)) < 1e-5
    torch.testing.assert_close(
        merged.model.get_input_embeddings().weight, base.model.get_input_embeddings().weight, rtol=0, atol=0
    )


def test_replaced_modules_and_biases(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path, "qwen2", d_model=64)
    norm, head, bias = torch.rand(64), torch.randn(352, 64), torch.randn(64)
    tensors = factors(Q, 64, 64) | {"model.norm.weight": norm, "lm_head.weight": head, f"{Q}.base_layer.bias": bias}
    adapter = adapter_folder(tmp_path / "mine", tensors, modules_to_save=["norm", "lm_head"], bias="all")
    merged = _load(folder, adapter).model
    for found, right in (
        (merged.model.norm.weight, norm),
        (merged.lm_head.weight, head),
        (merged.get_submodule(Q).bias, bias),
    ):
        torch.testing.assert_close(found, right, rtol=0, atol=0)


def _refusal(folder: Path, adapter: Path) -> str:
    with pytest.raises(ModelUnavailable) as caught:
        _load(folder, adapter)
    return str(caught.value)


def test_what_does_not_fit_the_model_is_refused_by_name(tmp_path: Path, folder: Path) -> None:
    cases: list[tuple[str, dict[str, torch.Tensor], dict[str, Any], str]] = [
        ("absent", factors("model.layers.7.self_attn.q_proj", 64, 64), {}, "model.layers.7.self_attn.q_proj.weight"),
        ("wide", factors(Q, 64, 96), {}, "(64, 96), and the model's is (64, 64)"),
        ("grown", {"lm_head.weight": torch.zeros(360, 64)}, {"modules_to_save": ["lm_head"]}, "(360, 64)"),
        ("bias", factors(Q, 64, 64) | {f"{Q}.bias": torch.zeros(64)}, {"bias": "all"}, "q_proj.bias"),
        ("nan", factors(Q, 64, 64, size=float("nan")), {}, "no finite numbers"),
        ("inf", factors(Q, 64, 64, size=float("inf")), {}, "no finite numbers"),
        ("ints", {k: t.to(torch.int8) for k, t in factors(Q, 64, 64).items()}, {}, "no finite numbers"),
    ]
    for name, tensors, config, why in cases:
        found = _refusal(folder, adapter_folder(tmp_path / name, tensors, **config))
        assert why in found, (name, found)
        assert f"'{name}'" in found


def test_another_name_for_the_same_weight_is_not_merged_twice(tmp_path: Path, folder: Path) -> None:
    tensors = factors(Q, 64, 64) | factors(Q.removeprefix("model."), 64, 64, seed=1)
    assert "twice" in _refusal(folder, adapter_folder(tmp_path / "mine", tensors))


def test_names_of_the_decoder_alone_are_found(tmp_path: Path, folder: Path) -> None:
    tensors = factors(Q, 64, 64)
    short = {k.removeprefix("model."): t for k, t in tensors.items()}
    one, other = (_load(folder, adapter_folder(tmp_path / n, t)) for n, t in (("long", tensors), ("short", short)))
    torch.testing.assert_close(_logits(one), _logits(other), rtol=0, atol=0)


def test_the_adapters_own_tokenizer_and_template_are_read(tmp_path: Path, folder: Path) -> None:
    adapter = adapter_folder(tmp_path / "mine", factors(Q, 64, 64))
    save_tokenizer(adapter, "{% for m in messages %}Asked: {{ m['content'] }} Answer: {% endfor %}", False)
    frame = _load(folder, adapter).frame
    assert (frame.prefix, frame.suffix) == ("Asked: ", " Answer: <think>\n")
    (adapter / "tokenizer.json").unlink()
    assert "chat template without the tokenizer" in _refusal(folder, adapter)


def test_generation_settings_of_the_base_model_hold(tmp_path: Path, folder: Path) -> None:
    told = {"eos_token_id": [1, 5]}
    (folder / "generation_config.json").write_text(json.dumps(told))
    adapter = adapter_folder(tmp_path / "mine", factors(Q, 64, 64))
    assert _load(folder, adapter).eos_ids == _load(folder).eos_ids == {1, 5}


def test_shards_are_merged_alike(tmp_path: Path, folder: Path) -> None:
    adapter = adapter_folder(tmp_path / "mine", factors(Q, 64, 64) | factors(DOWN, 64, 128, seed=2))
    expected = _logits(_load(folder, adapter))
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(weights)
    for shard, part in (("a.safetensors", names[::2]), ("b.safetensors", names[1::2])):
        save_file({n: weights[n] for n in part}, folder / shard, metadata={"format": "pt"})
    index = {n: "a.safetensors" if n in names[::2] else "b.safetensors" for n in names}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    torch.testing.assert_close(_logits(_load(folder, adapter)), expected, rtol=0, atol=0)


def test_merging_must_fit_the_free_memory_too(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    adapter = adapter_folder(tmp_path / "mine", factors(DOWN, 64, 128))
    alone = estimate_memory(ModelSpec(repo_id=str(folder)))
    fits = alone.weights_bytes + 512 * alone.kv_bytes_per_token
    monkeypatch.setattr("core.models.loading.available_memory", lambda _: fits + 4 * 64 * 128 - 1)
    _load(folder)
    assert "needs about" in _refusal(folder, adapter)
    monkeypatch.setattr("core.models.loading.available_memory", lambda _: fits + 4 * 64 * 128)
    _load(folder, adapter)
