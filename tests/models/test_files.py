"""Files of a model that are no such files: refused with a sentence, at once, without opening or holding much."""

from __future__ import annotations

import json
import os
import socket
import struct
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from core.errors import ModelUnavailable
from core.models import files, folders
from core.models.checkpoints import estimate_memory, find_checkpoint
from core.models.files import read_header
from core.values import ModelSpec
from tests.tiny_models import tiny_folder

NAMES = ("model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json")


def pipe(path: Path) -> None:
    os.mkfifo(path)


def folder_there(path: Path) -> None:
    path.mkdir()


def listening(path: Path) -> None:
    here = os.getcwd()
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as channel:
            channel.bind(path.name)
    finally:
        os.chdir(here)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def dangling(path: Path) -> None:
    path.symlink_to(path.parent / "nothing")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("make", [pipe, folder_there, listening, device, dangling])
def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path, make: Callable[[Path], None], name: str) -> None:
    folder = tiny_folder(tmp_path)
    (folder / name).unlink()
    make(folder / name)
    started = time.monotonic()
    for look in (find_checkpoint, estimate_memory):
        with pytest.raises(ModelUnavailable, match=r"regular file|not there|is missing"):
            look(ModelSpec(repo_id=str(folder)))
    assert time.monotonic() - started < 2


@pytest.mark.parametrize("name", ["shard.safetensors", "additional_chat_templates/other.jinja"])
def test_a_pipe_among_shards_and_further_templates_is_refused(tmp_path: Path, name: str) -> None:
    folder = tiny_folder(tmp_path)
    if name.endswith(".safetensors"):
        (folder / "model.safetensors").rename(folder / "first.safetensors")
        index = {"weight_map": {"a": "first.safetensors", "b": name}}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / name).parent.mkdir(exist_ok=True)
    os.mkfifo(folder / name)
    with pytest.raises(ModelUnavailable, match="not a regular file"):
        find_checkpoint(ModelSpec(repo_id=str(folder)))


def test_links_to_files_are_files(tmp_path: Path) -> None:
    """As in the hub's cache."""
    folder = tiny_folder(tmp_path)
    for file in list(folder.iterdir()):
        file.rename(tmp_path / f"blob-{file.name}")
        file.symlink_to(tmp_path / f"blob-{file.name}")
    assert find_checkpoint(ModelSpec(repo_id=str(folder))).path == folder


def header_file(path: Path, header: dict[str, object] | bytes, n_bytes: int = 0) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(n_bytes))
    return path


def entry(shape: list[object], start: int, end: int, dtype: str = "F32") -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


@pytest.mark.parametrize(
    ("header", "n_bytes"),
    [
        ({"a": entry([2], 0, 8), "b": entry([2], 4, 12)}, 12),
        ({"a": entry([2], 0, 8), "b": entry([2], 12, 20)}, 20),
        ({"a": entry([2], 4, 12)}, 12),
        ({"a": entry([3], 0, 8)}, 8),
        ({"a": entry([-2, -1], 0, 8)}, 8),
        ({"a": entry([2.0], 0, 8)}, 8),
        ({"a": entry([True, 2], 0, 8)}, 8),
        ({"a": entry([2], 8, 0)}, 8),
        ({"a": entry([2], 0, 8, "Q7")}, 8),
        ({"a": entry([2], 0, 8)}, 7),
        ({"a": entry([2], 0, 8)}, 9),
        ({"a": {"dtype": "F32", "shape": 2, "data_offsets": [0, 8]}}, 8),
        ({"a": {"dtype": "F32", "shape": [2]}}, 8),
        (b"[" * 100_000, 0),
        (b"[" + b"0," * 2_000_000 + b"0]", 0),
    ],
)
def test_a_header_that_does_not_describe_its_bytes_is_damage(tmp_path: Path, header: object, n_bytes: int) -> None:
    with pytest.raises(ModelUnavailable, match="damaged or cut off"):
        read_header(header_file(tmp_path / "x.safetensors", header, n_bytes))


def test_tensors_may_stand_in_any_order_and_be_empty(tmp_path: Path) -> None:
    header = {"b": entry([2], 4, 12), "a": entry([2, 1], 0, 4, "BF16"), "e": entry([0, 5], 12, 12), "__metadata__": {}}
    found = read_header(header_file(tmp_path / "x.safetensors", header, 12))
    assert {t.name: t.shape for t in found} == {"a": (2, 1), "b": (2,), "e": (0, 5)}


def test_three_hundred_thousand_tensors_are_refused_quickly_and_cheaply(tmp_path: Path) -> None:
    path = header_file(tmp_path / "x.safetensors", {f"w{i}": entry([0], 0, 0) for i in range(300_000)})
    tracemalloc.start()
    started = time.process_time()
    with pytest.raises(ModelUnavailable, match="more than 100,000 weights"):
        read_header(path)
    assert time.process_time() - started < 2
    assert tracemalloc.get_traced_memory()[1] < 100 * 2**20
    tracemalloc.stop()


def test_the_weights_of_all_shards_count_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tiny_folder(tmp_path)
    monkeypatch.setattr(files, "MAX_TENSORS", 20)
    with pytest.raises(ModelUnavailable, match="more than 20 weights"):
        find_checkpoint(ModelSpec(repo_id=str(folder)))


def test_an_index_of_thousands_of_files_is_refused_before_any_is_opened(tmp_path: Path, monkeypatch) -> None:
    folder = tiny_folder(tmp_path)
    (folder / "model.safetensors").unlink()
    (folder / "0.safetensors").touch()
    index = {"weight_map": {f"w{i}": f"{i}.safetensors" for i in range(5000)}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    monkeypatch.setattr(folders, "read_header", lambda path: pytest.fail("opened"))
    with pytest.raises(ModelUnavailable, match="more than 1,000 files"):
        find_checkpoint(ModelSpec(repo_id=str(folder)))


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "tokenizer_config.json"])
def test_a_file_larger_than_any_of_its_name_is_refused_unread(tmp_path: Path, name: str) -> None:
    folder = tiny_folder(tmp_path)
    with (folder / name).open("r+b") as file:
        file.truncate(2**31)
    with pytest.raises(ModelUnavailable, match=f"{name} of the model is larger than"):
        find_checkpoint(ModelSpec(repo_id=str(folder)))


def test_json_of_too_many_values_is_refused_unparsed(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path)
    (folder / "tokenizer_config.json").write_text('{"a": [' + "[]," * 1_100_000 + "0]}")
    with pytest.raises(ModelUnavailable, match="holds more than 1,000,000 values"):
        find_checkpoint(ModelSpec(repo_id=str(folder)))


def test_what_is_checked_says_how_far_it_is_and_can_be_stopped(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path)
    shares: list[float] = []

    def tell(message: str, share: float | None = None) -> None:
        if len(shares) == 2:
            raise KeyboardInterrupt
        shares.append(share or 0.0)

    with pytest.raises(KeyboardInterrupt):
        find_checkpoint(ModelSpec(repo_id=str(folder)), progress=tell)
    assert 0 < shares[0] <= shares[1] <= 1
