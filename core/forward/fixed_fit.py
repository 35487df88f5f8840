"""Whether a model's decode step may be a fixed one (`core.forward.fixed_step`), by its cache, attention and logits."""

from __future__ import annotations

import logging
import weakref

import torch
from torch import Tensor, nn
from transformers import DynamicCache
from transformers.cache_utils import DynamicSlidingWindowLayer

from core.forward.fixed_step import ReadRows, fixed_rows, room_for, window_of
from core.forward.kv_cache import RoomyLayer, roomy_cache
from core.forward.sampling import Draws, sampling_of
from core.forward.steering import compile_steering
from core.models.loaded import LoadedModel
from core.values import SamplingSpec

log = logging.getLogger(__name__)

_SPARE = 2**28
"""Bytes of a card that are left free beside the keys and values."""
_TOLERANCE, _ROUGH_TOLERANCE = 1e-3, 0.2
"""Of the logits' spread, in fp32 and with fewer digits: how far a fixed step may be from a step of transformers."""

_UNFIT = (AttributeError, IndexError, KeyError, NotImplementedError, RuntimeError, TypeError, ValueError)
"""What a model raises that cannot be run this way."""
_KNOWN = (RoomyLayer, DynamicSlidingWindowLayer)

_fits: weakref.WeakKeyDictionary[LoadedModel, bool] = weakref.WeakKeyDictionary()
"""Models that were tried, and whether a fixed step is right for them."""


def can_fix(loaded: LoadedModel, cache: DynamicCache | None, n_read: int) -> bool:
    """Whether a run with this cache of `n_read` columns may go on by fixed steps: they are right, and have room."""
    return cache is not None and fits(loaded) and _has_room(loaded, cache, n_read)


def can_join(loaded: LoadedModel) -> bool:
    """Whether rows may take the places of others in a running batch of this model.

    They may where fixed steps are right: such a model was seen to read a row behind padding as it reads it alone, and
    keeps keys and values only. Not where the length of a neighbour changes a row's rotations (dynamic NTK, LongRoPE),
    as rows that join are of other ages than those beside them.
    """
    kinds = "".join(str(getattr(module, "rope_type", "")) for module in loaded.model.modules())
    return "dynamic" not in kinds and "longrope" not in kinds and fits(loaded)


def fits(loaded: LoadedModel) -> bool:
    """Whether fixed steps are right for this model, and on a card can be captured: tried once, on a short random text.

    What cannot is said in the log, and decodes as before.
    """
    if loaded not in _fits:
        try:
            reason = _misfit(loaded) or _tried(loaded)
        except torch.OutOfMemoryError:
            return False
        except _UNFIT as error:
            reason = f"it ends in an error ({type(error).__name__}: {error})"
        if reason:
            log.warning("%s decodes without fixed steps: %s", loaded.name, reason)
        _fits[loaded] = not reason
    return _fits[loaded]


def _has_room(loaded: LoadedModel, cache: DynamicCache, n_read: int) -> bool:
    """Whether a card has memory for the keys and values of fixed steps, beside those that they replace."""
    if loaded.device.type != "cuda":
        return True
    free = torch.cuda.mem_get_info(loaded.device)[0]
    free += torch.cuda.memory_reserved(loaded.device) - torch.cuda.memory_allocated(loaded.device)
    layers = [(layer.keys, layer.values) for layer in cache.layers]
    needed = sum(t[:, :, :1].numel() * t.element_size() for pair in layers for t in pair) * room_for(n_read + 2)
    return bool(needed + _SPARE < free)


def _misfit(loaded: LoadedModel) -> str:
    """Why this model's layers are not such as fixed steps know; "" where they are."""
    if any(_asks_the_host(module) for module in loaded.model.modules()):
        return "its int8 layers wait for the host to look at each of their inputs"
    config = loaded.model.config
    kinds = getattr(config, "layer_types", None)
    if kinds is not None and not set(kinds) <= {"full_attention", "sliding_attention"}:
        return f"it has attention of the kinds {', '.join(sorted(set(kinds)))}"
    cache = roomy_cache(config)
    if len(cache.layers) != loaded.n_layers or any(type(layer) not in _KNOWN for layer in cache.layers):
        return "it keeps more than keys and values"
    for layer, block in zip(cache.layers, loaded.layers, strict=True):
        stated: set[object] = {m.sliding_window for m in block.modules() if hasattr(m, "sliding_window")}
        if not stated and kinds is None:
            stated = {getattr(config, "sliding_window", None)}
        if stated and stated != {window_of(layer)}:
            return "its attention slides otherwise than its cache"
    return ""


def _asks_the_host(module: nn.Module) -> bool:
    """Whether it is a layer of bitsandbytes' int8 that looks for outliers: `if outliers.any()`, which ends a capture.

    Nothing is tried, as a capture that fails may leave the card's allocator in it. Those of NF4 only launch kernels.
    """
    state = getattr(module, "state", None)
    return type(module).__name__ == "Linear8bitLt" and getattr(state, "threshold", 0.0) > 0


def _tried(loaded: LoadedModel) -> str:
    """Why a fixed step of two rows, one of them padded, is not the step that transformers makes; "" where it is."""
    device, n = loaded.device, 6
    ids = torch.randint(0, loaded.d_vocab, (2, n + 1), generator=torch.Generator().manual_seed(0)).to(device)
    pads, columns = torch.tensor([0, 2], device=device), torch.arange(n + 1, device=device)
    mask, positions = (columns >= pads[:, None]).long(), (columns - pads[:, None]).clamp(min=0)
    caches = [roomy_cache(loaded.model.config) for _ in range(2)]

    def read(cache: DynamicCache, here: slice) -> Tensor:
        with loaded.lock, torch.inference_mode():
            found: Tensor = loaded.model(
                input_ids=ids[:, here],
                position_ids=positions[:, here],
                attention_mask=mask[:, : here.stop],
                past_key_values=cache,
                use_cache=True,
            ).logits[:, -1]
        return found.float()

    for cache in caches:
        read(cache, slice(0, n))
    expected = read(caches[0], slice(n, n + 1))
    greedy = [SamplingSpec()] * 2
    read_so_far = ReadRows(
        cache=caches[1],
        input_ids=ids[:, n:],
        pads=pads,
        n_read=n,
        steering=compile_steering(loaded, [[], []], n_prompt=[n, n]),
        sampling=sampling_of(greedy, loaded.d_vocab, device),
        numbers=[(Draws(spec), n) for spec in greedy],
    )
    rows = fixed_rows(loaded, read_so_far)
    rows.launch()
    rows.fetch()
    if device.type == "cuda" and not rows.is_captured:
        return "it cannot be captured"
    spread = (expected - expected.mean()).abs().max().clamp(min=1e-6)
    limit = _TOLERANCE if loaded.compute_dtype == torch.float32 else _ROUGH_TOLERANCE
    return "" if bool((rows.logits - expected).abs().max() <= limit * spread) else "its logits are others"
