"""Arithmetic with directions: sum, difference, multiple, and what is left without another. No torch, no disk.

Everything is computed on the *raw* vectors, norm × unit vector, in float64: the result has the norm that the same
arithmetic on raw differences of means would give, its provenance the expression and what the operands were.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from core.directions.direction import MAX_NORM, MIN_NORM, Direction
from core.errors import BadDirection, BadInput

METHOD = "arithmetic on raw vectors"
NAME_LENGTH = 50
NOTES_KEPT = 60
ZERO_SHARE = 1e-6
"""A result shorter than this share of its operands is rounding noise of float32 vectors, hence zero."""
MAX_FACTOR = 1e6


def plus(left: Direction, right: Direction, *, weight: float = 1.0) -> Direction:
    """left + weight · right. Raises BadDirection where sizes differ or nothing is left, BadInput for the weight."""
    _check_factor(weight, "weight")
    _check_sizes(left, right)
    sign, size = ("−", -weight) if weight < 0 else ("+", weight)
    expression = f"{{v}} {sign} {{w}}" if size == 1 else f"{{v}} {sign} {size:g} · {{w}}"
    raw = raw_vector(left) + weight * raw_vector(right)
    return _result(raw, expression, left, right, longest=left.norm + size * right.norm)


def minus(left: Direction, right: Direction) -> Direction:
    """left − right. Raises BadDirection as `plus`."""
    return plus(left, right, weight=-1.0)


def times(direction: Direction, factor: float) -> Direction:
    """factor · direction; a negative factor turns it round. Raises BadInput for 0 or a factor that is not finite."""
    _check_factor(factor, "factor")
    if factor == 0:
        raise BadInput(
            f"0 · {direction.name!r} is the zero vector, which has no direction.", "Use a factor other than 0."
        )
    raw = factor * raw_vector(direction)
    return _result(raw, f"{factor:g} · {{v}}", direction, longest=abs(factor) * direction.norm)


def orthogonalised(direction: Direction, against: Direction) -> Direction:
    """direction − (direction · â) â: what it holds beyond `against`. Raises BadDirection when that is nothing."""
    _check_sizes(direction, against)
    raw, unit = raw_vector(direction), _unit(against)
    return _result(raw - (raw @ unit) * unit, "{v} without {w}", direction, against, longest=direction.norm)


def raw_vector(direction: Direction) -> NDArray[np.float64]:
    """(d_model,) norm × unit vector."""
    return direction.norm * _unit(direction)


def _unit(direction: Direction) -> NDArray[np.float64]:
    """(d_model,) the unit vector with float32's rounding of its length removed."""
    vector = direction.vector.astype(np.float64)
    unit: NDArray[np.float64] = vector / np.linalg.norm(vector)
    return unit


def _check_factor(factor: float, what: str) -> None:
    if not math.isfinite(factor) or abs(factor) > MAX_FACTOR:
        raise BadInput(f"The {what} is {factor:g}.", f"Use a number from −{MAX_FACTOR:g} to {MAX_FACTOR:g}.")


def _check_sizes(left: Direction, right: Direction) -> None:
    if left.d_model != right.d_model:
        raise BadDirection(
            f"{left.name!r} has {left.d_model} dimensions and {right.name!r} has {right.d_model}.",
            "Combine directions of models with the same d_model.",
        )


def _result(
    raw: NDArray[np.float64], expression: str, left: Direction, right: Direction | None = None, *, longest: float
) -> Direction:
    """The direction of `raw`; `longest` is the length that it would have had without any cancellation."""
    norm = float(np.linalg.norm(raw))
    named = expression.format(v=_short(left.name), w=_short(right.name) if right else "")
    if norm <= ZERO_SHARE * longest:
        raise BadDirection(
            f"{named} is zero: its parts cancel, and a zero vector has no direction.", "Choose two that differ."
        )
    if not MIN_NORM <= norm <= MAX_NORM:
        raise BadDirection(
            f"{named} has norm {norm:.4g}, outside {MIN_NORM:g} to {MAX_NORM:g}.", "Choose another factor."
        )
    same = {
        name: getattr(left, name)
        for name in ("source_model", "fingerprint")
        if right is None or getattr(left, name) == getattr(right, name)
    }
    return Direction(
        name=named,
        layer=left.layer,
        vector=(raw / norm).astype(np.float32),
        norm=norm,
        resid_norm=left.resid_norm,
        provenance=_provenance(expression, left, right),
        **same,
    )


def _short(name: str) -> str:
    return name if len(name) <= NAME_LENGTH else f"{name[: NAME_LENGTH - 1]}…"


def _provenance(expression: str, left: Direction, right: Direction | None) -> tuple[tuple[str, str], ...]:
    """The expression and the operands; then what is known of each, as far as an export has room for it."""
    operands = [("v", left), ("w", right)] if right else [("v", left)]
    notes = [("method", METHOD), ("expression", expression.format(v="v", w="w"))]
    notes += [(symbol, _about(operand)) for symbol, operand in operands if operand]
    notes += [
        (f"{symbol}: {key}", value) for symbol, operand in operands if operand for key, value in operand.provenance
    ]
    return tuple(notes[:NOTES_KEPT])


def _about(operand: Direction) -> str:
    source = operand.source_model or "an unnamed model"
    return f"{operand.name} (layer {operand.layer} of {source}, norm {operand.norm:.6g}, {operand.digest})"
