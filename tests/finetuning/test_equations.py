"""What an adapter means: merged as unmerged, at first nothing, gradients as differences, loss on reasoning alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM

from core.finetuning.factors import linear_maps, new_factors
from core.finetuning.rows import Row
from core.finetuning.training import Trainer, batch_loss
from core.finetuning.values import Recipe
from core.models.loaded import LoadedModel, encode_prompt, encode_text, load_model
from core.values import ModelSpec
from tests.finetuning.small import RECIPE, made_up, trained
from tests.tiny_adapters import PREFIX, unmerged
from tests.tiny_models import Family, allow_root, tiny_loaded

IDS = torch.tensor([[5, 9, 20, 33, 41, 17, 8, 60, 22, 31]])


def _logits(loaded: LoadedModel) -> torch.Tensor:
    with torch.inference_mode():
        return loaded.model(IDS).logits


def _tensors(folder: Path) -> dict[str, torch.Tensor]:
    with safe_open(folder / "adapter_model.safetensors", framework="pt") as file:
        return {key.removeprefix(PREFIX): file.get_tensor(key) for key in file.keys()}  # noqa: SIM118


@pytest.mark.parametrize("family", ["llama", "qwen3", "gemma2", "gpt_neox"])
def test_the_merged_adapter_computes_what_was_trained(tmp_path: Path, family: Family) -> None:
    done = trained(tmp_path, family)
    pair = done.pair
    base, merged = load_model(pair.base), load_model(pair.reasoner)
    with unmerged(base, _tensors(Path(done.folder)), RECIPE.scale):
        expected = _logits(base)
    found = _logits(merged)
    assert (found - expected).abs().max() < 1e-5 * max(1.0, float(expected.abs().max()))
    assert (found - _logits(base)).abs().max() > 1e-3


def test_it_is_learned_from_the_first_step_to_the_last(tmp_path: Path) -> None:
    done = trained(tmp_path, recipe=replace(RECIPE, steps=30, every=30))
    assert len(done.course.losses) == done.course.step == 30
    assert sum(done.course.losses[-5:]) < 0.9 * sum(done.course.losses[:5])
    (first, before), (last, after) = done.course.held_out
    assert (first, last) == (0, 30)
    assert after < 0.9 * before
    assert done.course.n_held_out == 2


def test_the_checkpoint_of_no_step_is_the_base_model_to_the_bit(tmp_path: Path) -> None:
    done = trained(tmp_path)
    base = load_model(done.pair.base)
    start = load_model(replace(done.pair.base, adapter=str(Path(done.folder) / "checkpoints" / "step-000000")))
    assert torch.equal(_logits(base), _logits(start))
    ours, theirs = base.model.state_dict(), start.model.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    steps = sorted(p.name for p in (Path(done.folder) / "checkpoints").iterdir())
    assert steps == ["step-000000", "step-000002", "step-000004", "step-000006"]
    last = Path(done.folder) / "checkpoints" / "step-000006" / "adapter_model.safetensors"
    assert last.read_bytes() == (Path(done.folder) / "adapter_model.safetensors").read_bytes()


@pytest.mark.parametrize("family", ["llama", "gpt_neox"])
def test_gradients_of_the_factors_are_finite_differences(tmp_path: Path, family: Family) -> None:
    loaded = tiny_loaded(tmp_path, family)
    loaded.model.double()
    factors = new_factors(loaded, RECIPE)
    factors = replace(factors, a=_doubled(factors.a, 1), b=_doubled(factors.b, 2))
    rows = [
        Row(question="q", token_ids=tuple(IDS[0].tolist()), learned_from=4),
        Row(question="p", token_ids=(3, 7, 9, 11, 40), learned_from=2),
    ]
    with factors.added():
        torch.autograd.backward(batch_loss(loaded, rows))

    def loss() -> float:
        with factors.added(), torch.no_grad():
            return float(batch_loss(loaded, rows))

    for factor in (factors.a[0], factors.b[0], factors.a[-1], factors.b[-1]):
        assert factor.grad is not None
        slope = float(factor.grad.norm())
        push = 1e-2 * factor.grad / slope
        with torch.no_grad():
            factor += push
            above = loss()
            factor -= 2 * push
            below = loss()
            factor += push
        assert slope == pytest.approx((above - below) / 2e-2, rel=5e-3, abs=2e-3)


def _doubled(factors: tuple[torch.Tensor, ...], seed: int) -> tuple[torch.Tensor, ...]:
    random = torch.Generator().manual_seed(seed)
    return tuple((0.1 * torch.randn(f.shape, generator=random)).double().requires_grad_() for f in factors)


@pytest.mark.parametrize("family", ["llama", "qwen3", "gemma2", "gpt_neox"])
def test_the_loss_is_that_of_the_reasoning_alone(tmp_path: Path, family: Family) -> None:
    loaded = tiny_loaded(tmp_path, family)
    short, long = (encode_text(loaded, t.prompt, t.text) for t in (made_up()[3], made_up()[5]))
    rows = [Row(question="", token_ids=r.token_ids, learned_from=r.text_start) for r in (short, long)]
    with torch.no_grad():
        found = batch_loss(loaded, rows)
        expected = 0.0
        for row in rows:
            log_p = loaded.model(torch.tensor([row.token_ids])).logits[0].log_softmax(-1)
            for i in range(row.learned_from, len(row.token_ids)):
                expected -= float(log_p[i - 1, row.token_ids[i]])
    assert float(found) == pytest.approx(expected, rel=1e-5)
    assert rows[0].learned_from == len(encode_prompt(loaded, made_up()[3].prompt).token_ids)


def test_a_batch_in_parts_has_the_gradient_of_the_whole(tmp_path: Path) -> None:
    loaded = tiny_loaded(tmp_path)
    rows = [Row(question=str(n), token_ids=tuple(range(5, 5 + n)), learned_from=3) for n in (6, 9, 14, 20)]
    gradients = []
    for at_once in (10_000, 20):
        factors = new_factors(loaded, RECIPE)
        with torch.no_grad():
            for b in factors.b:
                b += 0.01
        trainer = Trainer(loaded, factors, replace(RECIPE, warmup=0, rate=1e-8))
        trainer._at_once = at_once
        work = trainer.learn(rows, 0)
        n_parts, seen = 0, None
        while True:
            try:
                next(work)
                n_parts, seen = n_parts + 1, [f.grad.clone() for f in factors.all if f.grad is not None]
            except StopIteration:
                break
        gradients.append(seen)
        assert n_parts == (1 if at_once == 10_000 else 3)
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(*gradients, strict=True))


def test_named_targets_alone_are_changed(tmp_path: Path) -> None:
    done = trained(tmp_path, recipe=replace(RECIPE, targets=("q_proj", "mlp.down_proj")))
    maps = {key.rpartition(".lora_")[0] for key in _tensors(Path(done.folder))}
    assert {name.rpartition(".")[2] for name in maps} == {"q_proj", "down_proj"}
    assert len(maps) == 6
    load_model(done.pair.reasoner)


def test_peft_key_names_are_those_of_transformers(tmp_path: Path) -> None:
    """Every key names a parameter of the model as transformers builds it, with PEFT's prefix."""
    done = trained(tmp_path)
    model = AutoModelForCausalLM.from_pretrained(done.spec.base.repo_id)
    weights = dict(model.named_parameters())
    for key, tensor in _tensors(Path(done.folder)).items():
        module, _, half = key.partition(".lora_")
        n_out, n_in = weights[f"{module}.weight"].shape
        assert tuple(tensor.shape) == ((2, n_in) if half[0] == "A" else (n_out, 2))


def test_all_linear_maps_of_the_blocks_and_no_others(tmp_path: Path) -> None:
    loaded = tiny_loaded(tmp_path)
    names = linear_maps(loaded, ())
    assert len(names) == 3 * 7
    assert not any("lm_head" in name for name in names)


def test_bf16_is_trained_in_bf16_with_factors_in_fp32(tmp_path: Path) -> None:
    allow_root(tmp_path)
    loaded = tiny_loaded(tmp_path, precision="bf16")
    factors = new_factors(loaded, Recipe(rank=2))
    trainer = Trainer(loaded, factors, Recipe(rank=2, warmup=0))
    before = [f.detach().clone() for f in factors.b]
    for _ in trainer.learn([Row(question="", token_ids=(5, 9, 20, 33, 41), learned_from=2)], 0):
        pass
    assert all(f.dtype == torch.float32 for f in factors.all)
    assert any(not torch.equal(a, b) for a, b in zip(before, factors.b, strict=True))


def test_the_rate_rises_and_falls_as_a_cosine() -> None:
    recipe = Recipe(steps=100, warmup=10, rate=1.0)
    assert [recipe.rate_at(i) for i in (0, 4, 9)] == pytest.approx([0.1, 0.5, 1.0])
    assert recipe.rate_at(10) == pytest.approx(1.0)
    assert recipe.rate_at(55) == pytest.approx(0.5)
    assert 0 < recipe.rate_at(99) < 0.001


def test_the_base_of_a_pair_is_read_without_the_adapter(tmp_path: Path) -> None:
    done = trained(tmp_path)
    assert done.pair.base == ModelSpec(repo_id=done.spec.base.repo_id)
    assert done.pair.reasoner.adapter == done.folder
