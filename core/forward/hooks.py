"""Record and steer the residual stream. The only module that registers hooks.

Both are context managers: whatever ends the block, the hooks are gone afterwards. A hook returns new tensors and never
edits in place. Positions are absolute, so a mask does not depend on how the sequence was cut into forward passes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from core.errors import ModelUnavailable
from core.forward.steering import Slot, Steering, edited
from core.models.loaded import LoadedModel

Sink = Callable[[int, Tensor], None]
LayerOutput = Tensor | tuple[Tensor, *tuple[object, ...]]
"""What a decoder layer returns: its hidden state, or a tuple led by it."""


class _DeepestLayerReached(Exception):
    """Ends a forward pass that has nothing left to record."""


def hidden_of(output: LayerOutput) -> Tensor:
    """The hidden state (batch, seq, d_model) of a decoder layer's output, which is a tensor or a tuple led by it.

    Raises ModelUnavailable where it is something else.
    """
    hidden = output[0] if isinstance(output, tuple) else output
    if not isinstance(hidden, Tensor) or hidden.ndim != 3:
        raise ModelUnavailable(
            "A part of this model gives something else than a tensor (batch, positions, d_model).",
            "Choose another reading, or another model.",
        )
    return hidden


def with_hidden(output: LayerOutput, hidden: Tensor) -> LayerOutput:
    """A decoder layer's output with another hidden state (batch, seq, d_model)."""
    return (hidden, *output[1:]) if isinstance(output, tuple) else hidden


@contextmanager
def steer_residuals(loaded: LoadedModel, steering: Steering) -> Iterator[None]:
    """While open, every forward pass of the model is edited as `steering` says; `steering.positions` must be set."""

    def make_hook(slots: tuple[Slot, ...]) -> Callable[[nn.Module, object, LayerOutput], LayerOutput]:
        def hook(_module: nn.Module, _inputs: object, output: LayerOutput) -> LayerOutput:
            assert steering.positions is not None, "steering.positions must be set before the forward pass"
            hidden = hidden_of(output)
            for slot in slots:
                hidden = edited(hidden, slot, steering)
            finite = torch.isfinite(hidden).flatten(1).all(1)
            steering.finite = finite if steering.finite is None else steering.finite & finite
            return with_hidden(output, hidden)

        return hook

    handles = []
    try:
        for layer, slots in steering.slots.items():
            handles.append(loaded.layers[layer].register_forward_hook(make_hook(slots)))
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def record_residuals(
    loaded: LoadedModel, layers: Sequence[int], sink: Sink, *, stop_after_deepest: bool = False
) -> Iterator[None]:
    """While open, `sink(layer, hidden (batch, seq, d_model))` is called for each of `layers` in every forward pass.

    With `stop_after_deepest` the pass ends there (see `run_decoder`), so that deeper blocks cost nothing. Recording
    opened inside `steer_residuals` sees the steered stream.
    """
    deepest = max(layers)

    def make_hook(layer: int) -> Callable[[nn.Module, object, LayerOutput], None]:
        def hook(_module: nn.Module, _inputs: object, output: LayerOutput) -> None:
            sink(layer, hidden_of(output))
            if stop_after_deepest and layer == deepest:
                raise _DeepestLayerReached

        return hook

    handles = []
    try:
        for layer in layers:
            handles.append(loaded.layers[layer].register_forward_hook(make_hook(layer)))
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def record_inputs(loaded: LoadedModel, layers: Sequence[int], sink: Sink) -> Iterator[None]:
    """As `record_residuals`, of what the blocks are given: that of block 0 is the embedding."""

    def make_hook(i: int) -> Callable[[nn.Module, tuple[Tensor, ...], dict[str, Tensor]], None]:
        return lambda _module, inputs, named: sink(i, inputs[0] if inputs else named["hidden_states"])

    handles = [loaded.layers[i].register_forward_pre_hook(make_hook(i), with_kwargs=True) for i in layers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def add_products(
    modules: Sequence[nn.Module], factors: Sequence[tuple[Tensor, Tensor]], scale: float
) -> Iterator[None]:
    """While open, each of these linear maps gives W x + scale · B (A x), with its A (rank, in) and B (out, rank).

    Gradients flow to the factors, and through the maps.
    """

    def make_hook(a: Tensor, b: Tensor) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], Tensor]:
        return lambda _module, inputs, out: out + (scale * (inputs[0].to(a.dtype) @ a.T) @ b.T).to(out.dtype)

    handles = []
    try:
        for module, (a, b) in zip(modules, factors, strict=True):
            handles.append(module.register_forward_hook(make_hook(a, b)))
        yield
    finally:
        for handle in handles:
            handle.remove()


def run_decoder(loaded: LoadedModel, token_ids: Tensor, layers: Sequence[int], sink: Sink) -> None:
    """One forward pass of (batch, seq) ids without lm_head, up to the deepest of `layers`, feeding `sink`."""
    with record_residuals(loaded, layers, sink, stop_after_deepest=True), torch.inference_mode():
        try:
            loaded.decoder(input_ids=token_ids.to(loaded.device), use_cache=False)
        except _DeepestLayerReached:
            return
