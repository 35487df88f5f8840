"""Decoding on the embedded pair: a dose strip in one batch against single runs, and our loop against plain generate.

Rounds are interleaved and medians of ratios printed, since machines drift. python -m benchmarks.playground
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import torch

from core.examples import example_questions, recorded_directions
from core.generation import stream_completions
from core.models import LoadedModel, encode_prompt, load_model, set_threads
from core.pair import DEMO_PAIR
from core.runs import GenerationSpec, SteeringSpec
from core.values import SamplingSpec

ROUNDS, TOKENS = 5, 64
DOSES = tuple(range(-12, 24, 3))


def seconds(work: Callable[[], object]) -> float:
    """Wall seconds of one call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def ratio(ours: Callable[[], object], peer: Callable[[], object]) -> tuple[float, float]:
    """(median of peer time ÷ our time, median of our seconds) over interleaved rounds, after one warm-up of each."""
    ours(), peer()
    pairs = [(seconds(ours), seconds(peer)) for _ in range(ROUNDS)]
    return statistics.median(b / a for a, b in pairs), statistics.median(a for a, _ in pairs)


def drain(loaded: LoadedModel, specs: list[GenerationSpec]) -> None:
    """Complete all rows in one batch."""
    for _ in stream_completions(loaded, specs):
        pass


def main() -> None:
    """Print the table."""
    loaded = load_model(DEMO_PAIR.reasoner)
    threads = set_threads(loaded)
    endless = replace(loaded, eos_ids=frozenset())
    prompt = encode_prompt(loaded, example_questions()[0].prompt)
    plain = GenerationSpec(
        model=loaded.spec, fingerprint="", prompt=prompt, sampling=SamplingSpec(max_new_tokens=TOKENS)
    )
    direction = recorded_directions()[0]
    strip = [
        replace(plain, steering=(SteeringSpec(direction=direction, layer=direction.layer, coefficient=float(dose)),))
        for dose in DOSES
    ]
    ids = torch.tensor([prompt.token_ids])

    def generate() -> None:
        loaded.model.generate(
            ids, attention_mask=torch.ones_like(ids), min_new_tokens=TOKENS, max_new_tokens=TOKENS, do_sample=False
        )

    def single_runs() -> None:
        for spec in strip:
            drain(endless, [spec])

    print(f"embedded reasoner, fp32, CPU, {threads} thread(s), {TOKENS} tokens, medians of {ROUNDS} interleaved rounds")
    gain, took = ratio(lambda: drain(endless, strip), single_runs)
    print(f"{len(strip)} doses in one batch against {len(strip)} runs: {gain:.1f} times as fast ({took:.2f} s)")
    gain, took = ratio(lambda: drain(endless, [strip[-1]]), generate)
    print(f"one steered run against plain generate, unsteered: {gain:.2f} times as fast ({TOKENS / took:.0f} tokens/s)")


if __name__ == "__main__":
    main()
