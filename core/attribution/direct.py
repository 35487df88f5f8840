"""Direct logit attribution: what each block's attention and MLP write straight into a token's logit difference.

The residual stream is a sum, and with the final norm's scale frozen the way to the logits is linear, so the
contributions add up to the difference. What later blocks do with a contribution is not counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from core.attribution.targets import contrast_gradient
from core.errors import ModelUnavailable
from core.forward.hooks import record_inputs, record_residuals
from core.forward.unembedding import CHUNK, is_linear
from core.models.loaded import LoadedModel
from core.values import Floats

_TOLERANCE = 2e-2
"""Of the norm's own output; above it the norm is of a kind that is not known here."""
_ROUNDING = {torch.float32: 1e-3, torch.bfloat16: 1e-1}
"""Of the largest contribution: how far rounding in the stream may move the embedding row."""


def attribute_logits(
    loaded: LoadedModel, token_ids: Sequence[int], keywords: Sequence[int], *, final: Tensor | None = None
) -> Floats:
    """(2 · n_layers + 2, seq) contributions to each position's logit of the keywords less the most likely others.

    Rows: embedding (what no block added), then attention and MLP of block 0, 1, …, then what the final norm and W_U add
    by themselves. Their sum is the difference. One forward pass, and another where `final` (seq, d_model), what enters
    the final norm, is not given. Raises ModelUnavailable for a model whose way to the logits is not linear, or whose
    blocks add something else than these parts.
    """
    with loaded.lock, torch.no_grad():
        linear = is_linear(loaded)
    if not linear:
        raise ModelUnavailable(
            f"{loaded.name} squeezes its logits (soft-capping), so they are no sum of contributions.",
            "Use the gradient instead.",
        )
    parts = replace(loaded, layers=additions_of(loaded))
    ids = torch.tensor([list(token_ids)], device=loaded.device)
    final = _final_residual(loaded, ids) if final is None else final
    reader, constant = _readers(loaded, final, keywords)
    found = np.zeros((2 * loaded.n_layers + 2, ids.shape[1]))
    found[-1] = constant.cpu().numpy()

    def sink(part: int, addition: Tensor) -> None:
        found[part + 1] = (addition[0].double() * reader).sum(-1).cpu().numpy()

    begun: dict[int, Tensor] = {}
    record = record_residuals(parts, range(len(parts.layers)), sink)
    with loaded.lock, torch.inference_mode(), record, record_inputs(loaded, [0], begun.__setitem__):
        loaded.decoder(input_ids=ids, use_cache=False)
    ended = (final.double() * reader).sum(-1).cpu().numpy()
    found[0] = ended - found[1:-1].sum(0)
    _check_embedding(loaded, found, (begun[0][0].double() * reader).sum(-1).cpu().numpy())
    return found.astype(np.float32)


def _check_embedding(loaded: LoadedModel, found: NDArray[np.float64], embedded: NDArray[np.float64]) -> None:
    """Raise ModelUnavailable unless the embedding row is what block 0 was given: else the parts are not all."""
    size = np.abs(np.concatenate([found, embedded[None]])).max()
    if not np.abs(found[0] - embedded).max() <= _ROUNDING.get(loaded.compute_dtype, _TOLERANCE) * size:
        raise ModelUnavailable(
            f"The blocks of {loaded.name} add something else to the residual stream than their attention and MLP give.",
            "Use the gradient instead.",
        )


def _final_residual(loaded: LoadedModel, ids: Tensor) -> Tensor:
    """(seq, d_model) what enters the final norm."""
    kept: dict[int, Tensor] = {}
    with loaded.lock, torch.inference_mode(), record_residuals(loaded, [loaded.n_layers - 1], kept.__setitem__):
        loaded.decoder(input_ids=ids, use_cache=False)
    return kept[loaded.n_layers - 1][0]


def _readers(loaded: LoadedModel, final: Tensor, keywords: Sequence[int]) -> tuple[Tensor, Tensor]:
    """(seq, d_model) float64 vectors whose product with a contribution is its share, and (seq,) what is left over."""
    readers, constants = [], []
    for start in range(0, len(final), CHUNK):
        resid = final[start : start + CHUNK].clone()
        with loaded.lock:
            with torch.no_grad():
                normed = loaded.final_norm(resid)
            gradient, values = contrast_gradient(loaded, normed, keywords)
            reader = through_norm(loaded.final_norm, resid, gradient, normed=normed)
        readers.append(reader)
        constants.append(values.double() - (resid.double() * reader).sum(-1))
    return torch.cat(readers), torch.cat(constants)


_PARTS: tuple[tuple[str, ...], ...] = (
    ("self_attn", "attention", "attn", "self_attention", "linear_attn", "mamba", "conv", "short_conv"),
    ("mlp", "block_sparse_moe", "feed_forward", "ffn", "moe"),
)
"""Names that families have for the parts of a block; whether these are all that it adds is measured."""


def through_norm(norm: nn.Module, resid: Tensor, gradient: Tensor, *, normed: Tensor) -> Tensor:
    """(k, d_model) float64: `gradient` in the norm's output taken back through it, its scale frozen at `resid`.

    A norm that divides by the root mean square, centred before or not, with gain and shift; or none. Raises
    ModelUnavailable for another.
    """
    x, g = resid.double(), gradient.double()
    if isinstance(norm, nn.Identity):
        return g
    gain, shift, centres = _kind_of(norm, resid)
    centred = x - x.mean(-1, keepdim=True) if centres else x
    eps = float(getattr(norm, "variance_epsilon", getattr(norm, "eps", 1e-6)))
    scale = (centred.pow(2).mean(-1, keepdim=True) + eps).rsqrt()
    fits = (centred * scale * gain + shift - normed.double()).abs().max() <= _TOLERANCE * normed.abs().max()
    if not fits:
        raise ModelUnavailable(
            f"The final norm ({type(norm).__name__}) is of a kind that is not known here.",
            "Use the gradient instead, which needs no knowledge of it.",
        )
    back = g * gain * scale
    return back - back.mean(-1, keepdim=True) if centres else back


def _kind_of(norm: nn.Module, like: Tensor) -> tuple[Tensor, Tensor, bool]:
    """(d_model,) gain and shift of a norm, and whether it centres: seen from what it makes of three vectors.

    Nothing gives the shift; a vector of ±1, whose mean is 0 and root mean square 1, the gain; the same one moved up
    comes out the same where the norm centres.
    """
    signs = torch.ones(like.shape[-1], dtype=like.dtype, device=like.device)
    signs[1::2] = -1
    with torch.no_grad():
        shift, plain, moved = norm(torch.stack([0 * signs, signs, signs + 4])).double()
    return (plain - shift) * signs.double(), shift, bool((moved - plain).abs().max() <= 0.1 * plain.abs().max())


def additions_of(loaded: LoadedModel) -> tuple[nn.Module, ...]:
    """(2 · n_layers) submodules whose outputs the blocks add to the stream: attention and MLP of block 0, 1, …

    Blocks with norms after both parts add those norms' outputs. Raises ModelUnavailable for unknown blocks.
    """
    found: list[nn.Module] = []
    for block in loaded.layers:
        names = _PARTS
        if hasattr(block, "post_feedforward_layernorm"):
            names = (("post_attention_layernorm",), ("post_feedforward_layernorm",))
        if hasattr(block, "post_mlp_layernorm"):
            names = (("post_self_attn_layernorm",), ("post_mlp_layernorm",))
        for choices in names:
            part = next((x for name in choices if isinstance(x := getattr(block, name, None), nn.Module)), None)
            if part is None:
                raise ModelUnavailable(
                    f"The blocks of {loaded.name} have parts that are not known here.", "Use the gradient instead."
                )
            found.append(part)
    return tuple(found)
