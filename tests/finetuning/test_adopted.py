"""An adapter of factors by module becomes a pair: W + 2 · b · a, on the model that it was made for and no other."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from core.errors import UserFacingError
from core.finetuning.adopted import adopt
from core.finetuning.folder import FinetuneFolder, RunFolder
from core.finetuning.values import FinetuneSpec
from core.models.loaded import load_model
from core.values import ModelSpec
from tests.finetuning.small import spec_of
from tests.tiny_models import tiny_folder

MODULES = {"model.layers.0.self_attn.q_proj": (32, 32), "model.layers.2.mlp.down_proj": (32, 64)}


def _file(tmp_path: Path, *, rank: int = 3, drop: str = "", dtype: torch.dtype = torch.bfloat16) -> Path:
    random = torch.Generator().manual_seed(0)
    tensors = {}
    for module, (n_out, n_in) in MODULES.items():
        tensors[f"{module}.a"] = torch.randn(rank, n_in, generator=random).to(dtype)
        tensors[f"{module}.b"] = torch.randn(n_out, rank, generator=random).to(dtype)
    tensors.pop(drop, None)
    save_file(tensors, tmp_path / "adapter.safetensors")
    return tmp_path / "adapter.safetensors"


def _spec(tmp_path: Path) -> FinetuneSpec:
    return spec_of(tiny_folder(tmp_path))


def test_twice_the_product_is_added(tmp_path: Path) -> None:
    file, spec = _file(tmp_path), _spec(tmp_path)
    folder = FinetuneFolder(tmp_path / "cache")
    made = adopt(file, spec, folder.place("reasoner"))
    assert made.finished
    assert [one.folder for one in folder.list()] == [made.folder]
    base, reasoner = load_model(made.pair.base), load_model(made.pair.reasoner)
    from safetensors.torch import load_file

    given = load_file(file)
    for name, weight in base.model.state_dict().items():
        module = name.removesuffix(".weight")
        change = 2 * given[f"{module}.b"].float() @ given[f"{module}.a"].float() if module in MODULES else 0
        assert torch.allclose(reasoner.model.state_dict()[name], weight + change, atol=1e-5)
    assert reasoner.frame.suffix.endswith("<|im_start|>assistant\n<think>\n")


@pytest.mark.parametrize("kind", ["other base", "half", "text", "peft", "not finite", "missing", "there"])
def test_what_is_not_for_this_model(tmp_path: Path, kind: str) -> None:
    file, spec, place = _file(tmp_path), _spec(tmp_path), RunFolder(tmp_path / "out")
    if kind == "other base":
        spec = FinetuneSpec(
            name="x", base=ModelSpec(repo_id=str(tiny_folder(tmp_path, d_model=64))), traces="", traces_digest=""
        )
    elif kind == "half":
        file = _file(tmp_path, drop="model.layers.0.self_attn.q_proj.b")
    elif kind == "text":
        file.write_text("hello")
    elif kind == "peft":
        save_file({"base_model.model.x.lora_A.weight": torch.zeros(2, 2)}, file)
    elif kind == "not finite":
        save_file({"model.x.a": torch.full((2, 2), float("nan")), "model.x.b": torch.zeros(2, 2)}, file)
    elif kind == "missing":
        file = tmp_path / "nowhere.safetensors"
    else:
        place.path.mkdir()
    with pytest.raises(UserFacingError):
        adopt(file, spec, place)
    assert not place.path.exists() or not list(place.path.iterdir())
