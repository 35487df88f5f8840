"""A finished finetune becomes the project's adapter: rounded, recorded, licensed; anything else is refused."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from core.errors import BadInput
from core.fetching import shipped
from core.fetching.catalogue import SMOLLM2
from core.finetuning import samples
from core.finetuning.folder import RunFolder
from core.finetuning.recipes import NamedTraces, Written
from core.settings import PROJECT
from demo import ship_adapter
from demo.ship_adapter import ship, with_notice
from tests.finetuning.small import RECIPE, trained

NAME = "Llama-tiny"


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    samples.NEW_TOKENS = 2
    return Path(trained(tmp_path_factory.mktemp("run")).folder)


def recipe_file(run: Path, place: Path, **changes: object) -> Path:
    record = RunFolder(run).record()
    assert record is not None
    traces = NamedTraces(
        source="24 sums",
        count=24,
        digest=record.spec.traces_digest,
        licence="MIT",
        attribution="Built with Llama",
        notice="Llama is licensed.",
        name_begins="Llama",
    )
    written = Written(base=SMOLLM2.name, fingerprint=record.fingerprint, traces=traces, recipe=RECIPE)
    told = {**asdict(written), **changes}
    (file := place / "recipe.json").write_text(json.dumps(told))
    return file


def test_what_is_shipped(run: Path, tmp_path: Path, monkeypatch) -> None:
    recipe = recipe_file(run, tmp_path)
    place = ship(run, recipe, name=NAME, root=tmp_path)
    whole, rounded = (load_file(folder / "adapter_model.safetensors") for folder in (run, place))
    assert whole.keys() == rounded.keys()
    assert all(torch.equal(whole[name].to(torch.bfloat16), rounded[name]) for name in whole)
    monkeypatch.setattr(shipped, "PROJECT", tmp_path)
    (pair,) = shipped.shipped_pairs().values()
    assert (pair.reasoner, pair.source, pair.attribution) == (NAME, SMOLLM2, "Built with Llama")
    card, page = (place / "README.md").read_text(), (place / "report.html").read_text()
    for words in ("Built with Llama", "Apache-2.0", "24 sums", "MIT", "Llama is licensed.", "rank 2, alpha 4, 6 steps"):
        assert words in card
    assert "After step 6" in page
    record = json.loads((place / "record.json").read_text())
    assert len(record["course"]["losses"]) == 6
    assert record["traces"]["attribution"] == "Built with Llama"
    assert json.loads((place / "tokenizer.json").read_text()) == json.loads((run / "tokenizer.json").read_text())
    notice = (tmp_path / "NOTICE").read_text()
    assert f"\n\ndemo/adapters/{NAME}\nA LoRA adapter for SmolLM2-135M-Instruct (Apache-2.0" in notice
    assert "Built with Llama. Llama is licensed." in notice
    with pytest.raises(BadInput, match="is there already"):
        ship(run, recipe, name=NAME, root=tmp_path)


@pytest.mark.parametrize("kind", ["name", "recipe", "traces", "base", "unfinished", "nothing", "damaged", "large"])
def test_what_is_not_the_recipes_is_refused(run: Path, tmp_path: Path, monkeypatch, kind: str) -> None:
    mine, changes, name = tmp_path / "mine", {}, NAME
    shutil.copytree(run, mine)
    says = {"name": "begins with 'Llama'", "unfinished": "not finished", "nothing": "holds no finetune"}
    says |= {"damaged": "damaged", "large": "are shipped"}
    if kind == "name":
        name = ""
    elif kind == "recipe":
        changes = {"recipe": asdict(replace(RECIPE, rate=2e-2))}
    elif kind == "traces":
        changes = {"traces": {"source": "others", "count": 3, "digest": "0" * 20}}
    elif kind == "base":
        changes = {"fingerprint": "weights:" + "0" * 64}
    elif kind == "unfinished":
        (mine / "adapter_config.json").unlink()
    elif kind == "damaged":
        (mine / "adapter_model.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{}      ..")
    elif kind == "large":
        monkeypatch.setattr(ship_adapter, "MAX_WEIGHTS", 100)
    recipe = recipe_file(mine, tmp_path, **changes)
    if kind == "nothing":
        shutil.rmtree(mine)
    with pytest.raises(BadInput, match=says.get(kind, "not the recipe's")):
        ship(mine, recipe, name=name, root=tmp_path / "project")
    assert not (tmp_path / "project").exists()


def test_the_notice_keeps_other_blocks_and_replaces_its_own() -> None:
    before = with_notice("Retrace\nApache.\n", "demo/adapters/A\nold\n")
    before = with_notice(before, "demo/adapters/B\nother\n")
    assert with_notice(before, "demo/adapters/A\nnew\n") == (
        "Retrace\nApache.\n\ndemo/adapters/B\nother\n\ndemo/adapters/A\nnew\n"
    )


def test_the_committed_recipe_says_all_that_is_written_of_it() -> None:
    from core.finetuning.recipes import read_written

    written = read_written((PROJECT / "demo/recipes/smollm2-135m.json").read_bytes(), source="recipe")
    traces = written.traces
    assert (traces.attribution, traces.name_begins) == ("Built with Llama", "Llama")
    assert written.fingerprint.startswith("weights:")
    assert "Llama 3.1 Community License" in traces.licence
    assert "All Rights Reserved" in traces.notice


def test_what_the_project_ships_is_the_recipes() -> None:
    """Of every adapter that is there: its record is that of the recipe, and the notice names it."""
    for pair in shipped.shipped_pairs().values():
        folder = PROJECT / pair.adapter
        record = json.loads((folder / "record.json").read_text())
        recipe = json.loads((PROJECT / f"demo/recipes/{pair.source.name}.json").read_text())
        assert record["recipe"] == recipe["recipe"]
        assert record["base"]["fingerprint"] == recipe["fingerprint"]
        assert record["traces"]["digest"] == recipe["traces"]["digest"]
        assert pair.adapter in (PROJECT / "NOTICE").read_text()
        assert (folder / "adapter_model.safetensors").stat().st_size <= ship_adapter.MAX_WEIGHTS
