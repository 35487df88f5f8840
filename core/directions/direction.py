"""A direction in a residual stream, and the set of them that one extraction yields. No torch, no disk.

Arrays are numpy float32, read-only by convention.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import BadDirection
from core.values import Digested, Floats

MIN_NORM, MAX_NORM = 1e-6, 1e6
DOSE = "dose"
"""Provenance of a direction: the share of the mean residual norm at which its effect was measured."""


ROUNDING_STEPS = 64
"""Steps of float32 that two sums of the same numbers may lie apart: each is rounded, and added up in another order."""


def rounding_of(size: float | NDArray[np.floating]) -> NDArray[np.float64]:
    """The norm that the difference of two equal means of norm `size` may have: 64 · 2⁻²³ of it, about 8 millionths.

    A mean is a sum of float32 numbers, each rounded to 2⁻²⁴ of itself, and summing n of them in another order adds
    about √n times as much: 64 steps of 2⁻²³ are room for texts of ten thousand tokens. A difference that is no longer
    says nothing of what differs.
    """
    return ROUNDING_STEPS * float(np.finfo(np.float32).eps) * np.asarray(size, np.float64)


def check_differs(norm: float, *, size: float, name: str) -> None:
    """Raise BadDirection for a difference of `norm` between means of norm `size` that is only rounding."""
    if norm <= rounding_of(size):
        raise BadDirection(
            f"The difference {name!r} has norm {norm:.3g}, which is rounding beside a mean norm of {size:.3g}: "
            "D+ and D− are the same.",
            "Choose another window, label or subtracted mean.",
        )


def checked_vector(vector: object, name: str) -> Floats:
    """(d_model,) float32, finite, 1-D and longer than 1; otherwise BadDirection names the fault."""
    array = np.asarray(vector)
    where = f"The vector {name!r}"
    if array.ndim != 1 or array.shape[0] < 2:
        raise BadDirection(f"{where} has shape {list(array.shape)}.", "It must be one-dimensional, (d_model,).")
    if array.dtype.kind != "f":
        raise BadDirection(f"{where} holds {array.dtype} values.", "It must hold floating-point numbers.")
    with np.errstate(over="ignore"):
        array = np.ascontiguousarray(array, dtype=np.float32)
    if not np.isfinite(array).all():
        raise BadDirection(f"{where} holds NaN or infinite values.", "Extract or export it again.")
    return array


@dataclass(frozen=True, kw_only=True, eq=False)
class Direction(Digested):
    """A unit vector in one layer's residual stream, with the norm it had as a raw difference of means.

    Two are equal when name, layer, norm and every component agree.
    """

    name: str
    layer: int
    vector: Floats = field(repr=False)
    """(d_model,) of unit length."""
    norm: float
    """Norm of the raw difference of means; 1 where there was none."""
    resid_norm: float = 0.0
    """Mean norm of the residual stream at `layer` over the source traces; 0 when unknown."""
    source_model: str = ""
    fingerprint: str = ""
    """Fingerprint of the model that the direction was found in."""
    provenance: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "vector", checked_vector(self.vector, self.name))
        length = float(np.linalg.norm(self.vector.astype(np.float64)))
        if abs(length - 1) > 1e-3:
            raise BadDirection(
                f"The direction {self.name!r} has length {length:.4g}, not 1.",
                "Build it with Direction.from_raw, which keeps the length as its norm.",
            )
        if not (math.isfinite(self.norm) and MIN_NORM <= self.norm <= MAX_NORM):
            raise BadDirection(
                f"The direction {self.name!r} has norm {self.norm:.4g}, outside {MIN_NORM:g} to {MAX_NORM:g}.",
                "Extract it again from at least two events, or scale the vector.",
            )

    @classmethod
    def from_raw(cls, raw: NDArray[np.generic], **fields: Any) -> Direction:
        """Direction of the raw vector (d_model,); its length becomes `norm`. Raises BadDirection."""
        vector = checked_vector(raw, str(fields.get("name", "vector"))).astype(np.float64)
        norm = float(np.linalg.norm(vector))
        if not MIN_NORM <= norm <= MAX_NORM:
            raise BadDirection(
                f"The vector {fields.get('name', '')!r} has norm {norm:.4g}, outside {MIN_NORM:g} to {MAX_NORM:g}.",
                "A zero vector has no direction: choose a window with events in it, or check the file.",
            )
        return cls(vector=(vector / norm).astype(np.float32), norm=norm, **fields)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Direction) and self._identity == other._identity

    def __hash__(self) -> int:
        return hash(self._identity)

    @property
    def _identity(self) -> tuple[str, int, float, str]:
        return self.name, self.layer, self.norm, self.digest

    @property
    def d_model(self) -> int:
        return int(self.vector.shape[0])

    @property
    def digest(self) -> str:
        """Identity of the content that steering depends on: sha256 of the vector's bytes, shortened."""
        return hashlib.sha256(np.ascontiguousarray(self.vector, dtype="<f4").tobytes()).hexdigest()[:20]

    def cosine(self, other: Direction) -> float:
        """Cosine with another direction of the same d_model. Raises BadDirection when the sizes differ."""
        if self.d_model != other.d_model:
            raise BadDirection(
                f"{self.name!r} has {self.d_model} dimensions and {other.name!r} has {other.d_model}.",
                "Compare directions of models with the same d_model.",
            )
        return float(self.vector.astype(np.float64) @ other.vector.astype(np.float64))

    def check_fits(self, *, n_layers: int, d_model: int, model_name: str) -> None:
        """Raise BadDirection unless the vector can be added to this model's residual stream."""
        if self.d_model != d_model:
            raise BadDirection(
                f"The direction {self.name!r} has {self.d_model} dimensions; {model_name} has d_model {d_model}.",
                "Use a direction extracted from this model or its base.",
            )
        if not 0 <= self.layer < n_layers:
            raise BadDirection(
                f"The direction {self.name!r} is of layer {self.layer}; {model_name} has layers 0 to {n_layers - 1}.",
                "Choose a layer of this model.",
            )
