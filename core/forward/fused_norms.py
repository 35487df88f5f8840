"""Norms by root mean square as one kernel of torch instead of the six that models write them with.

Which of a model's norms may stand back is measured: by their own numbers on a random stream.
"""

from __future__ import annotations

import weakref
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import rms_norm

from core.forward.stand_ins import Forward
from core.models.loaded import LoadedModel

_TOLERANCE = {torch.float32: 1e-5}
_ROUGH_TOLERANCE = 2.0**-6
"""Of the largest number: two steps of rounding in bf16."""

_found: weakref.WeakKeyDictionary[LoadedModel, dict[nn.Module, Forward]] = weakref.WeakKeyDictionary()


def fused_norms(loaded: LoadedModel) -> dict[nn.Module, Forward]:
    """What each such norm of the model may be computed by, found once."""
    if loaded not in _found:
        norms = [m for m in loaded.model.modules() if type(m).__name__.endswith("RMSNorm")]
        with loaded.lock, torch.inference_mode():
            found = [(norm, _fused(norm, loaded.compute_dtype)) for norm in norms]
        _found[loaded] = {norm: forward for norm, forward in found if forward is not None}
    return _found[loaded]


def _fused(norm: nn.Module, dtype: torch.dtype) -> Forward | None:
    """The norm with its own gain or, as some families have it, 1 more; None where neither is what it computes."""
    gain = getattr(norm, "weight", None)
    eps = getattr(norm, "variance_epsilon", getattr(norm, "eps", None))
    if not isinstance(gain, Tensor) or gain.ndim != 1 or not isinstance(eps, float):
        return None
    stream = torch.randn(2, 1, len(gain), generator=torch.Generator().manual_seed(0)).to(gain.device, dtype)
    expected = norm(stream)
    limit = _TOLERANCE.get(dtype, _ROUGH_TOLERANCE) * float(expected.float().abs().max())
    for weight in (gain, gain + 1):
        forward = partial(_apply, weight=weight, eps=eps)
        found = forward(stream)
        if found.dtype == expected.dtype and bool((found.float() - expected.float()).abs().max() <= limit):
            return forward
    return None


def _apply(hidden: Tensor, *, weight: Tensor, eps: float) -> Tensor:
    return rms_norm(hidden, weight.shape, weight, eps)
