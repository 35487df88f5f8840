"""Child process that reads one untrusted tensor file, or writes vectors for other tools: a file in, bytes on stdout.

It knows nothing of directions: reading turns PyTorch, NumPy and GGUF files into safetensors, with the numbers and texts
beside the tensors as JSON in the metadata; writing is the inverse. It runs under an address-space limit and a timer;
`core.directions.tensors` starts it and judges what comes back.
"""

from __future__ import annotations

import json
import math
import re
import sys
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import save

from core.child import limit_process

if TYPE_CHECKING:
    import torch

CPU_SECONDS = 5.0
MAX_BYTES = 64 << 20
MAX_ENTRIES, MAX_DEPTH, MAX_IGNORED = 20_000, 6, 20
MAX_SAID, MAX_NOTE = 1000, 4000
REFUSED = 2
CONTROL_VECTOR = "controlvector"

Key = tuple[str | int, ...]


class Refused(Exception):
    """Why the file cannot be used, as the second half of a sentence."""


class Found:
    """The tensors, numbers and texts of a file, by their path in it; refuses to grow beyond the limits."""

    def __init__(self) -> None:
        self.arrays: dict[Key, NDArray[np.generic]] = {}
        self.numbers: list[tuple[Key, float]] = []
        self.notes: list[tuple[Key, str]] = []
        self.lists: list[Key] = []
        self.texts: dict[str, str] = {}
        self.kind = ""
        self.ignored: list[tuple[Key, str]] = []
        self._bytes = self._entries = 0

    def count(self, n_elements: int = 0) -> None:
        """Account for one entry of `n_elements` numbers before anything is made of it."""
        self._entries += 1
        self._bytes += 4 * n_elements
        if self._entries > MAX_ENTRIES:
            raise Refused(f"it holds more than {MAX_ENTRIES:,} entries")
        if self._bytes > MAX_BYTES:
            raise Refused(f"its tensors have more than {MAX_BYTES // 4:,} elements")

    def add(self, key: Key, array: NDArray[np.generic]) -> None:
        """Keep a float16, float32 or float64 array, copied in its plain order."""
        self.arrays[key] = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))

    def say(self, key: Key, array: NDArray[np.generic]) -> None:
        """Keep a few integers or one text beside the tensors, as they may name layers; arrays are listed too."""
        if array.dtype.kind in "iu" and array.size <= MAX_SAID:
            self.notes.append((key, json.dumps(array.tolist())))
        elif array.dtype.kind == "U" and array.size == 1:
            self.notes.append((key, str(array.reshape(-1)[0])[:MAX_NOTE]))
        if array.ndim:
            self.ignored.append((key, f"holds {array.dtype} values"))

    def to_bytes(self) -> bytes:
        """All of it as safetensors bytes; the n-th key is that of the tensor named n."""
        metadata = {
            "keys": list(self.arrays),
            "numbers": self.numbers,
            "notes": self.notes,
            "lists": self.lists,
            "kind": self.kind,
            "texts": self.texts,
            "ignored": self.ignored[:MAX_IGNORED],
        }
        return save(
            {str(number): array for number, array in enumerate(self.arrays.values())},
            metadata={name: json.dumps(value) for name, value in metadata.items()},
        )


def read_pt(path: Path) -> bytes:
    """Every floating-point tensor in the containers of a PyTorch file; nothing but containers and tensors is built."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
        size = sum(entry.file_size for entry in entries)
        if size > MAX_BYTES + (1 << 20):
            raise Refused(f"it would unpack to {size / 2**20:.0f} MB; {MAX_BYTES >> 20} MB are allowed")
        if any(entry.filename.endswith(".npy") for entry in entries):
            return _read_npz(path)
    import torch

    content = torch.load(path, map_location="cpu", weights_only=True)
    found = Found()
    _collect(content, (), found)
    return found.to_bytes()


def _collect_tensor(value: torch.Tensor, key: Key, found: Found) -> None:
    import torch

    found.count(value.numel())
    if value.is_floating_point() and value.layout is torch.strided:
        known = value.dtype in (torch.float16, torch.float32, torch.float64)
        found.add(key, value.detach().to(value.dtype if known else torch.float32).numpy())
    elif value.dtype in (torch.int32, torch.int64) and value.layout is torch.strided and value.numel() <= MAX_SAID:
        found.say(key, value.numpy())
    else:
        found.ignored.append((key, f"holds {str(value.dtype).removeprefix('torch.')} values"))


def _collect(value: object, key: Key, found: Found) -> None:
    import torch

    if len(key) > MAX_DEPTH:
        raise Refused(f"it is nested more than {MAX_DEPTH} levels deep")
    if isinstance(value, torch.Tensor):
        _collect_tensor(value, key, found)
        return
    found.count()
    if isinstance(value, Mapping):
        for name, item in value.items():
            if isinstance(name, str | int):
                _collect(item, (*key, name), found)
    elif isinstance(value, list | tuple):
        found.lists.append(key)
        for number, item in enumerate(value):
            _collect(item, (*key, number), found)
    elif isinstance(value, int | float) and math.isfinite(value):
        found.numbers.append((key, value))
    elif isinstance(value, str):
        found.notes.append((key, value[:MAX_NOTE]))


def _read_npz(path: Path) -> bytes:
    """Every floating-point array of an archive of NumPy arrays, by its name."""
    found = Found()
    found.kind = "npz"
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            with archive.open(entry) as file:
                version = np.lib.format.read_magic(file)
                header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
                shape, _, dtype = header[version](file)
            found.count(math.prod(shape))
            if dtype.hasobject or math.prod(shape) * dtype.itemsize > entry.file_size:
                raise Refused(f"its array {entry.filename[:60]!r} is damaged, or holds objects")
            with archive.open(entry) as file:
                array = np.lib.format.read_array(file, allow_pickle=False)
            key = (entry.filename.removesuffix(".npy"),)
            if array.dtype.kind == "f" and array.dtype.itemsize <= 8:
                found.add(key, array)
            else:
                found.say(key, array)
    return found.to_bytes()


def read_npy(path: Path) -> bytes:
    """The one array of a NumPy file."""
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    found = Found()
    found.count(array.size)
    if array.dtype.kind != "f" or array.dtype.itemsize > 8:
        raise Refused(f"it holds {array.dtype} values, not floating-point numbers")
    found.add((), array)
    return found.to_bytes()


def read_gguf(path: Path) -> bytes:
    """The tensors `direction.<layer>` of a control vector (llama.cpp, repeng), and the texts in its header."""
    from gguf import GGMLQuantizationType, GGUFReader, GGUFValueType

    reader = GGUFReader(path)
    found = Found()
    for name, field in reader.fields.items():
        if field.types == [GGUFValueType.STRING]:
            found.texts[name] = str(field.contents())
    architecture = found.texts.get("general.architecture", "")
    if architecture != CONTROL_VECTOR:
        raise Refused(f"its architecture is {architecture[:60]!r}, not {CONTROL_VECTOR!r}: it is no control vector")
    for tensor in reader.tensors:
        found.count(tensor.n_elements)
        if not re.fullmatch(r"direction\.[0-9]{1,4}", tensor.name):
            found.ignored.append(((tensor.name,), "is not named direction.<layer>"))
        elif tensor.tensor_type not in (GGMLQuantizationType.F32, GGMLQuantizationType.F16):
            found.ignored.append(((tensor.name,), f"holds {tensor.tensor_type.name} values"))
        else:
            found.add((int(tensor.name.split(".")[1]),), tensor.data)
    return found.to_bytes()


def write_pt(path: Path) -> bytes:
    """A safetensors file with one tensor per layer as a PyTorch file of {layer: tensor}."""
    import io

    import torch

    with safe_open(path, "pt") as source:
        content = {int(name): source.get_tensor(name) for name in sorted(source.keys(), key=int)}
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def write_gguf(path: Path) -> bytes:
    """A safetensors file with one tensor per layer as a control vector; its metadata becomes texts in the header."""
    from gguf import GGUFWriter

    target = path.with_suffix(".gguf")
    writer = GGUFWriter(target, CONTROL_VECTOR)
    with safe_open(path, "np") as source:
        for name, text in sorted((source.metadata() or {}).items()):
            writer.add_string(name, text)
        layers = sorted(int(name) for name in source.keys())  # noqa: SIM118
        writer.add_uint32(f"{CONTROL_VECTOR}.layer_count", len(layers))
        for layer in layers:
            writer.add_tensor(f"direction.{layer}", source.get_tensor(str(layer)))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return target.read_bytes()


ACTIONS: dict[str, tuple[Callable[[Path], bytes], str]] = {
    "read-pt": (read_pt, "torch"),
    "read-npy": (read_npy, "numpy"),
    "read-gguf": (read_gguf, "gguf"),
    "write-pt": (write_pt, "torch"),
    "write-gguf": (write_gguf, "gguf"),
}


def _reason(error: Exception) -> str:
    """What a person reads of an error of a reader; its own text may quote the file and is not passed on."""
    if isinstance(error, Refused):
        return str(error)
    if isinstance(error, MemoryError) or "allocate memory" in str(error):
        return "it needs too much memory"
    called = re.search(r"GLOBAL ([A-Za-z_][\w.]{0,80})", str(error))
    if called:
        return f"it asks for {called[1]!r}, which is code; only tensors in dicts and lists are read"
    return "it is damaged, cut off, or not of this format"


def answer(action: str, path: Path) -> tuple[int, bytes]:
    """Exit status and output of an action: its result, or REFUSED with {"error"}."""
    try:
        return 0, ACTIONS[action][0](path)
    except Exception as error:
        return REFUSED, json.dumps({"error": _reason(error)}).encode()


def main() -> None:
    """Answer the request on stdin, {"action", "path"}, on stdout; libraries are imported before the limits hold."""
    request = json.load(sys.stdin)
    __import__(ACTIONS[request["action"]][1])
    limit_process(CPU_SECONDS)
    status, output = answer(request["action"], Path(request["path"]))
    sys.stdout.buffer.write(output)
    sys.stdout.flush()
    sys.exit(status)


if __name__ == "__main__":
    main()
