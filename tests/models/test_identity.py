"""What identifies a model: its content, wherever it lies; and what was kept under earlier names is still found."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import huggingface_hub as hub
import pytest

from core.disk import codec, digests
from core.disk.store import Store
from core.models.checkpoints import Checkpoint, find_checkpoint
from core.models.folders import former_fingerprint
from core.models.pair import ModelFacts
from core.runs.history import RunHistory, run_id_of
from core.runs.values import Generation, GenerationSpec, LaneKLSpec
from core.settings import MODEL_ROOTS, cache_folder
from core.values import ModelSpec
from core.weights import Place, formerly, hub_fingerprint
from tests import stored_values
from tests.tiny_adapters import adapter_folder, factors
from tests.tiny_models import tiny_folder

COMMIT, REPO = "c" * 40, "maker/tiny"
Q = "model.layers.1.self_attn.q_proj"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(MODEL_ROOTS, str(tmp_path))
    found = tiny_folder(tmp_path)
    (found / "tokenizer_config.json").write_text(json.dumps({"name_or_path": "here"}))
    (found / "additional_chat_templates").mkdir()
    (found / "additional_chat_templates" / "tools.jinja").write_text("{{ messages }}")
    return found


@pytest.fixture
def on_hub(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same files as the hub's cache keeps them: links to blobs, the large ones named by their sha256."""
    snapshot = tmp_path / "hub" / "models--maker--tiny" / "snapshots" / COMMIT
    blobs = snapshot.parent.parent / "blobs"
    blobs.mkdir(parents=True)
    for file in (f for f in folder.rglob("*") if f.is_file()):
        link = snapshot / file.relative_to(folder)
        link.parent.mkdir(parents=True, exist_ok=True)
        large = file.suffix == ".safetensors"
        name = (hashlib.sha256 if large else hashlib.sha1)(file.read_bytes()).hexdigest()
        shutil.copy(file, blobs / name)
        link.symlink_to(Path("../../blobs" if link.parent == snapshot else "../../../blobs") / name)
    monkeypatch.setattr(hub, "snapshot_download", lambda *_, **__: str(snapshot))
    return snapshot


def spec_of(model: ModelSpec) -> GenerationSpec:
    """What is asked of a model when it is loaded."""
    found = find_checkpoint(model)
    return stored_values.generation_spec(model=replace(model, revision=found.commit), fingerprint=found.fingerprint)


def key_of(model: ModelSpec) -> str:
    return codec.key_of("generation", spec_of(model))


def test_one_key_on_every_device_by_hub_id_and_by_folder(folder: Path, on_hub: Path, tmp_path: Path) -> None:
    copy = tmp_path / "another name"
    shutil.copytree(folder, copy)
    (copy / "README.md").write_text("no part of the model")
    places = [ModelSpec(repo_id=str(folder)), ModelSpec(repo_id=str(copy)), ModelSpec(repo_id=REPO, revision=COMMIT)]
    keys = {key_of(replace(spec, device=device)) for spec in places for device in ("cpu", "cuda", "cuda:1")}
    assert len(keys) == 1


def _flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)


def _set(file: Path, **values: object) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


CHANGES: dict[str, Callable[[Path], object]] = {
    "a weight byte": lambda f: _flip(f / "model.safetensors"),
    "the tokenizer": lambda f: _set(f / "tokenizer.json", padding={"strategy": "BatchLongest"}),
    "the tokenizer's settings": lambda f: _set(f / "tokenizer_config.json", add_bos_token=True),
    "the settings": lambda f: _set(f / "config.json", rope_theta=5.0),
    "a template": lambda f: (f / "chat_template.jinja").write_text("{{ bos_token }}"),
    "another template": lambda f: (f / "additional_chat_templates" / "tools.jinja").write_text("{{ bos_token }}"),
    "what ends a text": lambda f: (f / "generation_config.json").write_text('{"eos_token_id": [1, 2]}'),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_changes_results_changes_the_key(folder: Path, name: str) -> None:
    spec = ModelSpec(repo_id=str(folder))
    before = key_of(spec)
    CHANGES[name](folder)
    assert key_of(spec) != before


@pytest.mark.parametrize("precision", ["bf16", "int8", "nf4"])
def test_another_precision_is_another_key(folder: Path, precision: str) -> None:
    spec = ModelSpec(repo_id=str(folder))
    assert key_of(replace(spec, precision=precision)) != key_of(spec)  # type: ignore[arg-type]


def test_an_adapter_is_another_key_and_its_bytes_too(folder: Path, tmp_path: Path) -> None:
    keys = {key_of(ModelSpec(repo_id=str(folder)))}
    spec = ModelSpec(repo_id=str(folder), adapter=str(tmp_path / "mine"))
    for seed in (1, 2):
        adapter_folder(tmp_path / "mine", factors(Q, 32, 32, seed=seed))
        keys.add(key_of(spec))
    assert len(keys) == 3
    shutil.copytree(tmp_path / "mine", tmp_path / "copy")
    _set(tmp_path / "copy" / "adapter_config.json", base_model_name_or_path="elsewhere", peft_version="9")
    assert key_of(replace(spec, adapter=str(tmp_path / "copy"))) in keys


def test_places_and_versions_do_not_count(folder: Path) -> None:
    spec = ModelSpec(repo_id=str(folder))
    before = key_of(spec)
    _set(folder / "config.json", _name_or_path="elsewhere", transformers_version="9.9")
    _set(folder / "tokenizer_config.json", name_or_path="elsewhere")
    (folder / "model.safetensors").rename(folder / "model-00001-of-00001.safetensors")
    index = {"weight_map": {"any": "model-00001-of-00001.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert key_of(spec) == before


def test_a_file_is_read_once_until_it_is_changed_under_its_times(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = folder / "model.safetensors"
    before = key_of(ModelSpec(repo_id=str(folder)))
    time.sleep(2 * digests.SETTLED_SECONDS)
    assert key_of(ModelSpec(repo_id=str(folder))) == before
    digests._known.clear()
    read: list[str] = []
    true = hashlib.file_digest
    monkeypatch.setattr(digests.hashlib, "file_digest", lambda f, name: (read.append(f.name), true(f, name))[1])
    assert key_of(ModelSpec(repo_id=str(folder))) == before
    assert read == [], "the cache folder remembers it"
    status = file.stat()
    _flip(file)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert key_of(ModelSpec(repo_id=str(folder))) != before


@pytest.mark.parametrize("text", ["", "[]", '{"a": 3}', '{"a": [[1], "x"]}', '{"a": [[1,2,3,4,5], "zz"]}', "[" * 9999])
def test_a_damaged_memory_of_digests_is_none(folder: Path, text: str) -> None:
    before = key_of(ModelSpec(repo_id=str(folder)))
    (cache_folder() / digests.MEMORY).write_text(text)
    digests._known.clear()
    assert key_of(ModelSpec(repo_id=str(folder))) == before


# --- results of before


def known(found: Checkpoint, asked: ModelSpec) -> ModelFacts:
    """What is known of the model once it is loaded."""
    return ModelFacts(
        spec=asked,
        fingerprint=found.fingerprint,
        name=asked.name,
        n_layers=1,
        d_model=1,
        d_vocab=1,
        context_length=1,
        former=Place(model=asked, fingerprint=found.former),
    )


def _kept_before(root: Path, asked: ModelSpec, former: str) -> Generation:
    """A generation as it was kept when keys named the model's place and device."""
    value = stored_values.generation()
    value = replace(value, spec=replace(value.spec, model=asked, fingerprint=former))
    assert Store(root).put("generation", value.spec, value)
    return value


@pytest.mark.parametrize("measured_on", ["cpu", "cuda"])
def test_results_of_before_are_found_by_their_old_key(folder: Path, tmp_path: Path, measured_on: str) -> None:
    asked = ModelSpec(repo_id=str(folder))
    found = find_checkpoint(asked)
    assert found.former == former_fingerprint(folder)
    value = _kept_before(tmp_path / "cache", replace(asked, device=measured_on), found.former)
    store = Store(tmp_path / "cache", former=lambda: formerly([known(found, asked)]))
    now = spec_of(asked)
    assert store.get(Generation, "generation", now) == value
    assert store.get(Generation, "generation", replace(now, fingerprint="weights:" + "0" * 64)) is None
    nested = LaneKLSpec(lane=now, reference=now, token_ids=(1,))
    was = replace(nested, lane=value.spec, reference=value.spec)
    assert codec.key_of("lane_kl", was) in set(store.keys_of("lane_kl", nested))
    store.delete("generation", now)
    assert store.get(Generation, "generation", value.spec) is None


def test_a_run_that_was_kept_before_is_found(folder: Path, tmp_path: Path) -> None:
    asked = ModelSpec(repo_id=str(folder))
    found = find_checkpoint(asked)
    store = Store(tmp_path / "cache", former=lambda: formerly([known(found, asked)]))
    history = RunHistory(tmp_path / "cache", store)
    value = stored_values.generation()
    value = replace(value, spec=replace(value.spec, model=asked, fingerprint=found.former))
    history.keep(value)
    record = history.kept(spec_of(asked))
    assert record is not None
    assert record.generation == value
    assert run_id_of(spec_of(asked)) != run_id_of(value.spec)


def test_a_hub_model_of_before_was_named_by_its_commit(on_hub: Path) -> None:
    asked = ModelSpec(repo_id=REPO, revision=COMMIT)
    assert find_checkpoint(asked).former == hub_fingerprint(asked, COMMIT)
