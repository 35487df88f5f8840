"""Files of PyTorch, NumPy and GGUF from anybody become arrays or a sentence; nothing in them is run (A13)."""

from __future__ import annotations

import io
import os
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import psutil
import pytest
import safetensors.numpy
import torch

from core import child
from core.directions import tensor_child, tensors
from core.directions.tensors import kind_of, read_tensors, write_layers
from core.errors import BadInput

RUN_UNSAFE = "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"


@pytest.fixture
def here(monkeypatch):
    """The child's work in this process, without the second that importing torch takes each time."""
    monkeypatch.setattr(tensors, "_run_child", tensor_child.answer)


class Touches:
    """Unpickling it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def torch_bytes(value: object, **options: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, **options)
    return buffer.getvalue()


def numpy_bytes(array: np.ndarray, **options: object) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()


def gguf_string(text: str) -> bytes:
    return struct.pack("<Q", len(text.encode())) + text.encode()


def gguf_bytes(*, architecture: str = "controlvector", tensors: int = 1, shape: int = 4, array: int = 0) -> bytes:
    """A GGUF file made by hand, with what its header claims."""
    texts = [gguf_string("general.architecture") + struct.pack("<I", 8) + gguf_string(architecture)]
    if array:
        texts.append(gguf_string("a") + struct.pack("<IIQ", 9, 0, array))
    infos = gguf_string("direction.1") + struct.pack("<IQIQ", 1, shape, 0, 0)
    head = struct.pack("<4sIQQ", b"GGUF", 3, tensors, len(texts)) + b"".join(texts) + infos
    return head + b"\0" * (-len(head) % 32) + struct.pack("<4f", 1, 2, 3, 4)


@pytest.mark.usefixtures("here")
def test_containers_of_tensors_are_read_by_path():
    value = {
        "label": {"mean": torch.arange(6.0).reshape(2, 3), "count": 5},
        7: torch.ones(3, dtype=torch.float16),
        "list": [torch.zeros(2, dtype=torch.float64), "text", None, True],
        "bf16": torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
        "ids": torch.arange(3),
        "part of it": torch.arange(12.0).reshape(3, 4).T[1],
    }
    found = read_tensors(torch_bytes(value), label="f")
    assert found.kind == "pt"
    assert list(found.arrays) == [("label", "mean"), (7,), ("list", 0), ("bf16",), ("part of it",)]
    assert np.array_equal(found.arrays["label", "mean"], [[0, 1, 2], [3, 4, 5]])
    assert [found.arrays[key].dtype for key in ((7,), ("list", 0), ("bf16",))] == [np.float16, np.float64, np.float32]
    assert found.arrays["bf16",].tolist() == [1.5, -2.0]
    assert found.arrays["part of it",].tolist() == [1, 5, 9]
    assert found.numbers == {("label", "count"): 5, ("list", 3): True}
    assert found.ignored == ((("ids",), "holds int64 values"),)


@pytest.mark.usefixtures("here")
def test_the_old_format_of_pytorch_and_parameters_are_read():
    value = {"v": torch.nn.Parameter(torch.tensor([1.0, 2.0]))}
    for zipped in (True, False):
        data = torch_bytes(value, _use_new_zipfile_serialization=zipped)
        assert read_tensors(data, label="f").arrays["v",].tolist() == [1, 2]


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4"])
def test_a_numpy_array_is_read_bit_for_bit(dtype):
    array = np.arange(6, dtype=dtype).reshape(2, 3)
    for order in ("C", "F"):
        (found,) = read_tensors(numpy_bytes(np.asarray(array, order=order)), label="f").arrays.values()
        assert np.array_equal(found, array)


def test_a_control_vector_is_read_with_its_layers_and_texts():
    found = read_tensors(gguf_bytes(), label="f")
    assert {key: a.tolist() for key, a in found.arrays.items()} == {(1,): [1, 2, 3, 4]}
    assert found.texts["general.architecture"] == "controlvector"


@pytest.mark.parametrize("kind", ["pt", "gguf"])
def test_what_is_written_is_read_again(kind):
    layers = {3: np.arange(4, dtype=np.float32), 12: np.full(4, -0.1, np.float32)}
    found = read_tensors(write_layers(kind, layers, texts={"a": "<b>ü"} if kind == "gguf" else None), label="f")
    assert list(found.arrays) == [(3,), (12,)]
    for layer, array in layers.items():
        assert found.arrays[layer,].tobytes() == array.tobytes()
    assert kind == "pt" or found.texts["a"] == "<b>ü"


def test_kinds_are_told_by_their_first_bytes():
    tensors = {"v": np.ones(2, np.float32)}
    assert kind_of(torch_bytes(torch.ones(2))) == "pt"
    assert kind_of(torch_bytes(torch.ones(2), _use_new_zipfile_serialization=False)) == "pt"
    assert kind_of(pickle.dumps({}, protocol=4)) == "pt"
    assert kind_of(numpy_bytes(np.ones(2))) == "npy"
    assert kind_of(gguf_bytes()) == "gguf"
    for n in range(300, 1200):
        assert kind_of(safetensors.numpy.save(tensors, metadata={"a": "x" * n})) == "safetensors"


def hostile_pickles(path: Path) -> dict[str, bytes]:
    evil = Touches(path)
    inside = io.BytesIO(torch_bytes({"v": torch.ones(2)}))
    with zipfile.ZipFile(inside, "a") as archive:
        archive.writestr("archive/constants.pkl", pickle.dumps(evil, protocol=2))
    replaced = io.BytesIO()
    with zipfile.ZipFile(replaced, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(evil, protocol=2))
        archive.writestr("archive/version", "3")
    return {
        "in a dict": torch_bytes({"v": torch.ones(2), "x": evil}),
        "as a key": torch_bytes({"label": {"mean": torch.ones(2, 3), "count": evil}}),
        "old format": torch_bytes(evil, _use_new_zipfile_serialization=False),
        "bare pickle": pickle.dumps(evil, protocol=2),
        "bare pickle of protocol 5": pickle.dumps(evil, protocol=5),
        "zip by hand": replaced.getvalue(),
        "object array": numpy_bytes(np.array([evil], dtype=object), allow_pickle=True),
        "torch script": inside.getvalue()[:200] + replaced.getvalue(),
    }


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("unsafe", ["", "1"])
def test_hostile_pickles_run_nothing(tmp_path, monkeypatch, unsafe):
    if unsafe:
        monkeypatch.setenv(RUN_UNSAFE, unsafe)
    for name, data in hostile_pickles(tmp_path / "ran").items():
        with pytest.raises(BadInput) as caught:
            read_tensors(data, label=name)
        assert name in caught.value.problem
        assert caught.value.remedy
        assert not (tmp_path / "ran").exists(), name


def test_a_hostile_pickle_runs_nothing_in_the_child_either(tmp_path, monkeypatch):
    monkeypatch.setenv(RUN_UNSAFE, "1")
    with pytest.raises(BadInput, match="which is code"):
        read_tensors(torch_bytes({"x": Touches(tmp_path / "ran")}), label="f")
    assert not (tmp_path / "ran").exists()


def test_the_tests_own_pickle_is_dangerous(tmp_path):
    torch.load(io.BytesIO(torch_bytes(Touches(tmp_path / "ran"))), weights_only=False)
    assert (tmp_path / "ran").exists()


def test_the_child_is_told_of_no_variable_that_makes_it_unsafe(monkeypatch):
    seen = {}

    def run(*args, env, **options):
        seen.update(env)
        raise child.subprocess.TimeoutExpired("child", 1)

    monkeypatch.setenv(RUN_UNSAFE, "1")
    monkeypatch.setenv("HF_TOKEN", "secret")
    monkeypatch.setattr(child.subprocess, "run", run)
    with pytest.raises(BadInput, match="too long"):
        read_tensors(torch_bytes(torch.ones(2)), label="f")
    assert "OMP_NUM_THREADS" in seen
    assert not {RUN_UNSAFE, "HF_TOKEN"} & set(seen)


@pytest.mark.usefixtures("here")
def test_what_a_pickle_asked_for_is_named(tmp_path):
    with pytest.raises(BadInput, match=r"asks for '[a-z]+\.system', which is code"):
        read_tensors(torch_bytes({"x": Touches(tmp_path / "ran")}), label="f")


def zip_bomb(size: int) -> bytes:
    """A torch file whose storage unpacks to `size` zeros."""
    plain, packed = io.BytesIO(torch_bytes({"v": torch.zeros(4)})), io.BytesIO()
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as target:
        for entry in source.infolist():
            data = b"\0" * size if entry.filename.endswith("data/0") else source.read(entry)
            target.writestr(entry.filename, data)
    return packed.getvalue()


BOMBS = {
    "unpacks to 200 MB": (lambda: zip_bomb(200 << 20), "unpack to 200 MB"),
    "view of a billion elements": (lambda: torch_bytes({"v": torch.zeros(1).expand(10**9)}), "16,777,216 elements"),
    "many views": (lambda: torch_bytes([torch.zeros(1).expand(10**7) for _ in range(3)]), "16,777,216 elements"),
    "many entries": (lambda: torch_bytes(list(range(30_000))), "20,000 entries"),
    "deep": (lambda: torch_bytes([[[[[[[[torch.ones(2)]]]]]]]]), "6 levels"),
    "numpy header": (lambda: numpy_bytes(np.zeros(4, "f4")).replace(b"(4,), }   ", b"(10**9,), }")[:200], "damaged"),
    "numpy size": (lambda: numpy_bytes(np.zeros(4, "f4")).replace(b"(4,), }         ", b"(4000000000,), }"), "damaged"),
    "gguf size": (lambda: gguf_bytes(shape=1 << 40), "damaged|elements"),
    "gguf count": (lambda: gguf_bytes(tensors=1 << 50), "damaged"),
    "gguf array": (lambda: gguf_bytes(array=1 << 50), "damaged|memory"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused_without_the_memory(name):
    make, sentence = BOMBS[name]
    data = make()
    assert len(data) < 300_000
    before = psutil.Process().memory_info().rss
    with pytest.raises(BadInput, match=sentence):
        read_tensors(data, label=name)
    assert psutil.Process().memory_info().rss - before < 50 << 20
    assert read_tensors(numpy_bytes(np.ones(2, "f4")), label="next").arrays


def test_a_child_that_takes_too_much_memory_or_time_is_a_sentence(monkeypatch):
    monkeypatch.setattr(tensors, "_run_child", lambda action, path: (-14, b""))
    with pytest.raises(BadInput, match="too long or too much memory"):
        read_tensors(torch_bytes(torch.ones(2)), label="f")


FOREIGN = {
    "numpy objects": (numpy_bytes(np.array(["a"], dtype=object), allow_pickle=True), "damaged"),
    "numpy integers": (numpy_bytes(np.arange(3)), "int64 values"),
    "numpy records": (numpy_bytes(np.zeros(2, "f4,f4")), "values"),
    "zip": (b"PK\x03\x04" + b"\0" * 100, "damaged"),
    "model": (gguf_bytes(architecture="llama"), "architecture is 'llama'"),
    "text": (b"[1, 2, 3]" * 10, "safetensors"),
    "empty": (b"", "safetensors"),
}


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_files_are_a_sentence(name):
    data, sentence = FOREIGN[name]
    with pytest.raises(BadInput, match=sentence):
        read_tensors(data, label=name)


def npz_bytes(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


@pytest.mark.usefixtures("here")
def test_an_archive_of_numpy_arrays_is_read_by_name():
    read = read_tensors(npz_bytes(v=np.ones(3, "f2"), layer=np.array(12), layers=np.arange(2)), label="f")
    assert read.kind == "npz"
    assert {key: array.dtype for key, array in read.arrays.items()} == {("v",): np.float16}
    assert read.notes == {("layer",): "12", ("layers",): "[0, 1]"}


def lying_npz() -> bytes:
    """An archive whose one array claims to be larger than its bytes."""
    plain, packed = io.BytesIO(npz_bytes(v=np.zeros(4, "f4"))), io.BytesIO()
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as target:
        data = source.read("v.npy").replace(b"(4,), }        ", b"(4000000,), }  ")
        target.writestr("v.npy", data)
    return packed.getvalue()


@pytest.mark.usefixtures("here")
def test_an_archive_with_objects_or_a_false_size_is_refused():
    objects = io.BytesIO()
    np.savez(objects, v=np.array(["a"], dtype=object))
    for data in (objects.getvalue(), lying_npz()):
        with pytest.raises(BadInput, match="damaged, or holds objects"):
            read_tensors(data, label="f")


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("kind", ["pt", "npy", "gguf"])
def test_a_file_cut_anywhere_is_refused(kind):
    whole = {
        "pt": torch_bytes({"v": torch.arange(64.0)}),
        "npy": numpy_bytes(np.arange(64, dtype="f4")),
        "gguf": write_layers("gguf", {1: np.arange(64, dtype=np.float32)}),
    }[kind]
    for share in (0.1, 0.5, 0.98):
        with pytest.raises(BadInput):
            read_tensors(whole[: int(len(whole) * share)], label="cut")


def test_an_upload_above_the_limit_starts_no_child(monkeypatch):
    monkeypatch.setattr(tensors, "MAX_UPLOAD_BYTES", 100)
    monkeypatch.setattr(child.subprocess, "run", None)
    with pytest.raises(BadInput, match="are allowed"):
        read_tensors(torch_bytes(torch.ones(100)), label="f")


def test_the_limits_agree():
    assert tensor_child.MAX_BYTES == tensors.MAX_UPLOAD_BYTES
    assert tensor_child.REFUSED == tensors.REFUSED
    assert tensor_child.CPU_SECONDS < tensors.CHILD_SECONDS
