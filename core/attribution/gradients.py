"""Gradients of the target in the residual stream: what a small push along a direction would do, everywhere at once.

One forward and one backward pass, which runs each block again when it comes to it: between them only the stream after
every block is kept. Weights need no gradient; it flows through them to the activations, quantised ones included.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from core.attribution.direct import attribute_logits
from core.attribution.frozen_linears import differentiable
from core.attribution.targets import check_text, contrast_of
from core.attribution.values import Gradients, GradientSpec
from core.errors import BadInput, ModelUnavailable, UserFacingError
from core.forward.hooks import record_residuals
from core.forward.stand_ins import stand_in
from core.forward.unembedding import unembed
from core.models.loaded import LoadedModel
from core.values import Floats


def attribute_gradients(loaded: LoadedModel, spec: GradientSpec) -> Iterator[float | Gradients]:
    """Yield the share of work done after each pass, and at last the Gradients.

    Raises BadInput or BadDirection before the first forward when text or direction do not fit the model, and
    ModelUnavailable where gradients do not pass through its layers.
    """
    spec.direction.check_fits(n_layers=loaded.n_layers, d_model=loaded.d_model, model_name=loaded.name)
    wanted = check_text(loaded, spec.text)
    value, hidden, gradients = _differentiate(loaded, spec, wanted)
    yield 0.6
    vector = torch.from_numpy(spec.direction.vector).to(loaded.device)
    along = torch.stack([g.float() @ vector for g in gradients])
    projection = torch.stack([h.float() @ vector for h in hidden])
    first = spec.text.text_start
    own = torch.stack(
        [(g.float() * (h.float() - h[first:].float().mean(0))).sum(-1) for g, h in zip(gradients, hidden, strict=True)]
    )
    final = hidden[-1]
    del hidden, gradients
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


def _differentiate(
    loaded: LoadedModel, spec: GradientSpec, wanted: list[int]
) -> tuple[float, list[Tensor], list[Tensor]]:
    """The target, and per layer the residual stream and its gradient (seq, d_model)."""
    kept: dict[int, Tensor] = {}
    ids = torch.tensor([spec.text.token_ids], device=loaded.device)
    places = list(spec.text.targets)
    layers = range(loaded.n_layers)
    run_twice = partial(checkpoint, use_reentrant=False, preserve_rng_state=False)
    again = {block: partial(run_twice, block.forward) for block in loaded.layers}
    with loaded.lock, torch.enable_grad(), differentiable(loaded), stand_in(again):
        embedded = loaded.model.get_input_embeddings()(ids).detach().requires_grad_()
        try:
            with record_residuals(loaded, layers, kept.__setitem__):
                normed = loaded.decoder(inputs_embeds=embedded, use_cache=False).last_hidden_state[0]
            logits = unembed(loaded, normed[places])
            target = contrast_of(logits.detach(), wanted).of(logits).mean()
            found = torch.autograd.grad(target, [kept[layer] for layer in layers])
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, NotImplementedError) as error:
            raise _no_gradient(loaded, error) from error
    hidden = [kept[layer][0].detach() for layer in layers]
    gradients = [g[0].detach() for g in found]
    if not all(bool(torch.isfinite(g).all()) for g in gradients):
        raise BadInput(
            f"The gradient of {loaded.name} in {loaded.spec.precision} is not finite.", "Load it in another precision."
        )
    return float(target.detach()), hidden, gradients


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
