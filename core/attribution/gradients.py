"""Gradients of the target in the residual stream: what a small push along a direction would do, everywhere at once.

One forward and one backward pass, which runs each block again when it comes to it: between them only the stream after
every block is kept. Weights need no gradient; it flows through them to the activations, quantised ones included.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from core.attribution.direct import attribute_logits
from core.attribution.frozen_linears import differentiable
from core.attribution.targets import check_text, contrast_of
from core.attribution.values import Gradients, GradientSpec
from core.errors import BadInput, ModelUnavailable, UserFacingError
from core.forward.hooks import LayerOutput, hidden_of, with_hidden
from core.forward.stand_ins import Forward, stand_in
from core.forward.unembedding import unembed
from core.models.heap import large_blocks_apart
from core.models.loaded import LoadedModel
from core.values import Floats


@dataclass
class _Slopes:
    """Per layer, numbers of each position, as the backward pass comes to it; and the streams of the forward pass."""

    streams: tuple[Tensor, ...]
    """(n_layers) × (seq, d_model)."""
    vector: Tensor
    first: int
    along: Tensor
    """(n_layers, seq) float32."""
    own: Tensor
    """(n_layers, seq) g·(h − mean h of the text), float32."""

    def take(self, layer: int, gradient: Tensor) -> None:
        """(1, seq, d_model) gradient of the target in the stream after `layer`."""
        g, h = gradient[0].float(), self.streams[layer].float()
        self.along[layer] = g @ self.vector
        self.own[layer] = (g * (h - h[self.first :].mean(0))).sum(-1)


class _Kept(torch.autograd.Function):
    """The residual stream, moved to its place; its gradient is told to `slopes` and passed on."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, slopes: _Slopes, layer: int) -> Tensor:
        ctx.slopes, ctx.layer = slopes, layer
        return slopes.streams[layer].copy_(hidden[0])[None]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        ctx.slopes.take(ctx.layer, gradient)
        return gradient, None, None


def attribute_gradients(loaded: LoadedModel, spec: GradientSpec) -> Iterator[float | Gradients]:
    """Yield the share of work done after each pass, and at last the Gradients.

    Raises BadInput or BadDirection before the first forward when text or direction do not fit the model, and
    ModelUnavailable where gradients do not pass through its layers.
    """
    spec.direction.check_fits(n_layers=loaded.n_layers, d_model=loaded.d_model, model_name=loaded.name)
    wanted = check_text(loaded, spec.text)
    value, slopes = _differentiate(loaded, spec, wanted)
    yield 0.6
    projection = torch.stack([h.float() @ slopes.vector for h in slopes.streams])
    final = slopes.streams[-1]
    along, own = slopes.along, slopes.own
    del slopes
    yield 0.7
    direct, note = _direct(loaded, spec, wanted, final)
    yield Gradients(
        spec=spec,
        along=_numpy(along),
        times_activation=_numpy(own),
        removal=_numpy(-projection * along),
        direct=direct,
        direct_note=note,
        target=value,
    )


def _differentiate(loaded: LoadedModel, spec: GradientSpec, wanted: list[int]) -> tuple[float, _Slopes]:
    """The target, and what its gradient is at every layer and position."""
    ids = torch.tensor([spec.text.token_ids], device=loaded.device)
    shape = (loaded.n_layers, ids.shape[1])
    slopes = _Slopes(
        streams=tuple(
            torch.empty(shape[1], loaded.d_model, dtype=loaded.compute_dtype, device=loaded.device)
            for _ in loaded.layers
        ),
        vector=torch.from_numpy(spec.direction.vector).to(loaded.device),
        first=spec.text.text_start,
        along=torch.zeros(shape, device=loaded.device),
        own=torch.zeros(shape, device=loaded.device),
    )
    blocks = {block: partial(_run_block, block.forward, slopes, i) for i, block in enumerate(loaded.layers)}
    with loaded.lock, torch.enable_grad(), differentiable(loaded), stand_in(blocks), large_blocks_apart():
        embedded = loaded.model.get_input_embeddings()(ids).detach().requires_grad_()
        try:
            normed = loaded.decoder(inputs_embeds=embedded, use_cache=False).last_hidden_state[0]
            logits = unembed(loaded, normed[list(spec.text.targets)])
            target = contrast_of(logits.detach(), wanted).of(logits).mean()
            torch.autograd.grad(target, embedded)
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, NotImplementedError) as error:
            raise _no_gradient(loaded, error) from error
    if not bool(torch.isfinite(slopes.along).all() & torch.isfinite(slopes.own).all()):
        raise BadInput(
            f"The gradient of {loaded.name} in {loaded.spec.precision} is not finite.", "Load it in another precision."
        )
    return float(target.detach()), slopes


def _run_block(run: Forward, slopes: _Slopes, layer: int, *args: object, **kwargs: object) -> LayerOutput:
    """A block whose own graph is not kept: it is run again when the backward pass comes to it."""
    again = partial(run, **kwargs)
    output: LayerOutput = checkpoint(again, *args, use_reentrant=False, preserve_rng_state=False)
    kept: Tensor = _Kept.apply(hidden_of(output), slopes, layer)  # type: ignore[no-untyped-call]
    return with_hidden(output, kept)


def _no_gradient(loaded: LoadedModel, error: Exception) -> UserFacingError:
    return ModelUnavailable(
        f"Gradients do not pass through {loaded.name} in {loaded.spec.precision} ({type(error).__name__}).",
        "Load it in bf16, fp32 or NF4; exact ablation and steering need no gradient.",
    )


def _direct(loaded: LoadedModel, spec: GradientSpec, wanted: list[int], final: Tensor) -> tuple[Floats, str]:
    try:
        return attribute_logits(loaded, spec.text.token_ids, wanted, final=final), ""
    except UserFacingError as error:
        return np.zeros((0, len(spec.text.token_ids)), np.float32), f"{error.problem} {error.remedy}"


def _numpy(values: Tensor) -> Floats:
    found: Floats = values.detach().float().cpu().numpy()
    return found
