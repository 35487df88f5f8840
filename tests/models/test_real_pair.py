"""A model of 135 million parameters loads as base, as reasoner and with an adapter merged, in every precision."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from core.models.checkpoints import estimate_memory
from core.models.loaded import LoadedModel, encode_text, load_model, unload
from core.values import ModelSpec
from tests.real_model import real_folder
from tests.tiny_adapters import adapter_folder, factors, unmerged
from tests.tiny_models import allow_root

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared" / "real-pair" / "adapter.safetensors"
RANK, SCALE = 16, 2.0
MAPS = {"self_attn.q_proj": (576, 576), "self_attn.v_proj": (192, 576), "mlp.down_proj": (576, 1536)}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder() -> Path:
    torch.set_num_threads(1)
    return real_folder()


@pytest.fixture(scope="module")
def tensors() -> dict[str, torch.Tensor]:
    """A trained adapter in the names of PEFT, where it can be had; else a random one."""
    if SHARED.exists():
        names = {"a": "lora_A.weight", "b": "lora_B.weight"}
        return {f"{k[:-1]}{names[k[-1]]}": t for k, t in load_file(SHARED).items()}
    parts = itertools.product(range(0, 30, 5), MAPS.items())
    one_by_one = (
        factors(f"model.layers.{layer}.{name}", *sizes, r=RANK, seed=layer, size=0.02) for layer, (name, sizes) in parts
    )
    return {k: t for one in one_by_one for k, t in one.items()}


@pytest.fixture(scope="module")
def adapter(tensors: dict[str, torch.Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    allow_root(place := tmp_path_factory.mktemp("adapter"))
    return adapter_folder(place / "mine", tensors, r=RANK, alpha=RANK * SCALE)


@pytest.fixture(scope="module")
def exact(folder: Path, adapter: Path, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """(seq, d_vocab) logits in fp32 of the base model, of it with the adapter unmerged, and merged."""
    base = _load(folder)
    ids = _ids(base)
    found = {"base": _logits(base, ids)}
    with unmerged(base, tensors, SCALE):
        found["unmerged"] = _logits(base, ids)
    unload(base)
    merged = _load(folder, adapter)
    assert _ids(merged) == ids
    found["merged"] = _logits(merged, ids)
    unload(merged)
    return found


def _load(folder: Path, adapter: Path | None = None, **changes: Any) -> LoadedModel:
    loaded = load_model(ModelSpec(repo_id=str(folder), adapter=str(adapter) if adapter else None, **changes))
    torch.set_num_threads(1)
    return loaded


def _ids(loaded: LoadedModel) -> list[int]:
    text = "Okay, so I have this question here. Hmm, let me think about this step by step."
    return list(encode_text(loaded, "What is 3 + 4?", text).token_ids)


def _logits(loaded: LoadedModel, ids: list[int]) -> torch.Tensor:
    with torch.no_grad():
        return loaded.model(torch.tensor([ids])).logits[0].float()


def _differ(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    return float((ours - theirs).norm() / theirs.norm())


def test_the_merged_adapter_equals_the_unmerged(exact: dict[str, torch.Tensor]) -> None:
    assert _differ(exact["merged"], exact["unmerged"]) < 1e-5
    assert float((exact["merged"] - exact["unmerged"]).abs().max() / exact["unmerged"].abs().max()) < 1e-5
    assert _differ(exact["base"], exact["unmerged"]) > 0.02


@pytest.mark.parametrize(("precision", "near"), [("fp32", 1e-6), ("bf16", 0.05), ("int8", 0.2), ("nf4", 0.6)])
def test_base_reasoner_and_merged_in_every_precision(
    folder: Path, adapter: Path, exact: dict[str, torch.Tensor], precision: Any, near: float
) -> None:
    if precision in ("int8", "nf4"):
        pytest.importorskip("bitsandbytes", reason="bitsandbytes has no build for this platform")
    reasoner = _load(folder, adapter, precision=precision)
    ids = _ids(reasoner)
    base = load_model(ModelSpec(repo_id=str(folder), precision=precision), frame_from=reasoner)
    torch.set_num_threads(1)
    assert base.frame.source == "plain"
    assert reasoner.frame.prefix.endswith("user\n")
    assert (reasoner.n_layers, reasoner.d_model, reasoner.d_vocab) == (30, 576, 49152)
    found = {"base": _logits(base, ids), "merged": _logits(reasoner, ids)}
    for name, logits in found.items():
        assert logits.isfinite().all()
        assert _differ(logits, exact[name]) < near, name
    assert _differ(found["merged"], exact["merged"]) < _differ(found["merged"], exact["base"])
    estimate = estimate_memory(reasoner.spec)
    taken = sum(p.numel() * p.element_size() for p in reasoner.model.parameters())
    assert estimate.weights_bytes == pytest.approx(taken, rel=0.1)
    unload(base)
    unload(reasoner)


def test_it_loads_as_the_reasoner_by_itself(folder: Path) -> None:
    alone = _load(folder, precision="bf16")
    assert alone.frame.source == "template"
    assert alone.context_length == 8192
    unload(alone)
