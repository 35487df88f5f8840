"""Values to bytes and back, and the keys they are stored under. No pickle, no torch, no disk.

Every value becomes one safetensors file: its arrays are named by path ("spec.steering.0.direction.vector"), and the
one metadata entry holds the remaining fields as JSON. A digest inside covers every byte and the key that the value
belongs to, so that a flipped bit, a cut file or a value found under another key is noticed.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import operator
import re
import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import (
    Any,
    Generic,
    Literal,
    SupportsFloat,
    SupportsIndex,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, deserialize
from safetensors.numpy import save as to_safetensors

from core.values import canonical, is_simple

T = TypeVar("T")
AnyArray = NDArray[np.generic]
Arrays = dict[str, AnyArray]

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


def canonical_json(spec: object) -> bytes:
    """The spec as JSON with sorted keys; equal specs give equal bytes in every process."""
    return json.dumps(_plain(canonical(spec)), sort_keys=True, separators=(",", ":")).encode("ascii")


def key_of(kind: str, spec: object) -> str:
    """The key of what `spec` gives: the kind and a sha256 of the spec and SCHEMA_VERSION. ValueError: a bad kind."""
    if not KIND.fullmatch(kind):
        raise ValueError(f"{kind!r} is not a kind: lower-case letters, digits and _, at most 32.")
    head = f"{SCHEMA_VERSION}\n{kind}\n".encode()
    return f"{kind}-{hashlib.sha256(head + canonical_json(spec)).hexdigest()}"


def dump(value: object, *, key: str = "", saved_at: float = 0.0) -> bytes:
    """The value, a dataclass, as safetensors bytes bound to `key`. Raises TypeError when a field is not of its type."""
    arrays: Arrays = {}
    fields = _encode(type(value), value, "", arrays)
    envelope = {"digest": _UNSIGNED, "format": FORMAT, "type": type(value).__name__}
    text = json.dumps(envelope | {"saved_at": saved_at, "value": fields}, separators=(",", ":"))
    data = bytearray(to_safetensors(arrays, metadata={METADATA: text}))
    assert data[8 : _DIGEST.start] == _BEFORE_DIGEST, bytes(data[:80])
    data[_DIGEST] = _digest(data, key)
    return bytes(data)


def load(cls: type[T], data: bytes, *, key: str = "", max_header: int = MAX_HEADER_BYTES) -> T:
    """The value that `dump` wrote for the same key. Raises CorruptValue for anything else."""
    return load_stamped(cls, data, key=key, max_header=max_header).value


def load_stamped(cls: type[T], data: bytes, *, key: str = "", max_header: int = MAX_HEADER_BYTES) -> Stamped[T]:
    """As `load`, with the time it was written. Raises CorruptValue."""
    if data[8 : _DIGEST.start] != _BEFORE_DIGEST or data[_DIGEST] != _digest(data, key):
        raise CorruptValue("The bytes are damaged, or belong to another key.")
    container = parse_container(data, max_header=max_header)
    try:
        envelope = json.loads(container.metadata[METADATA])
        if (envelope["format"], envelope["type"]) != (FORMAT, cls.__name__):
            raise CorruptValue(f"It holds a {envelope['type']} in format {envelope['format']}.")
        arrays = {name: container.array(name) for name in container.tensors}
        value = _decode(cls, envelope["value"], "", arrays)
        saved_at = _decode(float, envelope["saved_at"], "saved_at", {})
    except (CorruptValue, MemoryError):
        raise
    except Exception as error:
        raise CorruptValue(f"The fields do not make a {cls.__name__}: {error}") from error
    if arrays:
        raise CorruptValue(f"It holds unknown arrays: {sorted(arrays)[:5]}.")
    return Stamped(value=value, saved_at=saved_at)


def is_ours(data: bytes) -> bool:
    """Whether the bytes begin like something `dump` wrote."""
    return data[8 : _DIGEST.start] == _BEFORE_DIGEST


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


@functools.cache
def _hints(cls: type) -> dict[str, object]:
    return get_type_hints(cls)


def _optional(hint: object) -> object:
    """X for the hint `X | None`; None for any other hint."""
    if get_origin(hint) not in (Union, types.UnionType):
        return None
    (inner,) = (arg for arg in get_args(hint) if arg is not type(None))
    return inner


def _array_dtype(hint: object) -> np.dtype[Any]:
    dtype: np.dtype[Any] = np.dtype(get_args(get_args(hint)[1])[0])
    return dtype


def _as_str(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not text")
    return str(value)


def _as_int(value: object) -> int:
    if type(value) is int:
        return value
    if isinstance(value, bool) or not isinstance(value, SupportsIndex):
        raise TypeError(f"{value!r} is not an integer")
    return int(operator.index(value))


def _as_float(value: object) -> float:
    if type(value) is float:
        return value
    if isinstance(value, bool) or not isinstance(value, SupportsFloat | SupportsIndex):
        raise TypeError(f"{value!r} is not a number")
    return float(value)


_SCALARS: dict[object, Callable[[object], str | int | float]] = {str: _as_str, int: _as_int, float: _as_float}


def _item_hints(hint: object, count: int) -> list[object]:
    args = get_args(hint)
    hints = [args[0]] * count if len(args) == 2 and args[1] is Ellipsis else list(args)
    if len(hints) != count:
        raise TypeError(f"{count} items for {hint}")
    return hints


def _at(path: str, part: object) -> str:
    return f"{path}.{part}" if path else str(part)


def _encode(hint: object, value: object, path: str, arrays: Arrays) -> object:
    """JSON-ready form of a value of the hinted type; its arrays go to `arrays` under their path."""
    if dataclasses.is_dataclass(hint):
        return {
            name: _encode(inner, getattr(value, name), _at(path, name), arrays)
            for name, inner in _hints(hint).items()  # type: ignore[arg-type]
        }
    if hint in _SCALARS:
        return _SCALARS[hint](value)
    inner, origin = _optional(hint), get_origin(hint)
    if inner is not None:
        return None if value is None else _encode(inner, value, path, arrays)
    if origin is np.ndarray:
        arrays[path] = np.asarray(value, dtype=_array_dtype(hint), order="C")
        return None
    if origin is Literal and value in get_args(hint):
        return value
    if origin is tuple and isinstance(value, tuple | list):
        hints = _item_hints(hint, len(value))
        if hints and hints[0] in _SCALARS and len(set(hints)) == 1:
            return [_SCALARS[hints[0]](item) for item in value]
        return [_encode(h, item, _at(path, i), arrays) for i, (h, item) in enumerate(zip(hints, value, strict=True))]
    raise TypeError(f"{path}: {type(value).__name__} is not {hint}")


def _decode(hint: object, raw: object, path: str, arrays: Arrays) -> Any:
    """Inverse of `_encode`; takes what it uses out of `arrays`. Raises TypeError, KeyError or ValueError."""
    if dataclasses.is_dataclass(hint):
        return _decode_fields(hint, raw, path, arrays)
    if hint in _SCALARS:
        return _SCALARS[hint](raw)
    inner, origin = _optional(hint), get_origin(hint)
    if inner is not None:
        return None if raw is None else _decode(inner, raw, path, arrays)
    if origin is np.ndarray:
        array = arrays.pop(path)
        if array.dtype != _array_dtype(hint):
            raise TypeError(f"{path} holds {array.dtype} values")
        return array
    if origin is Literal and raw in get_args(hint):
        return raw
    if origin is tuple and isinstance(raw, list):
        hints = _item_hints(hint, len(raw))
        if hints and hints[0] in _SCALARS and len(set(hints)) == 1:
            return tuple([_SCALARS[hints[0]](item) for item in raw])
        return tuple(_decode(h, item, _at(path, i), arrays) for i, (h, item) in enumerate(zip(hints, raw, strict=True)))
    raise TypeError(f"{path}: {type(raw).__name__} is not {hint}")


def _decode_fields(cls: Any, raw: object, path: str, arrays: Arrays) -> Any:
    """The dataclass from its fields; a missing one takes its default, one of `cls.DROPPED` is passed over.

    `DROPPED` names fields that values were once stored with. Every other unknown field is refused.
    """
    dropped: frozenset[str] = getattr(cls, "DROPPED", frozenset())
    if not isinstance(raw, dict) or not raw.keys() <= _hints(cls).keys() | dropped:
        raise TypeError(f"{path or 'value'} does not hold the fields of {cls.__name__}")
    for name in dropped:
        arrays.pop(_at(path, name), None)
    return cls(
        **{n: _decode(_hints(cls)[n], item, _at(path, n), arrays) for n, item in raw.items() if n not in dropped}
    )
