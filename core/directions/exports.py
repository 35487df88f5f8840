"""Directions in the formats of other tools, and back from our own GGUF. No torch: a child process writes .pt and GGUF.

A layer is the block whose output the vector is added to, from 0, here and in every format: `direction.<il>` of a
control vector is added by llama.cpp and repeng to the output of block il, and a tensor under {layer: tensor} by
steering-vectors to the output of decoder block `layer`. llama.cpp has no control vector for block 0, and its own
cvector-generator names the vector that it took from block il `direction.<il + 1>`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import math
import re
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from core.directions.direction import MAX_NORM, MIN_NORM, Direction, checked_vector
from core.directions.folder import MAX_NAME, MAX_NOTE, clean_notes, direction_bytes
from core.directions.tensors import write_layers
from core.disk.kept import SUFFIX
from core.errors import BadDirection, BadInput
from core.text.lines import kept_line
from core.values import Floats

Scale = Literal["unit", "raw"]
Format = Literal["safetensors", "gguf", "npy", "pt"]
FORMATS: dict[Format, str] = {
    "safetensors": "safetensors with provenance",
    "gguf": "GGUF control vector (llama.cpp, repeng)",
    "npy": "NumPy array",
    "pt": "PyTorch {layer: vector} (steering-vectors)",
}
STORY, CONVENTION = "retrace.direction", "retrace.layers"
UNIT_ROUNDING = 1e-6
_TOLD = ("name", "norm", "resid_norm", "source_model", "fingerprint", "provenance")


def check_exportable(direction: Direction, to: Format) -> None:
    """Raise BadInput where the format cannot hold the direction."""
    assert to in get_args(Format), to
    if to == "gguf" and direction.layer == 0:
        raise BadInput(
            f"The direction {direction.name!r} is of layer 0, and llama.cpp has no control vector for layer 0.",
            "Export it in another format.",
        )


def export_bytes(direction: Direction, to: Format, *, scale: Scale = "unit") -> bytes:
    """The direction as a file; `scale` says which length it has in the formats of other tools. Raises BadInput.

    Only safetensors holds everything. GGUF carries the provenance as a text that other tools pass over.
    """
    check_exportable(direction, to)
    if to == "safetensors":
        return direction_bytes(direction)
    vector = direction.vector if scale == "unit" else _raw(direction)
    if to == "npy":
        buffer = io.BytesIO()
        np.save(buffer, vector, allow_pickle=False)
        return buffer.getvalue()
    if to == "pt":
        return write_layers("pt", {direction.layer: vector})
    story = {name: getattr(direction, name) for name in _TOLD} | {"digest": direction.digest, "scale": scale}
    if scale == "raw":
        story["rounding"] = _rounding(direction, vector)
    texts = {"controlvector.model_hint": direction.source_model or "unknown", STORY: json.dumps(story)}
    texts[CONVENTION] = "direction.N is added to the output of block N; blocks are counted from 0"
    return write_layers("gguf", {direction.layer: vector}, texts=texts)


def _raw(direction: Direction) -> Floats:
    raw: Floats = (direction.vector.astype(np.float64) * direction.norm).astype(np.float32)
    return raw


def _rounding(direction: Direction, raw: Floats) -> list[tuple[int, int]]:
    """Where the raw vector ÷ norm is not the unit vector to the last bit: place, and by how many float32 steps."""
    steps = direction.vector.view(np.int32).astype(np.int64) - _divided(raw, direction.norm).view(np.int32)
    return [(int(i), int(steps[i])) for i in np.flatnonzero(steps)]


def _divided(raw: Floats, norm: float) -> Floats:
    unit: Floats = (raw.astype(np.float64) / norm).astype(np.float32)
    return unit


def _restored(raw: Floats, norm: float, rounding: object) -> Floats | None:
    """The unit vector whose raw export this is, by its rounding; None where that cannot be."""
    unit = _divided(raw, norm)
    for item in rounding if isinstance(rounding, list) else ():
        if not (isinstance(item, list) and len(item) == 2 and all(type(n) is int for n in item)):
            return None
        place, steps = item
        if not (0 <= place < len(unit) and 0 <= unit.view(np.int32)[place].astype(np.int64) + steps + 2**31 < 2**32):
            return None
        unit.view(np.int32)[place] += np.int32(steps)
    return unit


def direction_of(vector: NDArray[np.generic], **fields: Any) -> Direction:
    """As Direction.from_raw; a vector of length 1 to float32's rounding is kept bit for bit, with norm 1."""
    if vector.ndim == 1 and vector.dtype == np.float32 and np.isfinite(vector).all():
        length = float(np.linalg.norm(vector.astype(np.float64)))
        if abs(length - 1) <= UNIT_ROUNDING:
            return Direction(vector=vector.astype(np.float32, copy=False), norm=1.0, **fields)
    return Direction.from_raw(vector, **fields)


def retold(vector: NDArray[np.generic], story: str, *, layer: int, label: str) -> Direction:
    """The direction of a GGUF export of ours; what its text claims counts only where it has the right type and range.

    The vector is restored to the last bit, and its digest is that of the export. Raises BadDirection for the vector.
    """
    stated = _object(story)

    def text(key: str) -> str:
        value = stated.get(key)
        return kept_line(value, MAX_NOTE) if isinstance(value, str) else ""

    def number(key: str, low: float, high: float, default: float) -> float:
        value = stated.get(key)
        if isinstance(value, int | float) and math.isfinite(value) and low <= value <= high:
            return float(value)
        return default

    pairs = stated.get("provenance")
    notes = [p for p in pairs if _is_note(p)] if isinstance(pairs, list) else []
    fields = {
        "name": kept_line(text("name"), MAX_NAME) or label,
        "layer": layer,
        "resid_norm": number("resid_norm", 0, 1e9, 0.0),
        "source_model": text("source_model"),
        "fingerprint": text("fingerprint"),
        "provenance": clean_notes(tuple((key, value) for key, value in notes)),
    }
    if "digest" not in stated:
        direction = direction_of(vector, **fields)
        return dataclasses.replace(direction, norm=number("norm", MIN_NORM, MAX_NORM, direction.norm))
    unit = checked_vector(vector, label)
    norm = number("norm", MIN_NORM, MAX_NORM, 1.0)
    restored = _restored(unit, norm, stated.get("rounding")) if stated.get("scale") == "raw" else unit
    return _as_exported(restored, unit, str(stated["digest"]), norm=norm, **fields)


def _as_exported(unit: Floats | None, found: Floats, digest: str, **fields: Any) -> Direction:
    """The direction with the digest that its export states. Raises BadDirection where the vector is another one."""
    with contextlib.suppress(BadDirection):
        if unit is not None:
            direction = Direction(vector=unit, **fields)
            exported = (direction.vector, _raw(direction))
            if direction.digest == digest and any(np.array_equal(found, vector) for vector in exported):
                return direction
    raise BadDirection(
        f"The vector in {fields['name']!r} is not the one that Retrace exported: the file was changed since.",
        "Export the direction again. To use the changed vector, save it as a .npy or .safetensors file.",
    )


def _object(text: str) -> dict[str, object]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _is_note(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(isinstance(part, str) for part in value)


def file_name(direction: Direction, ending: str = SUFFIX) -> str:
    """A file name that every system takes."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", direction.name).strip("-.")
    return f"{stem[:80] or 'direction'}{ending}"
