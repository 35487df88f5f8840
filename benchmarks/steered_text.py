"""What `benchmarks.device` measures of steered text: its rate in each precision, and that it is the same everywhere."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import torch

from benchmarks.shape_8b import TINY, Shape, direction_of, fresh_peak, loaded_of, peak, quantised, settled
from core.forward.edits import SteeringSpec
from core.forward.fixed_fit import fits
from core.models.loaded import LoadedModel
from core.runs.generation import stream_completions
from core.runs.values import GenerationSpec
from core.values import Precision, Prompt, SamplingSpec

Figures = dict[str, float | str | bool]
WARM, GENERATED, FEW = 32, 48, 48
"""Tokens before the steady rate is taken, tokens of `generate`, and of a run that is slow or only compared."""


def specs_of(loaded: LoadedModel, n: int, tokens: int, temperature: float) -> list[GenerationSpec]:
    """`n` rows at different doses and seeds."""
    ids = tuple(np.random.default_rng(1).integers(5, loaded.d_vocab, 48).tolist())
    return [
        GenerationSpec(
            model=loaded.spec,
            fingerprint="random",
            prompt=Prompt(question="", text="", token_ids=ids),
            sampling=SamplingSpec(max_new_tokens=tokens, temperature=temperature, seed=i),
            steering=(
                SteeringSpec(direction=direction_of(loaded), layer=loaded.n_layers // 3, coefficient=float(i % 13)),
            ),
        )
        for i in range(n)
    ]


def tokens_of(loaded: LoadedModel, specs: list[GenerationSpec], fixed: bool | None = None) -> list[list[int]]:
    """The rows' tokens."""
    rows: list[list[int]] = [[] for _ in specs]
    for step in stream_completions(loaded, specs, fixed=fixed):
        for token in step:
            rows[token.row].append(token.token_id)
    return rows


def equality(loaded: LoadedModel, _shape: Shape, _tokens: int) -> Figures:
    """Tokens of a tiny fp32 model on this device and on the CPU, and of steps that are fixed and that are not."""
    here = loaded_of(TINY, loaded.device.type, torch.float32)
    there = loaded_of(TINY, "cpu", torch.float32)
    here.model.lm_head.weight.mul_(20)
    there.model.load_state_dict(here.model.state_dict())
    found: Figures = {}
    for temperature in (0.0, 0.8):
        specs = specs_of(there, 5, 48, temperature)
        expected = tokens_of(there, specs, False)
        for name, fixed in (("", None), (", steps that grow", False), (", fixed steps", True)):
            rows = tokens_of(here, specs, fixed)
            same = sum(
                a == b for row, other in zip(rows, expected, strict=True) for a, b in zip(row, other, strict=True)
            )
            found[f"share of the CPU's tokens at temperature {temperature}{name}"] = same / sum(map(len, expected))
    return found


def decode(loaded: LoadedModel, shape: Shape, tokens: int) -> Figures:
    """Steered tokens a second, time to the first token, `generate` beside it."""
    found: Figures = {}
    weights = sum(p.numel() * p.element_size() for p in loaded.model.parameters())
    weights -= loaded.model.get_input_embeddings().weight.numel() * loaded.model.dtype.itemsize
    for n in shape.batches:
        for temperature in (0.0, 1.0):
            taken = fresh_peak(loaded.device)
            times = [settled(loaded.device)]
            for _ in stream_completions(loaded, specs_of(loaded, n, tokens, temperature)):
                times.append(time.perf_counter())
            end = settled(loaded.device)
            name = f"B{n} t{temperature:g}"
            step = (times[-1] - times[WARM]) / (len(times) - 1 - WARM)
            found |= {f"{name} tokens/s": n / step, f"{name} first token, s": times[1] - times[0]}
            found |= {f"{name} whole run, tokens/s": n * tokens / (end - times[0])}
            found |= {
                f"{name} longest step, s": float(np.diff(times).max()),
                f"{name} weights GB/s": weights / step / 1e9,
            }
            found |= {f"{name} peak beside the weights, GB": (peak(loaded.device) - taken) / 1e9}
        ids = torch.tensor([spec.prompt.token_ids for spec in specs_of(loaded, n, 1, 0.0)], device=loaded.device)
        options = {"max_new_tokens": GENERATED, "min_new_tokens": GENERATED, "do_sample": False, "pad_token_id": 0}
        loaded.model.generate(
            ids, attention_mask=torch.ones_like(ids), **(options | {"max_new_tokens": 4, "min_new_tokens": 4})
        )
        began = settled(loaded.device)
        loaded.model.generate(ids, attention_mask=torch.ones_like(ids), **options)
        found[f"B{n} generate, tokens/s"] = n * GENERATED / (settled(loaded.device) - began)
    return found


def nf4(loaded: LoadedModel, shape: Shape, tokens: int) -> Figures:
    """As `decode`, in four bits a weight; and whether fixed steps write what steps do that grow."""
    return _quantised(loaded, "nf4", replace(shape, batches=(1, 12)), tokens)


def int8(loaded: LoadedModel, shape: Shape, tokens: int) -> Figures:
    """As `decode` for one row, in eight bits a weight."""
    return _quantised(loaded, "int8", replace(shape, batches=(1,)), min(tokens, FEW))


def _quantised(loaded: LoadedModel, precision: Precision, shape: Shape, tokens: int) -> Figures:
    try:
        made = quantised(loaded, precision)
    except ImportError:
        return {"skipped": "bitsandbytes is not here"}
    found: Figures = {"steps can be fixed": fits(made)} | decode(made, shape, tokens)
    if fits(made):
        specs = specs_of(made, 3, FEW, 0.0)
        pairs = zip(tokens_of(made, specs, True), tokens_of(made, specs, False), strict=True)
        same = [a == b for rows in pairs for a, b in zip(*rows, strict=True)]
        found["share of tokens that fixed steps and steps that grow have in common"] = sum(same) / len(same)
    return found
