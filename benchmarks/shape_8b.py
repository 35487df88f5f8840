"""Random Llamas whose weights are made on the device that they run on: of the shape of Llama-3.1-8B, and small ones."""

from __future__ import annotations

import copy
import importlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import transformers
from torch import nn

from benchmarks.extraction import Characters
from core.directions.direction import Direction
from core.models.loaded import LoadedModel, load_model
from core.models.pair import DEMO_PAIR
from core.values import ModelSpec, Precision


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A Llama, and how much is asked of it."""

    layers: int
    width: int
    heads: int
    groups: int
    inner: int
    vocabulary: int
    traces: int
    trace_tokens: int
    text: int
    positions: int
    batches: tuple[int, ...]


LARGE = Shape(
    layers=32,
    width=4096,
    heads=32,
    groups=8,
    inner=14336,
    vocabulary=128_256,
    traces=40,
    trace_tokens=920,
    text=2000,
    positions=256,
    batches=(1, 12, 96),
)
SMALL = replace(LARGE, layers=4, width=256, heads=8, groups=2, inner=704, vocabulary=4096, traces=6, text=400)
SMALL = replace(SMALL, trace_tokens=300, positions=32)
TINY = replace(SMALL, layers=3, width=128, heads=4, inner=256, vocabulary=2048)


class _Numbers(Characters):
    """Each token's text is its number."""

    def pieces(self, token_ids: Sequence[int]) -> tuple[str, ...]:
        return tuple(f"{i} " for i in token_ids)


def loaded_of(shape: Shape, device: str, dtype: torch.dtype) -> LoadedModel:
    """Random weights made on the device; the tokenizer is the embedded pair's, which knows fewer tokens."""
    config = transformers.LlamaConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.width,
        intermediate_size=shape.inner,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.groups,
        max_position_embeddings=8192,
        tie_word_embeddings=False,
    )
    torch.manual_seed(0)
    with torch.device(device):
        model = transformers.AutoModelForCausalLM.from_config(config, dtype=dtype).eval().requires_grad_(False)
    return replace(
        _around(load_model(DEMO_PAIR.reasoner), model),
        spec=ModelSpec(repo_id="random", precision="bf16" if dtype == torch.bfloat16 else "fp32", device=device),
        fingerprint="random",
        encoder=_Numbers(),
        n_layers=shape.layers,
        d_model=shape.width,
        d_vocab=shape.vocabulary,
        context_length=8192,
        eos_ids=frozenset(),
        _texts=[],
        _forms={},
    )


def _around(loaded: LoadedModel, model: Any) -> LoadedModel:
    return replace(
        loaded,
        model=model,
        layers=tuple(model.model.layers),
        decoder=model.model,
        final_norm=model.model.norm,
        unembed=model.lm_head,
        head=lambda normed: model.lm_head(normed).float(),
    )


def quantised(loaded: LoadedModel, precision: Precision) -> LoadedModel:
    """The same model in int8 or NF4, quantised where it is; all but the blocks' linear layers is shared."""
    bnb = importlib.import_module("bitsandbytes")
    shared = {id(parameter): parameter for parameter in loaded.model.parameters()}
    model = copy.deepcopy(loaded.model, shared)
    for block in model.model.layers:
        for part in block.children():
            for name, linear in list(part.named_children()):
                if isinstance(linear, nn.Linear):
                    setattr(part, name, _linear(bnb, linear, precision))
    return replace(_around(loaded, model.eval()), spec=replace(loaded.spec, precision=precision))


def _linear(bnb: Any, linear: nn.Linear, precision: Precision) -> nn.Module:
    """As transformers makes them of `core.values.QUANTISED`."""
    sizes, weight = (linear.in_features, linear.out_features), linear.weight.data
    made: nn.Module
    if precision == "int8":
        made = bnb.nn.Linear8bitLt(*sizes, bias=False, has_fp16_weights=False, threshold=6.0, device="meta")
        kept, scales, _ = bnb.functional.int8_vectorwise_quant(weight.half())
        made.weight = bnb.nn.Int8Params(kept, requires_grad=False, has_fp16_weights=False, CB=kept, SCB=scales)
    else:
        made = bnb.nn.Linear4bit(*sizes, bias=False, compute_dtype=torch.bfloat16, quant_type="nf4", device="meta")
        params = bnb.nn.Params4bit(weight, requires_grad=False, quant_type="nf4", module=made)
        made.weight = params.to(weight.device)
    return made


def settled(device: torch.device) -> float:
    """The clock, once the device has nothing left to do."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def fresh_peak(device: torch.device) -> int:
    """Begin to watch the device's highest memory; bytes that are taken now."""
    if device.type != "cuda":
        return 0
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    return torch.cuda.memory_allocated(device)


def peak(device: torch.device) -> int:
    """Highest bytes since `fresh_peak`."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0


def direction_of(loaded: LoadedModel, seed: int = 0) -> Direction:
    """A random one."""
    raw = np.random.default_rng(seed).standard_normal(loaded.d_model).astype(np.float32)
    return Direction.from_raw(raw, name="random", layer=loaded.n_layers // 3)
