"""What a finetune takes, before it begins: memory, disk and time. Estimates, from shapes and a short measurement."""

from __future__ import annotations

import time
from functools import partial
from math import prod

from core.background import Errand
from core.errors import ModelUnavailable
from core.finetuning.values import MAX_PARAMS, FinetuneSpec, Need
from core.models.checkpoints import MemoryEstimate, available_memory, estimate_memory

AT_ONCE = {"cpu": 1024}
AT_ONCE_ON_CARD = 8192
"""Padded tokens whose activations are in memory together."""
_CARD_SPEED = 5e13
"""Multiply-adds and additions a second that a graphics card is taken to reach."""
_SHARE_REACHED = 0.55
"""Of the speed of one large product, what a whole model reaches."""
_SECONDS_PER_BLOCK = 4e-3
"""Of a block's forward and backward pass, however small it is."""
_TOKENIZER_BYTES = 4_000_000


def tokens_at_once(device: str) -> int:
    """Padded tokens whose activations are in memory together."""
    return AT_ONCE.get(device.partition(":")[0], AT_ONCE_ON_CARD)


def check_base(spec: FinetuneSpec) -> MemoryEstimate:
    """Sizes of the base model. Raises ModelUnavailable where it cannot be read, or has too many weights."""
    found = estimate_memory(spec.base)
    if found.n_params > MAX_PARAMS:
        raise ModelUnavailable(
            f"{spec.base.name} has {found.n_params / 1e9:.1f} billion weights; up to {MAX_PARAMS / 1e9:.1f} billion "
            "are finetuned here.",
            "Choose a smaller base model, or bring an adapter that was trained elsewhere.",
        )
    return found


def need_of(spec: FinetuneSpec, errand: Errand) -> Need:
    """What the finetune takes. Raises ModelUnavailable as `check_base`."""
    errand.tell(f"reading what {spec.base.name} needs")
    found = check_base(spec)
    errand.tell("measuring how fast this machine is")
    trained = spec.recipe.rank * sum(sum(shape) for shape in found.matrices)
    n_checkpoints = spec.recipe.steps // spec.recipe.every + 1
    return Need(
        memory_bytes=memory_of(spec, found),
        free_bytes=available_memory(spec.base.device),
        disk_bytes=4 * trained * (4 + n_checkpoints) + _TOKENIZER_BYTES * (n_checkpoints + 1),
        seconds=_seconds(spec, found),
        n_params=found.n_params,
        n_trained=trained,
    )


def memory_of(spec: FinetuneSpec, found: MemoryEstimate) -> int:
    """Bytes of the base model's weights, of the factors with their optimiser, and of a part of a batch."""
    tokens = max(tokens_at_once(spec.base.device), spec.recipe.max_tokens)
    width = 4 if spec.base.precision == "fp32" else 6
    streams = sum(sum(shape) for shape in found.matrices) + 4 * found.n_layers * found.d_model
    trained = spec.recipe.rank * sum(sum(shape) for shape in found.matrices)
    return found.peak_bytes + 20 * trained + tokens * (streams * width + 12 * found.d_vocab)


def _seconds(spec: FinetuneSpec, found: MemoryEstimate) -> float:
    recipe = spec.recipe
    on_card = not spec.base.device.startswith("cpu")
    speed = _CARD_SPEED if on_card else _speed(spec.base.precision)
    tokens = recipe.steps * recipe.batch_tokens
    work = 4 * tokens * (sum(map(prod, found.matrices)) + found.d_vocab * found.d_model) / (speed * _SHARE_REACHED)
    parts = tokens / min(recipe.batch_tokens, tokens_at_once(spec.base.device))
    return 1.15 * (work + parts * found.n_layers * _SECONDS_PER_BLOCK)


def _speed(precision: str) -> float:
    """Operations a second of one product of matrices, on all threads that a model gets."""
    import torch

    from core.models.loading import use_threads

    before = torch.get_num_threads()
    use_threads(None)
    try:
        kind = torch.float32 if precision == "fp32" else torch.bfloat16
        a = torch.ones(1024, 768, dtype=kind)
        multiply = partial(torch.matmul, a, a.T)
        multiply()
        started = time.perf_counter()
        for _ in range(3):
            multiply()
        return 3 * 2 * 1024 * 1024 * 768 / (time.perf_counter() - started)
    finally:
        torch.set_num_threads(before)
