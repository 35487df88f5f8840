"""The fields of a dataclass as JSON and arrays, and back, by the types that the class states. No bytes, no disk.

An array field says by `Numbers` what it holds: what numpy's own annotations look like inside changes with its version.
"""

from __future__ import annotations

import dataclasses
import functools
import operator
import types
from collections.abc import Callable
from typing import Any, Literal, SupportsFloat, SupportsIndex, Union, get_args, get_origin, get_type_hints

import numpy as np

from core.values import AnyArray, Numbers

Arrays = dict[str, AnyArray]


@functools.cache
def _hints(cls: type) -> dict[str, object]:
    return get_type_hints(cls, include_extras=True)


def _optional(hint: object) -> object:
    """X for the hint `X | None`; None for any other hint."""
    if get_origin(hint) not in (Union, types.UnionType):
        return None
    (inner,) = (arg for arg in get_args(hint) if arg is not type(None))
    return inner


def _numbers(hint: object) -> Numbers | None:
    """What the project itself says of an array field; None for a field that is no array."""
    stated = getattr(hint, "__metadata__", ())
    return next((fact for fact in stated if isinstance(fact, Numbers)), None)


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


def _as_bool(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{type(value).__name__} is not a truth value")
    return value


_SCALARS: dict[object, Callable[[object], str | int | float]] = {
    str: _as_str,
    int: _as_int,
    float: _as_float,
    bool: _as_bool,
}


def _item_hints(hint: object, count: int) -> list[object]:
    args = get_args(hint)
    hints = [args[0]] * count if len(args) == 2 and args[1] is Ellipsis else list(args)
    if len(hints) != count:
        raise TypeError(f"{count} items for {hint}")
    return hints


def _at(path: str, part: object) -> str:
    return f"{path}.{part}" if path else str(part)


def encode(hint: object, value: object, path: str, arrays: Arrays) -> object:
    """JSON-ready form of a value of the hinted type; its arrays go to `arrays` under their path."""
    if dataclasses.is_dataclass(hint):
        return {
            name: encode(inner, getattr(value, name), _at(path, name), arrays)
            for name, inner in _hints(hint).items()  # type: ignore[arg-type]
        }
    if hint in _SCALARS:
        return _SCALARS[hint](value)
    inner, origin = _optional(hint), get_origin(hint)
    if inner is not None:
        return None if value is None else encode(inner, value, path, arrays)
    numbers = _numbers(hint)
    if numbers is not None:
        arrays[path] = np.asarray(value, dtype=numbers.dtype, order="C")
        return None
    if origin is Literal and value in get_args(hint):
        return value
    if origin is tuple and isinstance(value, tuple | list):
        hints = _item_hints(hint, len(value))
        if hints and hints[0] in _SCALARS and len(set(hints)) == 1:
            return [_SCALARS[hints[0]](item) for item in value]
        return [encode(h, item, _at(path, i), arrays) for i, (h, item) in enumerate(zip(hints, value, strict=True))]
    raise TypeError(f"{path}: {type(value).__name__} is not {hint}")


def decode(hint: object, raw: object, path: str, arrays: Arrays) -> Any:
    """Inverse of `encode`; takes what it uses out of `arrays`. Raises TypeError, KeyError or ValueError."""
    if dataclasses.is_dataclass(hint):
        return decoded(hint, raw, path, arrays)
    if hint in _SCALARS:
        return _SCALARS[hint](raw)
    inner, origin = _optional(hint), get_origin(hint)
    if inner is not None:
        return None if raw is None else decode(inner, raw, path, arrays)
    numbers = _numbers(hint)
    if numbers is not None:
        array = arrays.pop(path)
        if array.dtype != np.dtype(numbers.dtype):
            raise TypeError(f"{path} holds {array.dtype} values")
        return array
    if origin is Literal and raw in get_args(hint):
        return raw
    if origin is tuple and isinstance(raw, list):
        hints = _item_hints(hint, len(raw))
        if hints and hints[0] in _SCALARS and len(set(hints)) == 1:
            return tuple([_SCALARS[hints[0]](item) for item in raw])
        return tuple(decode(h, item, _at(path, i), arrays) for i, (h, item) in enumerate(zip(hints, raw, strict=True)))
    raise TypeError(f"{path}: {type(raw).__name__} is not {hint}")


def decoded(cls: Any, raw: object, path: str, arrays: Arrays) -> Any:
    """The dataclass from its fields; a missing one takes its default, one of `cls.DROPPED` is passed over.

    `DROPPED` names fields that values were once stored with. Every other unknown field is refused.
    """
    dropped: frozenset[str] = getattr(cls, "DROPPED", frozenset())
    if not isinstance(raw, dict) or not raw.keys() <= _hints(cls).keys() | dropped:
        raise TypeError(f"{path or 'value'} does not hold the fields of {cls.__name__}")
    for name in dropped:
        arrays.pop(_at(path, name), None)
    return cls(**{n: decode(_hints(cls)[n], item, _at(path, n), arrays) for n, item in raw.items() if n not in dropped})
