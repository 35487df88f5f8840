"""One file of a model, from anyone: a regular one of bounded size, JSON with few enough values, an undamaged header.

Knows neither which files make a model nor what stands in a config.
"""

from __future__ import annotations

import json
import os
import stat
import struct
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import BinaryIO

from core.errors import ModelUnavailable

MAX_TENSORS = 100_000
"""Weights of one model; the largest mixtures of experts have about 50,000."""
MAX_JSON_VALUES = 1_000_000
_MB = 2**20
_MAX_HEADER = 32 * _MB
_MAX_BYTES = {
    "config.json": 2 * _MB,
    "generation_config.json": 2 * _MB,
    "chat_template.json": 2 * _MB,
    "chat_template.jinja": 2 * _MB,
    "adapter_config.json": 2 * _MB,
    "tokenizer_config.json": 16 * _MB,
    "special_tokens_map.json": 16 * _MB,
    "added_tokens.json": 16 * _MB,
    "model.safetensors.index.json": 32 * _MB,
    "tokenizer.json": 64 * _MB,
    "tokenizer.model": 64 * _MB,
    "vocab.json": 64 * _MB,
    "vocab.txt": 64 * _MB,
    "merges.txt": 64 * _MB,
}
"""What a file of this name may take; several times the largest ones known."""
_WIDTHS = dict.fromkeys(("BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0"), 1)
_WIDTHS |= dict.fromkeys(("U16", "I16", "F16", "BF16"), 2) | dict.fromkeys(("U32", "I32", "F32"), 4)
_WIDTHS |= dict.fromkeys(("U64", "I64", "F64", "C64"), 8)
"""Bytes of a number by the name of its type in a safetensors header."""
AGAIN = "Fetch the model's files again, or choose another."


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """One stored weight: its name and shape."""

    name: str
    shape: tuple[int, ...]


def check_file(path: Path) -> None:
    """Raise ModelUnavailable unless `path` is a regular file, or a link to one, of a size that fits its name.

    To be called before it is opened: opening a pipe waits for its other end.
    """
    try:
        status = path.stat()
    except OSError:
        why = "is a link to a file that is not there" if path.is_symlink() else "is missing"
        raise ModelUnavailable(f"{path.name} of the model {why}.", AGAIN) from None
    if not stat.S_ISREG(status.st_mode):
        raise ModelUnavailable(f"{path.name} of the model is not a regular file.", AGAIN)
    limit = _MAX_BYTES.get(path.name)
    if limit is not None and status.st_size > limit:
        raise ModelUnavailable(
            f"{path.name} of the model is larger than {limit // _MB} MB, which no model needs.", AGAIN
        )


def read_json(path: Path) -> dict[str, object]:
    """The JSON object in `path`; raises ModelUnavailable where it is missing, broken, no object, or holds too much."""
    check_file(path)
    try:
        with _opened(path) as file:
            data = file.read(_MAX_BYTES.get(path.name, 64 * _MB))
        if _count_values(data) > MAX_JSON_VALUES:
            raise ModelUnavailable(f"{path.name} of the model holds more than {MAX_JSON_VALUES:,} values.", AGAIN)
        value = json.loads(data.decode("utf-8"))
    except (OSError, ValueError, RecursionError):
        raise ModelUnavailable(f"{path.name} of the model cannot be read as JSON.", AGAIN) from None
    if not isinstance(value, dict):
        raise ModelUnavailable(f"{path.name} of the model does not hold a JSON object.", AGAIN)
    return value


def read_header(path: Path) -> list[Tensor]:
    """The tensors of a safetensors file; raises ModelUnavailable where it is damaged, cut off, or holds too many.

    Checked before loading because reading past the end of a memory-mapped file ends the process.
    """
    check_file(path)
    try:
        with _opened(path) as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > _MAX_HEADER:
                raise ValueError("header too long")
            data = file.read(length)
            n_bytes = os.fstat(file.fileno()).st_size - 8 - length
        check_count(data.count(b"{") - 2, path.name)
        if _count_values(data) > 16 * MAX_TENSORS:
            raise ValueError("too many values")
        return _tensors(json.loads(data), n_bytes)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, struct.error):
        raise ModelUnavailable(
            f"The weights file {path.name} is damaged or cut off.", "Fetch the file again; the copy here is incomplete."
        ) from None


def read_note(path: Path, name: str) -> str:
    """A text beside the tensors of a safetensors file that `read_header` has checked, or nothing."""
    with _opened(path) as file:
        (length,) = struct.unpack("<Q", file.read(8))
        notes = json.loads(file.read(length)).get("__metadata__")
    found = notes.get(name) if isinstance(notes, dict) else None
    return found if isinstance(found, str) else ""


def check_count(n_tensors: int, name: str) -> None:
    """Raise ModelUnavailable for more weights than any model has."""
    if n_tensors > MAX_TENSORS:
        raise ModelUnavailable(
            f"{name} holds more than {MAX_TENSORS:,} weights, which no language model has.",
            "Choose another model, or fetch its files again.",
        )


def _opened(path: Path) -> BinaryIO:
    """Open for reading, without waiting even where the file has become a pipe."""
    return os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")


def _count_values(data: bytes) -> int:
    """At most so many values stand in the JSON."""
    return data.count(b",") + data.count(b"[") + data.count(b"{")


def _tensors(header: dict[str, dict[str, object]], n_bytes: int) -> list[Tensor]:
    """The tensors of a header; ValueError unless they fill the `n_bytes` of numbers without gap or overlap."""
    header.pop("__metadata__", None)
    found, places = [], []
    for name, entry in header.items():
        shape, (start, end) = _integers(entry["shape"]), _integers(entry["data_offsets"])
        if end - start != prod(shape) * _WIDTHS[str(entry["dtype"])]:
            raise ValueError("a shape that is not that of its bytes")
        found.append(Tensor(name=name, shape=shape))
        places.append((start, end))
    at = 0
    for start, end in sorted(places):
        if start != at:
            raise ValueError("a gap or an overlap")
        at = end
    if at != n_bytes:
        raise ValueError("wrong size")
    return found


def _integers(value: object) -> tuple[int, ...]:
    """A list of whole numbers from 0, or ValueError."""
    if not isinstance(value, list) or any(type(n) is not int or n < 0 for n in value):
        raise ValueError("no list of whole numbers")
    return tuple(value)
