"""Finding a model: folders under the roots, hub ids at one commit, and the memory they will need."""

from __future__ import annotations

import errno
import json
import re
import shutil
import struct
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2
import huggingface_hub as hub
import psutil
import pytest
from huggingface_hub import errors

from core.background import Stopped
from core.disk import digests
from core.errors import ModelUnavailable
from core.models import checkpoints, folders
from core.models.checkpoints import available_memory, estimate_memory, find_checkpoint
from core.models.files import read_header
from core.settings import MODEL_ROOTS
from core.values import ModelSpec
from core.weights import commit_of

COMMIT = "0123456789abcdef0123456789abcdef01234567"
CONFIG = {
    "model_type": "llama",
    "num_hidden_layers": 2,
    "hidden_size": 64,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
}
SHAPES = {
    "model.embed_tokens.weight": (100, 64),
    "model.layers.0.mlp.up_proj.weight": (128, 64),
    "model.layers.0.input_layernorm.weight": (64,),
    "model.layers.1.mlp.up_proj.weight": (128, 64),
    "lm_head.weight": (100, 64),
}
LINEAR, REST = 2 * 128 * 64, 2 * 100 * 64 + 64


def _safetensors(path: Path, shapes: dict[str, tuple[int, ...]]) -> None:
    header, at = {}, 0
    for name, shape in shapes.items():
        size = 2 * shape[0] * (shape[1] if len(shape) > 1 else 1)
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(at))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A whole model of two blocks under a configured root."""
    monkeypatch.setenv(MODEL_ROOTS, str(tmp_path / "models"))
    folder = tmp_path / "models" / "tiny"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "tokenizer.json").write_text("{}")
    (folder / "tokenizer_config.json").write_text("{}")
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    _safetensors(folder / "model.safetensors", SHAPES)
    return folder


def _spec(repo_id: object, **changes: Any) -> ModelSpec:
    return ModelSpec(repo_id=str(repo_id), **changes)


# --- local folders


def test_local_folder_is_found_and_identified(folder: Path) -> None:
    found = find_checkpoint(_spec(folder))
    assert found.path == folder
    assert found.commit is None
    assert re.fullmatch(r"weights:[0-9a-f]{64}", found.fingerprint)
    assert re.fullmatch(r"[0-9a-f]{64}", found.former)
    assert find_checkpoint(_spec("tiny")).path == folder


def test_fingerprint_changes_with_every_byte_and_name(folder: Path) -> None:
    seen = {find_checkpoint(_spec(folder)).fingerprint}
    for file in sorted(folder.iterdir()):
        content = file.read_bytes()
        if file.suffix == ".json":
            file.write_text(json.dumps(json.loads(content) | {"x": 1}))
        else:
            file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        seen.add(find_checkpoint(_spec(folder)).fingerprint)
        file.write_bytes(content)
    (folder / "chat_template.jinja").rename(folder / "other.jinja")
    seen.add(find_checkpoint(_spec(folder)).fingerprint)
    assert len(seen) == 7


def test_fingerprint_is_of_content_not_of_place(folder: Path) -> None:
    copy = folder.parent / "copy"
    shutil.copytree(folder, copy)
    (copy / "README.md").write_text("notes do not change the model")
    assert find_checkpoint(_spec(copy)).fingerprint == find_checkpoint(_spec(folder)).fingerprint


def test_unchanged_folder_is_hashed_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = find_checkpoint(_spec(folder)).fingerprint
    time.sleep(2 * digests.SETTLED_SECONDS)
    find_checkpoint(_spec(folder))
    monkeypatch.setattr(digests.hashlib, "file_digest", None)
    assert find_checkpoint(_spec(folder)).fingerprint == first


def test_folder_outside_the_roots_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MODEL_ROOTS, str(folder.parent.parent / "elsewhere"))
    with pytest.raises(ModelUnavailable, match=MODEL_ROOTS):
        find_checkpoint(_spec(folder))


def test_link_out_of_the_roots_is_refused(folder: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    shutil.copytree(folder, outside)
    (folder.parent / "link").symlink_to(outside)
    for way in (folder.parent / "link", folder.parent / ".." / "outside"):
        with pytest.raises(ModelUnavailable, match=MODEL_ROOTS):
            find_checkpoint(_spec(way))


def test_the_demo_folder_needs_no_variable(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(MODEL_ROOTS)
    monkeypatch.setattr(folders, "PROJECT", tmp_path)
    monkeypatch.setattr("core.settings.PROJECT", tmp_path)
    shutil.copytree(folder, tmp_path / "demo" / "base")
    assert find_checkpoint(_spec("demo/base")).path == tmp_path / "demo" / "base"
    with pytest.raises(ModelUnavailable, match="no model folder"):
        find_checkpoint(_spec("demo/absent"))


@pytest.mark.parametrize(
    "text",
    ["", " ", "../..", "/nowhere", "~nobody/x", "a\0b", "x" * 5000, "a/b/c", "-a/b", "<img>", "\ud800", "a/../b"],
)
def test_no_text_is_taken_for_a_model(text: str) -> None:
    with pytest.raises(ModelUnavailable):
        find_checkpoint(_spec(text))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda f: (f / "config.json").unlink(), "no config.json"),
        (lambda f: (f / "config.json").write_text("{"), "cannot be read as JSON"),
        (lambda f: (f / "config.json").write_text("[" * 100_000), "cannot be read as JSON"),
        (lambda f: (f / "config.json").write_bytes(b"\xff"), "cannot be read as JSON"),
        (lambda f: (f / "config.json").write_text("[]"), "JSON object"),
        (lambda f: (f / "config.json").write_text('{"auto_map": {"AutoModel": "x.Y"}}'), "Python code of its own"),
        (lambda f: (f / "tokenizer_config.json").write_text('{"auto_map": {"a": "b"}}'), "Python code of its own"),
        (lambda f: (f / "config.json").write_text('{"quantization_config": {"bits": 4}}'), "already quantised"),
        (lambda f: (f / "tokenizer.json").unlink(), "no tokenizer files"),
        (lambda f: (f / "model.safetensors").unlink(), "no weights"),
        (lambda f: (f / "model.safetensors").rename(f / "pytorch_model.bin"), "pickle"),
        (lambda f: (f / "model.safetensors").rename(f / "model-00001-of-00002.safetensors"), "index.json .* missing"),
        (lambda f: (f / "model.safetensors").write_bytes(b""), "damaged"),
        (lambda f: (f / "model.safetensors").write_bytes(b"\xff" * 64), "damaged"),
        (lambda f: (f / "model.safetensors").write_bytes((f / "model.safetensors").read_bytes()[:-1]), "cut off"),
        (lambda f: (f / "model.safetensors").write_bytes((f / "model.safetensors").read_bytes() + b"x"), "damaged"),
    ],
)
def test_incomplete_or_unsafe_folder_is_refused(folder: Path, change: Callable[[Path], object], why: str) -> None:
    change(folder)
    with pytest.raises(ModelUnavailable, match=why):
        find_checkpoint(_spec(folder))


def test_shards_are_those_of_the_index(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    names = list(SHAPES)
    _safetensors(folder / "a.safetensors", {n: SHAPES[n] for n in names[:2]})
    _safetensors(folder / "b.safetensors", {n: SHAPES[n] for n in names[2:]})
    index = {"weight_map": {n: "a.safetensors" if n in names[:2] else "b.safetensors" for n in names}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert estimate_memory(_spec(folder)).n_params == LINEAR + REST
    (folder / "b.safetensors").unlink()
    with pytest.raises(ModelUnavailable, match=r"b\.safetensors"):
        find_checkpoint(_spec(folder))
    for hostile in ({"x": "../b.safetensors"}, {"x": "/etc/passwd"}, {}, []):
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": hostile}))
        with pytest.raises(ModelUnavailable, match="index"):
            find_checkpoint(_spec(folder))


@pytest.mark.parametrize("header", ["[]", '{"a": 1}', '{"a": {"data_offsets": [0]}}', '{"a": null}', "{"])
def test_foreign_header_is_refused(tmp_path: Path, header: str) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header.encode())
    with pytest.raises(ModelUnavailable, match="damaged"):
        read_header(path)


# --- memory


@pytest.mark.parametrize(
    ("precision", "linear", "rest", "width"),
    [("fp32", 4, 4, 4), ("bf16", 2, 2, 2), ("int8", 1, 2, 2), ("nf4", 0.516, 2, 2)],
)
def test_memory_by_precision(folder: Path, precision: Any, linear: float, rest: float, width: int) -> None:
    estimate = estimate_memory(_spec(folder, precision=precision))
    assert estimate.weights_bytes == round(LINEAR * linear + REST * rest)
    assert estimate.peak_bytes == estimate.weights_bytes + (16 * 128 * 64 if linear < 2 else 0)
    assert estimate.kv_bytes_per_token == 2 * 2 * 2 * 16 * width
    assert (estimate.n_params, estimate.n_layers, estimate.d_model) == (LINEAR + REST, 2, 64)
    assert estimate.context_length == 128


def _llama(n_layers: int, d: int, ff: int, kv: int, vocab: int, *, tied: bool) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (vocab, d), "model.norm.weight": (d,)}
    for i in range(n_layers):
        block = {"q_proj": (d, d), "o_proj": (d, d), "k_proj": (kv, d), "v_proj": (kv, d)}
        block |= {"up_proj": (ff, d), "gate_proj": (ff, d), "down_proj": (d, ff), "input_layernorm": (d,)}
        shapes |= {f"model.layers.{i}.{name}.weight": shape for name, shape in block.items()}
    return shapes if tied else {**shapes, "lm_head.weight": (vocab, d)}


@pytest.mark.parametrize(
    ("precision", "small", "large"), [("fp32", 7.1, 32.1), ("bf16", 3.6, 16.1), ("int8", 2.2, 9.1), ("nf4", 1.6, 5.7)]
)
def test_memory_of_the_models_people_load(fake: FakeHub, precision: Any, small: float, large: float) -> None:
    """GB of weights: DeepSeek-R1-Distill-Qwen-1.5B and -Llama-8B, as their cards and loaders report them."""
    sizes = (28, 1536, 8960, 256, 151936), (32, 4096, 14336, 1024, 128256)
    for shape, expected in zip(sizes, (small, large), strict=True):
        fake.shapes = _llama(*shape, tied=False)
        (fake.folder / "config.json").write_text(json.dumps({**CONFIG, "num_hidden_layers": shape[0]}))
        found = estimate_memory(_spec(REPO, precision=precision))
        assert round(found.weights_bytes / 1e9, 1) == pytest.approx(expected, abs=0.11)


@pytest.mark.parametrize("change", [{"num_hidden_layers": 10**7}, {"hidden_size": None}, {"num_attention_heads": 0}])
def test_config_that_cannot_be_is_refused(folder: Path, change: dict[str, Any]) -> None:
    (folder / "config.json").write_text(json.dumps({**CONFIG, **change}))
    with pytest.raises(ModelUnavailable, match="decoder-only"):
        estimate_memory(_spec(folder))


def test_available_memory_is_within_the_container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert 0 < available_memory("cpu") <= psutil.virtual_memory().available + 2**30
    for name, text in {"max": "5000", "current": "3000", "stat": "anon 1\nfile 1000\n"}.items():
        (tmp_path / f"memory.{name}").write_text(text)
    monkeypatch.setattr(checkpoints, "CONTROL_GROUP", tmp_path)
    assert available_memory("cpu") == 3000
    (tmp_path / "memory.max").write_text("max")
    assert available_memory("cpu") > 3000


def test_memory_of_an_absent_card_is_a_sentence() -> None:
    with pytest.raises(ModelUnavailable, match="cuda:77"):
        available_memory("cuda:77")


# --- the hub


class FakeHub:
    """Answers as the hub does, from a local folder; `fail` maps a call's name to the exception it raises."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.fail, self.calls = folder, dict[str, Exception](), list[str]()
        self.cached = False
        self.shapes = dict(SHAPES)
        self.info = SimpleNamespace(
            sha=COMMIT, siblings=[SimpleNamespace(rfilename=f.name, size=f.stat().st_size) for f in folder.iterdir()]
        )

    def _answer(self, name: str) -> None:
        self.calls.append(name)
        if name in self.fail:
            raise self.fail[name]

    def model_info(self, repo_id: str, **_: Any) -> Any:
        self._answer("model_info")
        return self.info

    def hf_hub_download(self, repo_id: str, filename: str, **_: Any) -> str:
        self._answer("hf_hub_download")
        return str(self.folder / filename)

    def snapshot_download(self, repo_id: str, *, local_files_only: bool = False, **given: Any) -> str:
        if local_files_only:
            if not self.cached:
                raise errors.LocalEntryNotFoundError("not here")
        else:
            self._answer("snapshot_download")
            assert given["revision"] == COMMIT
        return str(self.folder)

    def get_safetensors_metadata(self, repo_id: str, **_: Any) -> Any:
        self._answer("get_safetensors_metadata")
        tensors = {n: SimpleNamespace(shape=list(s)) for n, s in self.shapes.items()}
        return SimpleNamespace(files_metadata={"model.safetensors": SimpleNamespace(tensors=tensors)})


@pytest.fixture
def fake(folder: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    """The hub functions answer from a folder named after the commit."""
    fake = FakeHub(folder.rename(folder.parent / COMMIT))
    monkeypatch.setattr(hub, "HfApi", lambda: fake)
    for name in ("hf_hub_download", "snapshot_download", "get_safetensors_metadata"):
        monkeypatch.setattr(hub, name, getattr(fake, name))
    return fake


REPO = "maker/model-8B"
SECRET = "hf_SECRETSECRETSECRET"


def _http(kind: type[errors.HfHubHTTPError], status: int) -> Exception:
    request = httpx2.Request("GET", f"https://huggingface.co/{REPO}", headers={"authorization": f"Bearer {SECRET}"})
    return kind(f"{status} for token {SECRET}", response=httpx2.Response(status, request=request))


def test_hub_model_is_pinned_to_its_commit(fake: FakeHub) -> None:
    said: list[str] = []
    found = find_checkpoint(_spec(REPO, revision="main"), progress=lambda message, share=None: said.append(message))
    assert (found.commit, found.former, found.path) == (COMMIT, f"{REPO}@{COMMIT}", fake.folder)
    assert any("Downloading" in s for s in said)
    assert fake.calls == ["model_info", "hf_hub_download", "snapshot_download"]


def test_a_script_that_names_the_commit_loads_it_whatever_the_branch_is_now(fake: FakeHub) -> None:
    """What `core.api.load_model` is given by "Copy as code"."""
    loaded = find_checkpoint(_spec(REPO))
    pinned = _spec(REPO, revision=commit_of(_spec(REPO, revision=loaded.commit), loaded.fingerprint))
    assert pinned.revision == COMMIT
    fake.info.sha, fake.cached = "f" * 40, True
    assert find_checkpoint(pinned) == loaded


def test_hub_estimate_fetches_no_weights(fake: FakeHub) -> None:
    assert estimate_memory(_spec(REPO, precision="bf16")).weights_bytes == 2 * (LINEAR + REST)
    assert "snapshot_download" not in fake.calls


def test_copy_at_a_known_commit_needs_no_network(fake: FakeHub) -> None:
    fake.cached = True
    assert find_checkpoint(_spec(REPO, revision=COMMIT)).commit == COMMIT
    assert fake.calls == []


@pytest.mark.parametrize(
    "error",
    [
        errors.OfflineModeIsEnabled("offline"),
        httpx2.ConnectError("no route"),
        httpx2.ReadTimeout("slow"),
        TimeoutError(),
    ],
)
def test_without_network_the_copy_at_hand_is_used(fake: FakeHub, error: Exception) -> None:
    fake.fail["model_info"] = error
    with pytest.raises(ModelUnavailable, match="cannot be reached"):
        find_checkpoint(_spec(REPO))
    fake.cached = True
    assert find_checkpoint(_spec(REPO)).former == f"{REPO}@{COMMIT}"


def test_estimate_without_network_uses_the_copy_at_hand(fake: FakeHub) -> None:
    fake.fail["model_info"] = httpx2.ConnectError("no route")
    with pytest.raises(ModelUnavailable, match="cannot be reached"):
        estimate_memory(_spec(REPO))
    fake.cached = True
    assert estimate_memory(_spec(REPO)).n_params == LINEAR + REST


@pytest.mark.parametrize("call", ["model_info", "hf_hub_download", "snapshot_download"])
@pytest.mark.parametrize(
    ("error", "problem", "remedy"),
    [
        (_http(errors.GatedRepoError, 403), "gated", "HF_TOKEN"),
        (_http(errors.GatedRepoError, 401), "gated", f"https://huggingface.co/{REPO}"),
        (_http(errors.RepositoryNotFoundError, 404), "no model", "spelling"),
        (_http(errors.RepositoryNotFoundError, 401), "no model", "HF_TOKEN"),
        (_http(errors.RevisionNotFoundError, 404), "no revision 'v9'", "revision"),
        (_http(errors.HfHubHTTPError, 503), "HfHubHTTPError 503", "again"),
        (OSError(errno.ENOSPC, SECRET), "disk", "HF_HOME"),
        (errors.HFValidationError(SECRET), "no model", "spelling"),
        (RuntimeError(SECRET), "RuntimeError", "by hand"),
    ],
)
def test_hub_errors_are_plain_and_keep_the_token(
    fake: FakeHub, call: str, error: Exception, problem: str, remedy: str
) -> None:
    fake.fail[call] = error
    with pytest.raises(ModelUnavailable) as caught:
        find_checkpoint(_spec(REPO, revision="v9"))
    assert problem in caught.value.problem
    assert remedy in caught.value.remedy
    assert SECRET not in str(caught.value)
    assert caught.value.__suppress_context__


def test_unfit_hub_model_is_refused_before_its_weights_are_fetched(fake: FakeHub) -> None:
    def files(*names: str) -> list[SimpleNamespace]:
        return [SimpleNamespace(rfilename=n, size=10) for n in names]

    whole = files("config.json", "tokenizer.json", "model.safetensors")
    for siblings, why in (
        (files("config.json", "tokenizer.json", "pytorch_model.bin"), "pickle"),
        (files("config.json", "tokenizer.json", "onnx/model.safetensors"), "no weights"),
        (files("config.json", "model.safetensors"), "no tokenizer"),
        (files("tokenizer.json", "model.safetensors"), "no config.json"),
        ([*whole, SimpleNamespace(rfilename="more.safetensors", size=10**18)], "of disk"),
    ):
        fake.info.siblings = siblings
        with pytest.raises(ModelUnavailable, match=why):
            find_checkpoint(_spec(REPO))
    fake.info.siblings = whole
    (fake.folder / "config.json").write_text('{"auto_map": {"AutoModelForCausalLM": "evil.Evil"}}')
    with pytest.raises(ModelUnavailable, match="Python code of its own"):
        find_checkpoint(_spec(REPO))
    assert "snapshot_download" not in fake.calls


def test_download_bar_tells_of_every_piece_and_what_stops_the_telling_stops_it(fake: FakeHub) -> None:
    from core.models.hub import _bar

    said: list[float | None] = []

    def tell(message: str, share: float | None = None) -> None:
        if len(said) == 900:
            raise Stopped
        said.append(share)

    bar = _bar(tell, 1000)
    with bar(desc="Reconstructing (incomplete total...)", total=0, unit="B") as written, bar(desc="Downloading bytes"):
        for _ in range(900):
            written.update(1)
        with pytest.raises(Stopped):
            written.update(1)
    assert said == [pytest.approx(n / 1000) for n in range(1, 901)]
    with bar(desc="Fetching 3 files", total=3) as other:
        other.update(3)
    assert len(said) == 900
