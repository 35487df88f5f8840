"""Finding an adapter: folders under the roots, hub ids at one commit, and what is no adapter or more than one thing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub as hub
import pytest
from huggingface_hub import errors
from safetensors import safe_open

from core.errors import ModelUnavailable
from core.models.checkpoints import estimate_memory, find_checkpoint
from core.settings import MODEL_ROOTS
from core.values import ModelSpec, canonical
from core.weights import adapter_commit_of, commit_of
from tests.tiny_adapters import adapter_folder, factors
from tests.tiny_models import tiny_folder

COMMITS = {"maker/base": "0" * 40, "maker/mine": "a" * 40}
Q = "model.layers.1.self_attn.q_proj"


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelSpec:
    """A base model and an adapter of it, in folders."""
    monkeypatch.setenv(MODEL_ROOTS, str(tmp_path))
    folder = tiny_folder(tmp_path, name="base")
    mine = adapter_folder(tmp_path / "mine", factors(Q, 32, 32))
    return ModelSpec(repo_id=str(folder), adapter=str(mine))


def _refusal(spec: ModelSpec, check: Callable[[ModelSpec], object] = find_checkpoint) -> str:
    with pytest.raises(ModelUnavailable) as caught:
        check(spec)
    return str(caught.value)


# --- values


def test_a_model_without_an_adapter_keeps_its_key() -> None:
    assert canonical(ModelSpec(repo_id="maker/base")) == {
        "repo_id": "maker/base",
        "revision": None,
        "precision": "fp32",
        "device": "cpu",
    }
    assert canonical(ModelSpec(repo_id="maker/base")) != canonical(ModelSpec(repo_id="maker/base", adapter="a/b"))


def test_the_name_is_base_plus_adapter() -> None:
    assert ModelSpec(repo_id="maker/base", adapter="/models/mine/").name == "base + mine"


def test_commits_are_told_apart() -> None:
    both = ModelSpec(repo_id="maker/base", adapter="maker/mine")
    hub_hub = f"maker/base@{'0' * 40}+maker/mine@{'a' * 40}"
    assert (commit_of(both, hub_hub), adapter_commit_of(both, hub_hub)) == ("0" * 40, "a" * 40)
    folder = replace(both, adapter="mine")
    assert adapter_commit_of(folder, f"maker/base@{'0' * 40}+{'d' * 64}") is None
    assert commit_of(folder, f"maker/base@{'0' * 40}+{'d' * 64}") == "0" * 40
    assert commit_of(replace(both, repo_id="base"), f"{'d' * 64}+maker/mine@{'a' * 40}") is None


# --- folders


def test_the_fingerprint_is_of_both_and_changes_with_each(spec: ModelSpec, tmp_path: Path) -> None:
    alone = find_checkpoint(replace(spec, adapter=None)).fingerprint
    seen = {found := find_checkpoint(spec).fingerprint}
    assert found.startswith(f"{alone}+")
    config = tmp_path / "mine" / "adapter_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"lora_alpha": 16}))
    seen.add(find_checkpoint(spec).fingerprint)
    adapter_folder(tmp_path / "mine", factors(Q, 32, 32, seed=5), alpha=16)
    seen.add(find_checkpoint(spec).fingerprint)
    (tmp_path / "base" / "tokenizer_config.json").write_text("{}")
    seen.add(find_checkpoint(spec).fingerprint)
    assert len(seen) == 4


def test_an_adapter_outside_the_roots_is_refused(spec: ModelSpec, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv(MODEL_ROOTS, str(tmp_path / "base"))
    assert MODEL_ROOTS in _refusal(spec)
    (tmp_path / "base" / "link").symlink_to(tmp_path / "mine")
    assert MODEL_ROOTS in _refusal(replace(spec, adapter=str(tmp_path / "base" / "link")))
    assert MODEL_ROOTS in _refusal(replace(spec, adapter=f"{tmp_path}/base/../mine"), estimate_memory)


@pytest.mark.parametrize("text", ["", " ", "../..", "/nowhere", "a\0b", "a/b/c", "<img>", "\ud800"])
def test_no_text_is_taken_for_an_adapter(spec: ModelSpec, text: str) -> None:
    _refusal(replace(spec, adapter=text))


def test_an_adapter_in_a_models_place_says_whose_it_is(spec: ModelSpec, tmp_path: Path) -> None:
    for check in (find_checkpoint, estimate_memory):
        found = _refusal(ModelSpec(repo_id=str(tmp_path / "mine")), check)
        assert "'mine' is an adapter of maker/base" in found
        assert "Give maker/base as the model and 'mine' as its adapter" in found
    shutil.copy(tmp_path / "base" / "config.json", tmp_path / "mine")
    shutil.copy(tmp_path / "base" / "tokenizer.json", tmp_path / "mine")
    assert "'mine' is an adapter" in _refusal(ModelSpec(repo_id=str(tmp_path / "mine")))


@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"])
def test_an_adapter_beside_weights_is_not_passed_over(spec: ModelSpec, tmp_path: Path, name: str) -> None:
    base = tmp_path / "base"
    (base / name).write_bytes(b"{}")
    for asked in (replace(spec, adapter=None), spec):
        for check in (find_checkpoint, estimate_memory):
            assert f"an adapter beside them ({name})" in _refusal(asked, check)


def test_an_adapter_beside_weights_is_merged_where_it_is_named(spec: ModelSpec, tmp_path: Path) -> None:
    base = tmp_path / "base"
    for file in (tmp_path / "mine").iterdir():
        shutil.copy(file, base)
    found = find_checkpoint(replace(spec, adapter=spec.repo_id))
    assert found.adapter is not None
    assert list(found.adapter.changes) == [f"{Q}.weight"]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda f: (f / "adapter_config.json").unlink(), "no adapter_config.json"),
        (lambda f: (f / "adapter_config.json").write_text("["), "cannot be read as JSON"),
        (lambda f: (f / "adapter_model.safetensors").unlink(), "no weights"),
        (lambda f: (f / "adapter_model.safetensors").rename(f / "adapter_model.bin"), "pickle"),
        (lambda f: (f / "adapter_model.safetensors").write_bytes(b"\xff" * 64), "damaged"),
        (lambda f: (f / "tokenizer_config.json").write_text('{"auto_map": {"a": "b"}}'), "Python code of its own"),
        (lambda f: (f / "chat_template.jinja").write_text("{{ messages }}"), "chat template without the tokenizer"),
    ],
)
def test_an_incomplete_or_unsafe_adapter_is_refused(
    spec: ModelSpec, tmp_path: Path, change: Callable[[Path], object], why: str
) -> None:
    change(tmp_path / "mine")
    for check in (find_checkpoint, estimate_memory):
        assert why in _refusal(spec, check)


def test_the_estimate_says_what_merging_takes(spec: ModelSpec, tmp_path: Path) -> None:
    alone = estimate_memory(replace(spec, adapter=None))
    five = {k: t for i in range(3) for k, t in factors(Q.replace("1", str(i)), 32, 32).items()}
    adapter_folder(tmp_path / "mine", five | factors(Q.replace("q_", "k_"), 16, 32) | factors("lm_head", 352, 32))
    both = estimate_memory(spec)
    assert (both.weights_bytes, both.kv_bytes_per_token) == (alone.weights_bytes, alone.kv_bytes_per_token)
    assert (alone.merging_bytes, both.merging_bytes) == (0, 4 * (352 * 32 + 3 * 32 * 32))
    assert estimate_memory(replace(spec, precision="nf4")).merging_bytes == 4 * 352 * 32


# --- the hub


@pytest.fixture
def fake(spec: ModelSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The hub answers from the two folders, each named after its commit."""
    folders = {repo: tmp_path / commit for repo, commit in COMMITS.items()}
    for repo, folder in folders.items():
        (tmp_path / repo.rpartition("/")[2]).rename(folder)
    fake = SimpleNamespace(folders=folders, fetched=[], offline=False)

    def look_up(repo: str, **_: Any) -> Any:
        if fake.offline:
            raise ConnectionError
        files = [SimpleNamespace(rfilename=f.name, size=f.stat().st_size) for f in folders[repo].iterdir()]
        return SimpleNamespace(sha=COMMITS[repo], siblings=files)

    def snapshot(repo: str, *, local_files_only: bool = False, revision: str | None, **_: Any) -> str:
        if local_files_only and not fake.offline:
            raise errors.LocalEntryNotFoundError("not here")
        fake.fetched.append(repo)
        return str(folders[repo])

    def header(repo: str, name: str, **_: Any) -> Any:
        with safe_open(folders[repo] / name, "pt") as file:
            return SimpleNamespace(
                tensors={k: SimpleNamespace(shape=file.get_slice(k).get_shape()) for k in file.keys()}  # noqa: SIM118
            )

    monkeypatch.setattr(hub, "HfApi", lambda: SimpleNamespace(model_info=look_up))
    monkeypatch.setattr(hub, "hf_hub_download", lambda repo, name, **_: str(folders[repo] / name))
    monkeypatch.setattr(hub, "snapshot_download", snapshot)
    monkeypatch.setattr(hub, "parse_safetensors_file_metadata", header)
    monkeypatch.setattr(
        hub,
        "get_safetensors_metadata",
        lambda repo, **_: SimpleNamespace(files_metadata={"m": header(repo, "model.safetensors")}),
    )
    return fake


BOTH = ModelSpec(repo_id="maker/base", adapter="maker/mine")


def test_a_hub_adapter_is_pinned_to_its_commit(fake: SimpleNamespace) -> None:
    found = find_checkpoint(BOTH)
    assert found.former == f"maker/base@{'0' * 40}+maker/mine@{'a' * 40}"
    assert (found.commit, found.adapter_commit) == ("0" * 40, "a" * 40)
    assert found.adapter is not None
    assert (found.adapter.path, found.adapter.name) == (fake.folders["maker/mine"], "mine")
    assert fake.fetched == ["maker/mine", "maker/base"], "the smaller one, which may be refused, first"


def test_a_hub_adapter_is_estimated_without_its_weights(fake: SimpleNamespace) -> None:
    assert estimate_memory(BOTH).merging_bytes == 4 * 32 * 32
    assert fake.fetched == []


def test_without_network_the_adapter_at_hand_is_used(fake: SimpleNamespace) -> None:
    fake.offline = True
    assert find_checkpoint(BOTH).former.endswith(f"+maker/mine@{'a' * 40}")
    assert estimate_memory(BOTH).merging_bytes == 4 * 32 * 32


def test_a_hub_adapter_in_a_models_place_is_refused_before_anything_is_fetched(fake: SimpleNamespace) -> None:
    for check in (find_checkpoint, estimate_memory):
        assert "'maker/mine' is an adapter of maker/base" in _refusal(ModelSpec(repo_id="maker/mine"), check)
        assert "'maker/base' has no adapter_config.json" in _refusal(replace(BOTH, adapter="maker/base"), check)
        assert fake.fetched == []
    (fake.folders["maker/mine"] / "adapter_model.safetensors").rename(fake.folders["maker/mine"] / "adapter_model.bin")
    assert "pickle" in _refusal(BOTH, estimate_memory)
    for file in fake.folders["maker/mine"].iterdir():
        shutil.copy(file, fake.folders["maker/base"])
    fake.fetched.clear()
    for check in (find_checkpoint, estimate_memory):
        assert "an adapter beside them" in _refusal(replace(BOTH, adapter=None), check)
    assert fake.fetched == []
