"""Decoding: a dose strip in one batch against single runs, four lanes against one, and steered runs against peers.

On the embedded pair in fp32, and on a random Llama of 250 million parameters in bf16. Rounds are interleaved and
medians of ratios printed, since machines drift: python -m benchmarks.playground [demo|large [cpu]]
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import transformers

from benchmarks.steering_peers import peers
from core.directions.direction import Direction
from core.embedded import example_questions
from core.forward.edits import SteeringSpec
from core.models.loaded import LoadedModel, encode_prompt, load_model, set_threads
from core.models.pair import DEMO_PAIR
from core.runs.generation import stream_completions
from core.runs.values import GenerationSpec
from core.settings import MODEL_ROOTS
from core.values import ModelSpec, SamplingSpec

ROOT = Path(__file__).resolve().parent.parent
ROUNDS, TOKENS = 5, 64
DOSES = tuple(range(-12, 24, 3))
LARGE = {"hidden_size": 1024, "intermediate_size": 2816, "num_hidden_layers": 16, "vocab_size": 32_000}
MATCHED = 8
"""Tokens whose equality with the peers' is checked: later ones may part by rounding."""


CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
"""What is measured; beside other busy programs, the processor time of one thread is the steadier of the two."""


def seconds(work: Callable[[], object], clock: str) -> float:
    """Seconds of one call."""
    started = CLOCKS[clock]()
    work()
    return CLOCKS[clock]() - started


def ratio(ours: Callable[[], object], peer: Callable[[], object], rounds: int, clock: str) -> tuple[float, float]:
    """(median of peer time ÷ our time, median of our seconds) over interleaved rounds, after one warm-up of each."""
    ours(), peer()
    pairs = [(seconds(ours, clock), seconds(peer, clock)) for _ in range(rounds)]
    return statistics.median(b / a for a, b in pairs), statistics.median(a for a, _ in pairs)


def drain(loaded: LoadedModel, specs: list[GenerationSpec]) -> list[int]:
    """Complete all rows in one batch; the token ids of the first."""
    return [token.token_id for step in stream_completions(loaded, specs) for token in step if token.row == 0]


def load_large() -> LoadedModel:
    """A random Llama of 250 million parameters in bf16, with the embedded pair's tokenizer."""
    folder = Path(tempfile.mkdtemp(prefix="retrace-large-"))
    try:
        config = transformers.LlamaConfig(
            **LARGE, num_attention_heads=16, num_key_value_heads=4, max_position_embeddings=2048
        )
        torch.manual_seed(0)
        transformers.AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).save_pretrained(folder)
        for name in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copy(ROOT / DEMO_PAIR.reasoner.repo_id / name, folder / name)
        os.environ[MODEL_ROOTS] = str(folder.parent)
        return load_model(ModelSpec(repo_id=str(folder), precision="bf16"))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def measure(loaded: LoadedModel, title: str, *, rounds: int, clock: str) -> None:
    """Print all figures of one model."""
    threads = set_threads(loaded)
    endless = replace(loaded, eos_ids=frozenset())
    prompt = encode_prompt(loaded, example_questions()[0].prompt)
    rng = np.random.default_rng(0)
    direction = Direction.from_raw(rng.standard_normal(loaded.d_model).astype(np.float32), name="random", layer=1)
    layer = loaded.n_layers // 3
    plain = GenerationSpec(
        model=loaded.spec, fingerprint="", prompt=prompt, sampling=SamplingSpec(max_new_tokens=TOKENS)
    )
    strip = [
        replace(plain, steering=(SteeringSpec(direction=direction, layer=layer, coefficient=float(dose)),))
        for dose in DOSES
    ]
    print(f"{title}: CPU, {threads} thread(s), {TOKENS} tokens, medians of {rounds} interleaved rounds, {clock} time")
    gain, took = ratio(lambda: drain(endless, strip), lambda: [drain(endless, [s]) for s in strip], rounds, clock)
    print(f"  {len(strip)} doses in one batch against {len(strip)} runs: {gain:.1f} times as fast ({took:.2f} s)")
    lanes = [plain, *strip[:3]]
    gain, took = ratio(lambda: drain(endless, lanes), lambda: drain(endless, [plain]), rounds, clock)
    print(f"  4 lanes against 1: {1 / gain:.2f} times the time of one ({took:.2f} s)")
    compare(endless, strip[-1], layer, rounds=rounds, clock=clock)


def compare(loaded: LoadedModel, spec: GenerationSpec, layer: int, *, rounds: int, clock: str) -> None:
    """Print one steered run against plain generate and against the peers."""
    ids = torch.tensor([spec.prompt.token_ids])
    ours = drain(loaded, [spec])

    def generate() -> object:
        return loaded.model.generate(
            ids, attention_mask=torch.ones_like(ids), min_new_tokens=TOKENS, max_new_tokens=TOKENS, do_sample=False
        )

    gain, took = ratio(lambda: drain(loaded, [spec]), generate, rounds, clock)
    print(f"  one steered run against plain generate: {gain:.2f} times as fast ({TOKENS / took:.0f} tokens/s)")
    edit = spec.steering[0]
    for name, run in peers(loaded, ids, edit.direction, layer=layer, dose=edit.coefficient, tokens=TOKENS):
        if isinstance(run, str):
            print(f"  {run}")
            continue
        found = run()
        same = ""
        if isinstance(found, torch.Tensor):
            theirs = found[0, ids.shape[1] :].tolist()
            same = "; same first tokens" if theirs[:MATCHED] == ours[:MATCHED] else "; other tokens"
        gain, _ = ratio(lambda: drain(loaded, [spec]), run, rounds, clock)
        print(f"  against {name}: {gain:.2f} times as fast{same}")


def main(which: str = "all", clock: str = "wall") -> None:
    """Print the tables."""
    transformers.utils.logging.disable_progress_bar()
    if which in ("all", "demo"):
        measure(load_model(DEMO_PAIR.reasoner), "embedded reasoner, fp32", rounds=ROUNDS, clock=clock)
    if which in ("all", "large"):
        loaded = load_large()
        size = sum(p.numel() for p in loaded.model.parameters())
        measure(loaded, f"random Llama, {size / 1e6:.0f} million parameters, bf16", rounds=ROUNDS, clock=clock)
    print(json.dumps({"torch": torch.__version__, "transformers": transformers.__version__}))


if __name__ == "__main__":
    main(*sys.argv[1:3])
