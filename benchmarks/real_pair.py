"""How fast a real pair answers on the CPU: tokens a second alone and over three lanes, in bf16 and fp32.

A decoding step reads all weights once, so the memory's own speed, measured in the same run, is what there is to
reach. Rounds are interleaved and medians printed; run it beside nothing else:
python -m benchmarks.real_pair [BASE,REASONER] (by default the pair of this project, else the fetched base model)
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
import transformers

from core.directions.direction import Direction
from core.embedded import OWN_QUESTIONS
from core.errors import UserFacingError
from core.fetching.catalogue import SOURCES
from core.fetching.shipped import shipped_pairs
from core.forward.edits import SteeringSpec
from core.models.loaded import LoadedModel, encode_prompt, load_model, memory_taken, set_threads, unload
from core.models.naming import read_both, show_merged
from core.runs.generation import stream_completions
from core.runs.values import GenerationSpec
from core.values import ModelSpec, Precision, SamplingSpec

ROUNDS, TOKENS = 5, 64
PRECISIONS: tuple[Precision, ...] = ("bf16", "fp32")
_COPIED = 1 << 28
"""Bytes of the arrays that the memory's speed is measured with: far more than any cache holds."""


def reasoner_named(text: str) -> ModelSpec:
    """The reasoning model of BASE,REASONER; without a name that of this project, or the first model to be fetched."""
    if text:
        return read_both(text, precision="bf16", device="cpu").reasoner
    for pair in shipped_pairs().values():
        return pair.spec().reasoner
    return ModelSpec(repo_id=next(iter(SOURCES)))


def seconds(work: Callable[[], object]) -> float:
    """Seconds of one call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def bandwidth() -> float:
    """Bytes a second that all threads of torch read from memory, the best of a few passes over a large array."""
    array = torch.ones(_COPIED // 4)
    array.sum()
    return _COPIED / min(seconds(array.sum) for _ in range(3))


def lanes(loaded: LoadedModel) -> list[GenerationSpec]:
    """Unsteered and steered both ways, as Home asks: the first of them alone is one lane."""
    rng = np.random.default_rng(0)
    layer = loaded.n_layers // 2
    raw = rng.standard_normal(loaded.d_model).astype(np.float32)
    direction = Direction.from_raw(raw, name="random", layer=layer)
    plain = GenerationSpec(
        model=loaded.spec,
        fingerprint="",
        prompt=encode_prompt(loaded, OWN_QUESTIONS[0]),
        sampling=SamplingSpec(max_new_tokens=TOKENS, temperature=0.7),
    )
    steered = [
        replace(plain, steering=(SteeringSpec(direction=direction, layer=layer, coefficient=dose),))
        for dose in (-1.0, 1.0)
    ]
    return [plain, *steered]


def tokens_a_second(loaded: LoadedModel, specs: list[GenerationSpec]) -> tuple[float, float]:
    """(tokens a second of all rows after the first step, seconds to the first token)."""
    started, first, n = time.perf_counter(), 0.0, 0
    for step in stream_completions(loaded, specs):
        if not first:
            first = time.perf_counter()
        else:
            n += len(step)
    return n / (time.perf_counter() - first), first - started


def measure(spec: ModelSpec) -> None:
    """Print what one precision reaches."""
    took = time.perf_counter()
    loaded = load_model(spec)
    took = time.perf_counter() - took
    threads = set_threads(loaded)
    endless, weights = replace(loaded, eos_ids=frozenset()), memory_taken(loaded, spec.device)
    specs = lanes(endless)
    tokens_a_second(endless, specs)
    found: dict[int, list[tuple[float, float]]] = {1: [], 3: []}
    speeds = []
    for _ in range(ROUNDS):
        speeds.append(bandwidth())
        for n, runs in found.items():
            runs.append(tokens_a_second(endless, specs[:n]))
    alone, three = (statistics.median(rate for rate, _ in runs) for runs in found.values())
    first = statistics.median(wait for _, wait in found[1])
    speed = statistics.median(speeds)
    print(
        f"{spec.precision}: {threads} thread(s), loaded in {took:.1f} s, {weights / 1e6:,.0f} MB of weights\n"
        f"  alone {alone:.1f} tokens/s, first token after {first:.2f} s; three lanes {three:.1f} tokens/s together\n"
        f"  memory reads {speed / 1e9:.1f} GB/s: at most {speed / weights:.0f} steps/s, of which alone reaches "
        f"{alone * weights / speed:.0%}"
    )
    unload(loaded)


def main(named: str = "") -> int:
    """Print the table; 2 where the models are not here."""
    transformers.utils.logging.disable_progress_bar()
    spec = reasoner_named(named)
    load = ", ".join(f"{load:.1f}" for load in os.getloadavg())
    print(f"{show_merged(spec)}: {TOKENS} tokens, medians of {ROUNDS} interleaved rounds, load of the machine {load}")
    try:
        for precision in PRECISIONS:
            measure(replace(spec, precision=precision))
    except UserFacingError as error:
        print(f"{error.problem} {error.remedy}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]))
