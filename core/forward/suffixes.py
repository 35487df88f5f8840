"""The end of a text run again from the stream after one layer: what lies before it is kept from one unedited pass.

Attention is causal: an edit at a position changes nothing before it, and nothing in the blocks up to its layer. So the
keys and values of the positions before it stay, and so does the stream that is edited. Knows no edit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from core.forward.hooks import LayerOutput, hidden_of, with_hidden
from core.forward.kv_cache import FrozenLayer
from core.forward.stand_ins import Forward, stand_in
from core.models.loaded import LoadedModel

_TOLERANCE = 2e-5
"""Of the largest value, in fp32: how far a pass over the end of a text may be from the pass over all of it."""
_ROUGH_TOLERANCE = 5e-2
"""The same where activations have fewer digits."""

_UNFIT = (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError)
"""What a model raises that cannot be run this way."""


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What one unedited pass over (1, seq) ids leaves."""

    ids: Tensor
    layer: int
    output: LayerOutput
    """What block `layer` returned."""
    cache: DynamicCache
    """Keys and values of every layer, whole also where a window slides: the attention's mask does the sliding."""


def run_and_keep(loaded: LoadedModel, ids: Tensor, layer: int) -> tuple[Tensor, Kept | None]:
    """(1, seq, d_model) final-normed activations of (1, seq) ids; None where the model keeps more than keys and values.

    The caller holds the lock, in inference mode.
    """
    cache, outputs = _whole_cache(loaded), list[LayerOutput]()
    if cache is None:
        return _normed(loaded, ids, None), None
    block = loaded.layers[layer]
    run = block.forward

    def forward(*args: object, **kwargs: object) -> LayerOutput:
        outputs.append(run(*args, **kwargs))
        return outputs[-1]

    try:
        with stand_in({block: forward}):
            normed = _normed(loaded, ids, cache)
    except torch.OutOfMemoryError:
        raise
    except _UNFIT:
        return _normed(loaded, ids, None), None
    if not outputs or any(not part.is_initialized or part.get_seq_length() != ids.shape[1] for part in cache.layers):
        return normed, None
    return normed, Kept(ids=ids, layer=layer, output=outputs[-1], cache=cache)


def run_suffix(loaded: LoadedModel, kept: Kept, start: int, *, rows: int = 1) -> Tensor:
    """(rows, seq − start, d_model) final-normed activations from position `start` on; blocks up to the layer rest.

    A hook on block `kept.layer` may make more rows of the one. The caller holds the lock, in inference mode.
    """
    cache = DynamicCache()
    cache.layers = [FrozenLayer(part.keys[..., :start, :], part.values[..., :start, :]) for part in kept.cache.layers]
    stream = hidden_of(kept.output)[:, start:].expand(rows, -1, -1)

    def skip(hidden: Tensor, *_args: object, **_kwargs: object) -> LayerOutput:
        return with_hidden(kept.output, hidden)

    def resume(*_args: object, **_kwargs: object) -> LayerOutput:
        return with_hidden(kept.output, stream)

    resting: dict[nn.Module, Forward] = dict.fromkeys(loaded.layers[: kept.layer], skip)
    with stand_in(resting | {loaded.layers[kept.layer]: resume}):
        return _normed(loaded, kept.ids[:, start:], cache)


def reproduces(loaded: LoadedModel, kept: Kept, normed: Tensor, starts: Sequence[int]) -> bool:
    """Whether unedited passes over the end, two rows each, give (1, seq, d_model) `normed` again.

    False for a model that carries more from position to position, or from block to block, than was kept.
    """
    limit = _TOLERANCE if loaded.compute_dtype == torch.float32 else _ROUGH_TOLERANCE
    try:
        for start in starts:
            found = run_suffix(loaded, kept, start, rows=2)
            error = (found.float() - normed[:, start:].float()).abs().max()
            if len(found) != 2 or not bool(error <= limit * normed.float().abs().max()):
                return False
    except torch.OutOfMemoryError:
        raise
    except _UNFIT:
        return False
    return True


def _whole_cache(loaded: LoadedModel) -> DynamicCache | None:
    """An empty cache that forgets nothing; None where transformers keeps states of another kind for this model."""
    try:
        parts = DynamicCache(config=loaded.model.config).layers
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
    if len(parts) != loaded.n_layers or not {type(part) for part in parts} <= {DynamicLayer, DynamicSlidingWindowLayer}:
        return None
    cache = DynamicCache()
    cache.layers = [DynamicLayer() for _ in parts]
    return cache


def _normed(loaded: LoadedModel, ids: Tensor, cache: DynamicCache | None) -> Tensor:
    found: Tensor = loaded.decoder(
        input_ids=ids, use_cache=cache is not None, **({} if cache is None else {"past_key_values": cache})
    ).last_hidden_state
    return found
