"""Values to bytes and back, and the keys they are stored under. No pickle, no torch, no disk.

Every value becomes one safetensors file: its arrays are named by path ("spec.steering.0.direction.vector"), and the
one metadata entry holds the remaining fields as JSON. A digest inside covers every byte and the key that the value
belongs to, so that a flipped bit, a cut file or a value found under another key is noticed.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from safetensors import SafetensorError, deserialize
from safetensors.numpy import save as to_safetensors

from core.disk.fields import Arrays, decode, encode
from core.values import AnyArray, Formerly, canonical, is_simple

T = TypeVar("T")

SCHEMA_VERSION = 1
"""Part of every key: raise it when the same spec would give another result."""
FORMAT = 1
KIND = re.compile(r"[a-z][a-z0-9_]{0,31}")
METADATA = "retrace"
MAX_HEADER_BYTES = 100_000_000

_UNSIGNED = "0" * 64
_BEFORE_DIGEST = b'{"__metadata__":{"retrace":"{\\"digest\\":\\"'
_DIGEST = slice(8 + len(_BEFORE_DIGEST), 8 + len(_BEFORE_DIGEST) + len(_UNSIGNED))
_DTYPES = {"F32": "<f4", "I64": "<i8", "F64": "<f8", "F16": "<f2"}


class CorruptValue(ValueError):
    """Bytes that are not an intact value of the type, or under the key, that was asked for."""


@dataclass(frozen=True, kw_only=True)
class Stamp:
    """When a value was written, in seconds since 1970, and what it was measured on, as far as it is known."""

    saved_at: float
    measured: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Stamped(Generic[T]):
    """A value and when it was written, in seconds since 1970."""

    value: T
    saved_at: float


@dataclass(frozen=True, kw_only=True)
class Container:
    """A parsed safetensors file: string metadata, and per tensor its dtype name, shape and little-endian bytes."""

    metadata: dict[str, str]
    tensors: dict[str, tuple[str, tuple[int, ...], bytearray]]

    def array(self, name: str) -> AnyArray:
        """The tensor as a writable array; bfloat16 becomes float32. Raises CorruptValue for another dtype."""
        dtype, shape, data = self.tensors[name]
        if dtype == "BF16":
            return (np.frombuffer(data, "<u2").astype("<u4") << 16).view("<f4").reshape(shape)
        if dtype not in _DTYPES:
            raise CorruptValue(f"The tensor {name!r} holds {dtype} values.")
        return np.frombuffer(data, _DTYPES[dtype]).reshape(shape)


def canonical_json(spec: object, before: Formerly | None = None) -> bytes:
    """The spec as JSON with sorted keys; equal specs give equal bytes in every process. `before` as for `canonical`."""
    return json.dumps(_plain(canonical(spec, before)), sort_keys=True, separators=(",", ":")).encode("ascii")


def key_of(kind: str, spec: object, before: Formerly | None = None) -> str:
    """The key of what `spec` gives: the kind and a sha256 of the spec and SCHEMA_VERSION. ValueError: a bad kind.

    With `before`, the key that it had before keys named models by content.
    """
    if not KIND.fullmatch(kind):
        raise ValueError(f"{kind!r} is not a kind: lower-case letters, digits and _, at most 32.")
    head = f"{SCHEMA_VERSION}\n{kind}\n".encode()
    return f"{kind}-{hashlib.sha256(head + canonical_json(spec, before)).hexdigest()}"


def dump(value: object, *, key: str = "", saved_at: float = 0.0, measured: Mapping[str, str] | None = None) -> bytes:
    """The value, a dataclass, as safetensors bytes bound to `key`. Raises TypeError when a field is not of its type.

    `measured` is told beside it (`read_stamp`).
    """
    arrays: Arrays = {}
    fields = encode(type(value), value, "", arrays)
    envelope = {"digest": _UNSIGNED, "format": FORMAT, "type": type(value).__name__}
    told = {"measured": dict(measured)} if measured else {}
    text = json.dumps(envelope | told | {"saved_at": saved_at, "value": fields}, separators=(",", ":"))
    data = bytearray(to_safetensors(arrays, metadata={METADATA: text}))
    assert data[8 : _DIGEST.start] == _BEFORE_DIGEST, bytes(data[:80])
    data[_DIGEST] = _digest(data, key)
    return bytes(data)


def load(cls: type[T], data: bytes, *, key: str = "", max_header: int = MAX_HEADER_BYTES) -> T:
    """The value that `dump` wrote for the same key. Raises CorruptValue for anything else."""
    return load_stamped(cls, data, key=key, max_header=max_header).value


def load_stamped(cls: type[T], data: bytes, *, key: str = "", max_header: int = MAX_HEADER_BYTES) -> Stamped[T]:
    """As `load`, with the time it was written. Raises CorruptValue."""
    if not belongs_to(data, key):
        raise CorruptValue("The bytes are damaged, or belong to another key.")
    container = parse_container(data, max_header=max_header)
    try:
        envelope = json.loads(container.metadata[METADATA])
        if (envelope["format"], envelope["type"]) != (FORMAT, cls.__name__):
            raise CorruptValue(f"It holds a {envelope['type']} in format {envelope['format']}.")
        arrays = {name: container.array(name) for name in container.tensors}
        value = decode(cls, envelope["value"], "", arrays)
        saved_at = decode(float, envelope["saved_at"], "saved_at", {})
    except (CorruptValue, MemoryError):
        raise
    except Exception as error:
        raise CorruptValue(f"The fields do not make a {cls.__name__}: {error}") from error
    if arrays:
        raise CorruptValue(f"It holds unknown arrays: {sorted(arrays)[:5]}.")
    return Stamped(value=value, saved_at=saved_at)


def peek(cls: type[T], head: bytes, name: str) -> T:
    """A field without arrays of a stored value, from the beginning of its bytes. The digest is not looked at.

    Raises CorruptValue.
    """
    try:
        metadata = json.loads(head[8 : 8 + int.from_bytes(head[:8], "little")])["__metadata__"]
        found: T = decode(cls, json.loads(metadata[METADATA])["value"][name], "", {})
        return found
    except Exception as error:
        raise CorruptValue(f"There is no field {name!r}.") from error


def read_stamp(data: bytes, *, key: str = "") -> Stamp:
    """When and on what the value was made that `dump` wrote for the same key. Raises CorruptValue for anything else."""
    if not belongs_to(data, key):
        raise CorruptValue("The bytes are damaged, or belong to another key.")
    try:
        size = int.from_bytes(data[:8], "little")
        envelope = json.loads(json.loads(data[8 : 8 + size])["__metadata__"][METADATA])
        told = envelope.get("measured") or {}
        return Stamp(
            saved_at=float(envelope["saved_at"]), measured={str(k)[:40]: str(v)[:200] for k, v in told.items()}
        )
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise CorruptValue("It tells nothing of when it was written.") from error


def is_ours(data: bytes) -> bool:
    """Whether the bytes begin like something `dump` wrote."""
    return data[8 : _DIGEST.start] == _BEFORE_DIGEST


def belongs_to(data: bytes, key: str) -> bool:
    """Whether the bytes are whole, as `dump` wrote them for the key."""
    return is_ours(data) and data[_DIGEST] == _digest(data, key)


def parse_container(data: bytes, *, max_header: int = MAX_HEADER_BYTES) -> Container:
    """The metadata and tensors of a safetensors file. Raises CorruptValue when it is not one."""
    size = int.from_bytes(data[:8], "little")
    if len(data) < 8 or not 2 <= size <= min(max_header, len(data) - 8):
        raise CorruptValue("It is not a complete safetensors file, or its header is too large.")
    try:
        tensors = deserialize(data)  # type: ignore[no-untyped-call]
        metadata = json.loads(data[8 : 8 + size]).get("__metadata__") or {}
    except (SafetensorError, ValueError, AttributeError, RecursionError) as error:
        raise CorruptValue("It is not a safetensors file, or it is damaged.") from error
    found = {name: (str(t["dtype"]), tuple(t["shape"]), t["data"]) for name, t in tensors}
    return Container(metadata={str(k): str(v) for k, v in metadata.items()}, tensors=found)


def _digest(data: bytes | bytearray, key: str) -> bytes:
    """(64,) hex sha256 of the key and of the data with its digest blanked."""
    view = memoryview(data)
    total = hashlib.sha256(key.encode("utf-8", "surrogatepass") + b"\0")
    for piece in (view[: _DIGEST.start], _UNSIGNED.encode(), view[_DIGEST.stop :]):
        total.update(piece)
    return total.hexdigest().encode()


def _plain(value: object) -> object:
    """Canonical form with one spelling per number: 2.0 and 2 are equal specs, and so are numpy's scalars."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list):
        return value if is_simple(value) else [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return int(value) if isinstance(value, float) and value.is_integer() else value
