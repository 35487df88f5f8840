"""Tensor files of other tools, which are not trusted: bytes in, named arrays out, and the inverse for exports.

safetensors is parsed here; PyTorch, NumPy and GGUF files are read and written by `tensor_child`, one limited child
process at a time. Knows nothing of directions.
"""

from __future__ import annotations

import json
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save as to_safetensors

from core.child import run_child
from core.disk import codec
from core.errors import BadInput
from core.values import AnyArray

Kind = Literal["safetensors", "pt", "npy", "npz", "gguf"]
Key = tuple[str | int, ...]

MAX_UPLOAD_BYTES = 64 << 20
MAX_HEADER_BYTES = 1 << 20
CHILD_SECONDS = 60
REFUSED = 2
READABLE = ("safetensors", "pt", "npy", "npz", "gguf")

_MAGIC: tuple[tuple[bytes, Kind], ...] = (
    (b"PK\x03\x04", "pt"),
    (b"\x93NUMPY", "npy"),
    (b"GGUF", "gguf"),
)
_NAMES: dict[Kind, str] = {
    "safetensors": "safetensors",
    "pt": "PyTorch",
    "npy": "NumPy",
    "npz": "NumPy",
    "gguf": "GGUF",
}
_one_child = threading.Lock()


@dataclass(frozen=True, kw_only=True)
class TensorFile:
    """What a file holds: arrays, numbers and texts by their path in it, and what could not be used with its reason."""

    kind: Kind
    arrays: dict[Key, AnyArray] = field(repr=False)
    numbers: dict[Key, float]
    texts: dict[str, str]
    ignored: tuple[tuple[Key, str], ...] = ()
    notes: dict[Key, str] = field(default_factory=dict)
    """Texts beside the tensors, by their path; `texts` are those of a header."""
    lists: frozenset[Key] = frozenset()
    """Paths of lists: the number of an item is its place, and nothing that somebody named."""


def kind_of(data: bytes) -> Kind:
    """The kind of file by its first bytes; what is no other is taken for safetensors."""
    if data[:1] == b"\x80" and data[8:9] != b"{":
        return "pt"
    return next((kind for magic, kind in _MAGIC if data.startswith(magic)), "safetensors")


def check_size(data: bytes) -> None:
    """Raise BadInput for a file above the limit."""
    if len(data) > MAX_UPLOAD_BYTES:
        raise BadInput(
            f"The file is {len(data) / 2**20:.0f} MB large; {MAX_UPLOAD_BYTES >> 20} MB are allowed.",
            "Save the vector alone, without the model's other tensors.",
        )


def read_tensors(data: bytes, *, label: str) -> TensorFile:
    """The tensors of a safetensors, PyTorch, NumPy or GGUF file; `label` names it in errors. Raises BadInput."""
    check_size(data)
    kind = kind_of(data)
    if kind != "safetensors":
        data = _in_child(f"read-{kind}", data, f"The file {label!r} cannot be read as a {_NAMES[kind]} file")
    limit = MAX_HEADER_BYTES if kind == "safetensors" else MAX_UPLOAD_BYTES
    try:
        container = codec.parse_container(data, max_header=limit)
        arrays = {name: container.array(name) for name in container.tensors}
    except codec.CorruptValue as error:
        raise BadInput(
            f"The file {label!r} cannot be read: {error}", "Choose a .safetensors, .pt, .npy, .npz or .gguf file."
        ) from error
    if kind == "safetensors":
        return TensorFile(
            kind=kind, arrays={(name,): a for name, a in arrays.items()}, numbers={}, texts=container.metadata
        )
    beside = {name: json.loads(text) for name, text in container.metadata.items()}
    return TensorFile(
        kind=beside["kind"] or kind,
        arrays={tuple(key): arrays[str(number)] for number, key in enumerate(beside["keys"])},
        numbers={tuple(key): value for key, value in beside["numbers"]},
        texts=beside["texts"],
        ignored=tuple((tuple(key), reason) for key, reason in beside["ignored"]),
        notes={tuple(key): text for key, text in beside["notes"]},
        lists=frozenset(tuple(key) for key in beside["lists"]),
    )


def write_layers(
    kind: Literal["pt", "gguf"], layers: Mapping[int, NDArray[np.float32]], *, texts: Mapping[str, str] | None = None
) -> bytes:
    """A PyTorch file of {layer: tensor}, or a GGUF control vector with `texts` in its header. Raises BadInput."""
    data = to_safetensors({str(layer): array for layer, array in layers.items()}, metadata=dict(texts or {}))
    return _in_child(f"write-{kind}", data, f"The {_NAMES[kind]} file could not be written")


def _in_child(action: str, data: bytes, failed: str) -> bytes:
    """What `core.directions.tensor_child` answers for the data. Raises BadInput that begins with `failed`."""
    with _one_child, tempfile.TemporaryDirectory(prefix="retrace-") as folder:
        path = Path(folder) / "tensors"
        path.write_bytes(data)
        status, output = _run_child(action, path)
    if status == 0:
        return output
    reason = "reading it took too long or too much memory"
    if status == REFUSED:
        reason = str(json.loads(output)["error"])
    raise _refused(failed, reason)


def _run_child(action: str, path: Path) -> tuple[int, bytes]:
    return run_child("core.directions.tensor_child", {"action": action, "path": str(path)}, seconds=CHILD_SECONDS)


def _refused(failed: str, reason: str) -> BadInput:
    return BadInput(
        f"{failed}: {reason}.", "Save one tensor, or a plain dict of tensors, and choose that file; nothing was kept."
    )
