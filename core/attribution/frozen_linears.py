"""Gradients through linear layers whose library gives none: 4-bit layers that were repacked for fast CPU inference.

bitsandbytes repacks a 4-bit layer at its first CPU forward, and the repacked product passes no gradient, silently. The
layer is linear all the same, so its matrix can be had by applying it to the unit vectors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from core.forward.stand_ins import stand_in
from core.models.loaded import LoadedModel

Forward = Callable[[Tensor], Tensor]


class _Frozen(torch.autograd.Function):
    """x ↦ layer(x), whose gradient in x is g · W with W read off the layer itself."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, forward: Forward) -> Tensor:
        ctx.layer, ctx.width = forward, x.shape[-1]
        return forward(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        units = torch.eye(ctx.width + 1, ctx.width, dtype=gradient.dtype, device=gradient.device)
        with torch.no_grad():
            rows = ctx.layer(units)
        return gradient @ (rows[:-1] - rows[-1]).T, None


@contextmanager
def differentiable(loaded: LoadedModel) -> Iterator[None]:
    """While open, the repacked layers of the model pass gradients to their inputs; the caller holds the lock."""
    repacked = [module for module in loaded.model.modules() if _is_repacked(module)]
    with stand_in({module: partial(_apply, module.forward) for module in repacked}):
        yield


def _apply(forward: Forward, x: Tensor) -> Tensor:
    found: Tensor = _Frozen.apply(x, forward)  # type: ignore[no-untyped-call]
    return found


def _is_repacked(module: nn.Module) -> bool:
    state = getattr(getattr(module, "weight", None), "quant_state", None)
    return bool(getattr(state, "packing_format_for_cpu", False))
