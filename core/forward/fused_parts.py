"""Norms by root mean square and rotary positions in fewer kernels than models write them with.

At one token a step the kernels are many and short. What may stand back is measured: by its own numbers, on random ones.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import rms_norm

from core.forward.stand_ins import Forward, stand_in
from core.models.loaded import LoadedModel

Rotation = Callable[..., tuple[Tensor, ...]]
"""(query, key, cos, sin) to query and key with their positions; families keep it in their own module, by one name."""
ROTATION = "apply_rotary_pos_emb"

_TOLERANCE = {torch.float32: 1e-5}
_ROUGH_TOLERANCE = 2.0**-6
"""Of the largest number: two steps of rounding in bf16."""


@dataclass(frozen=True)
class Fused:
    """What of a model may be computed otherwise."""

    norms: dict[nn.Module, Forward]
    rotations: tuple[str, ...]
    """Names of the modules whose rotation may."""


NOTHING = Fused({}, ())
_found: weakref.WeakKeyDictionary[LoadedModel, Fused] = weakref.WeakKeyDictionary()


def find_fused(loaded: LoadedModel) -> Fused:
    """What of the model may be computed otherwise, found once."""
    if loaded not in _found:
        with loaded.lock, torch.inference_mode():
            norms = [m for m in loaded.model.modules() if type(m).__name__.endswith("RMSNorm")]
            forwards = [(norm, _fused_norm(norm, loaded.compute_dtype)) for norm in norms]
            names = sorted({type(part).__module__ for block in loaded.layers for part in block.modules()})
            own = [(name, vars(sys.modules[name]).get(ROTATION)) for name in names]
            _found[loaded] = Fused(
                {norm: forward for norm, forward in forwards if forward is not None},
                tuple(name for name, rotation in own if rotation is not None and _rotates_halves(rotation, loaded)),
            )
    return _found[loaded]


@contextmanager
def use_fused(found: Fused) -> Iterator[None]:
    """While open, models compute these parts otherwise; the caller holds the model's lock."""
    own = {name: vars(sys.modules[name])[ROTATION] for name in found.rotations}
    try:
        for name, rotation in own.items():
            vars(sys.modules[name])[ROTATION] = _Together(rotation)
        with stand_in(found.norms):
            yield
    finally:
        for name, rotation in own.items():
            vars(sys.modules[name])[ROTATION] = rotation


def _fused_norm(norm: nn.Module, dtype: torch.dtype) -> Forward | None:
    """The norm with its own gain or, as some families have it, 1 more; None where neither is what it computes."""
    gain = getattr(norm, "weight", None)
    eps = getattr(norm, "variance_epsilon", getattr(norm, "eps", None))
    if not isinstance(gain, Tensor) or gain.ndim != 1 or not isinstance(eps, float):
        return None
    stream = torch.randn(2, 1, len(gain), generator=torch.Generator().manual_seed(0)).to(gain.device, dtype)
    expected = norm(stream)
    limit = _TOLERANCE.get(dtype, _ROUGH_TOLERANCE) * float(expected.float().abs().max())
    for weight in (gain, gain + 1):
        forward = partial(_norm, weight=weight, eps=eps)
        found = forward(stream)
        if found.dtype == expected.dtype and bool((found.float() - expected.float()).abs().max() <= limit):
            return forward
    return None


def _norm(hidden: Tensor, *, weight: Tensor, eps: float) -> Tensor:
    return rms_norm(hidden, weight.shape, weight, eps)


class _Together:
    """Rotates the query and key of one new token together, halves of a head being the pairs; all else as the family."""

    def __init__(self, own: Rotation) -> None:
        self._own = own
        self._sin = self._signed = torch.empty(0)

    def __call__(self, query: Tensor, key: Tensor, cos: Tensor, sin: Tensor, *more: object) -> tuple[Tensor, ...]:
        size = query.shape[-1]
        if more or query.ndim != 4 or query.shape[2] != 1 or cos.ndim != 3 or cos.shape[-1] != size:
            return self._own(query, key, cos, sin, *more)
        if sin is not self._sin:
            self._sin = sin
            self._signed = torch.cat([-sin[..., : size // 2], sin[..., size // 2 :]], -1)[:, None]
        both = torch.cat([query, key], 1)
        rotated = torch.addcmul(both * cos[:, None], both.roll(size // 2, -1), self._signed)
        return rotated[:, : query.shape[1]], rotated[:, query.shape[1] :]


def _rotates_halves(own: Rotation, loaded: LoadedModel) -> bool:
    """Whether the two give the same numbers for random heads of 16."""
    generator = torch.Generator().manual_seed(0)
    query, key, angles = (torch.randn(2, n, 1, 16, generator=generator) for n in (4, 2, 1))
    angles = torch.cat([angles[:, 0, :, :8]] * 2, -1)
    given = [part.to(loaded.device, loaded.compute_dtype) for part in (query, key, angles.cos(), angles.sin())]
    try:
        expected, found = own(*given), _Together(own)(*given)
    except (RuntimeError, TypeError, ValueError):
        return False
    limit = 4 * _TOLERANCE.get(loaded.compute_dtype, _ROUGH_TOLERANCE)
    return all(bool((a.float() - b.float()).abs().max() <= limit) for a, b in zip(expected, found, strict=True))
