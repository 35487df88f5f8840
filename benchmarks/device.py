"""Everything that a card is for, on a random model of the shape of Llama-3.1-8B: one table, and JSON with every figure.

Equality with the CPU, steered decode against `generate` and against the memory bandwidth measured in the same run,
extraction against the bare forward, readings, memory against its estimate, and what follows a run out of memory.
Without a card a small shape is taken: python -m benchmarks.device [--json FILE] [--only PART,…] [--tokens N]
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import numpy as np
import torch
import transformers

from benchmarks.extraction import random_traces
from benchmarks.shape_8b import LARGE, SMALL, Shape, direction_of, fresh_peak, loaded_of, peak, settled
from benchmarks.steered_text import FEW, Figures, decode, equality, int8, nf4, specs_of, tokens_of
from core.attribution.costs import Cost, Sizes, effects_cost, gradients_cost, reading_cost
from core.attribution.gradients import attribute_gradients
from core.attribution.interventions import measure_effects
from core.attribution.one_text import attribute_tokens
from core.attribution.values import AttributionSpec, GradientSpec, InterventionSpec, TargetText
from core.disk.store import Store
from core.errors import UserFacingError
from core.extraction.moments import Gathered, MomentsSpec, single_offsets
from core.extraction.passes import record_moments
from core.extraction.shelf import MomentShelf
from core.forward.hooks import run_decoder
from core.models.loaded import LoadedModel
from core.text.words import KEYWORDS
from core.traces.events import LABELS


def bandwidth(loaded: LoadedModel, _shape: Shape, _tokens: int) -> Figures:
    """Bytes a second, read and written, of a large copy."""
    n = 2**30 if loaded.device.type == "cuda" else 2**26
    source = torch.empty(n, dtype=torch.uint8, device=loaded.device).random_()
    target = torch.empty_like(source)
    times = []
    for _ in range(6):
        began = settled(loaded.device)
        target.copy_(source)
        times.append(settled(loaded.device) - began)
    return {"GB/s": 2 * n / sorted(times)[2] / 1e9}


def extraction(loaded: LoadedModel, shape: Shape, _tokens: int) -> Figures:
    """All layers × 51 offsets × all labels against the forwards alone."""
    traces = random_traces(shape.traces, shape.trace_tokens)
    spec = MomentsSpec(
        model=loaded.spec,
        fingerprint="random",
        traces_digest="random",
        labels=LABELS,
        windows=single_offsets(-40, 10),
        layers=tuple(range(shape.layers)),
    )
    ids = [torch.tensor([loaded.encoder.reading(loaded.frame, "", t.text).token_ids]) for t in traces]

    def bare() -> None:
        for row in ids:
            run_decoder(loaded, row, [shape.layers - 1], lambda layer, hidden: None)

    def ours() -> None:
        for _ in record_moments(loaded, traces, spec):
            pass

    bare()
    seconds = []
    for work in (bare, ours, bare, ours):
        taken, began = fresh_peak(loaded.device), settled(loaded.device)
        work()
        seconds.append(settled(loaded.device) - began)
    *_, gathered = record_moments(loaded, traces, spec)
    with tempfile.TemporaryDirectory() as folder:
        began = settled(loaded.device)
        MomentShelf(Store(Path(folder))).put(cast(Gathered, gathered))
        kept = settled(loaded.device) - began
    return {
        "bare, s": min(seconds[::2]),
        "extraction, s": min(seconds[1::2]),
        "times the bare forward": min(seconds[1::2]) / min(seconds[::2]),
        "rounded and written to disk, s": kept,
        "peak beside the weights, GB": (peak(loaded.device) - taken) / 1e9,
    }


def asked(loaded: LoadedModel, shape: Shape) -> tuple[AttributionSpec, GradientSpec, InterventionSpec]:
    """A long random text, read, differentiated and edited."""
    reading = AttributionSpec(
        model=loaded.spec,
        fingerprint="random",
        token_ids=tuple(np.random.default_rng(0).integers(5, loaded.d_vocab, shape.text).tolist()),
        text_start=20,
        direction=direction_of(loaded),
        layer=loaded.n_layers // 3,
        coefficient=4.0,
        keywords=KEYWORDS,
    )
    text = TargetText.of(reading, (shape.text - 2,))
    effects = InterventionSpec(
        text=text,
        direction=reading.direction,
        layer=reading.layer,
        coefficient=4.0,
        first=shape.text - 1 - shape.positions,
    )
    return reading, GradientSpec(text=text, direction=reading.direction), effects


def readings(loaded: LoadedModel, shape: Shape, _tokens: int) -> Figures:
    """Seconds and memory of a reading, gradients and exact effects, and memory's estimates."""
    reading, gradients, effects = asked(loaded, shape)
    width = loaded.compute_dtype.itemsize
    sizes = Sizes(n_layers=loaded.n_layers, d_model=loaded.d_model, d_vocab=loaded.d_vocab, seq=shape.text, width=width)
    cost = effects_cost(sizes, layer=effects.layer, stop=shape.text - 1, positions=shape.positions)
    ways: dict[str, tuple[Callable[[], Iterator[object]], Cost]] = {
        "reading": (lambda: attribute_tokens(loaded, reading), reading_cost(sizes)),
        "gradients": (lambda: attribute_gradients(loaded, gradients), gradients_cost(sizes)),
        "effects": (lambda: measure_effects(loaded, effects), cost),
    }
    loaded.keyword_forms(KEYWORDS)
    weights = sum(p.numel() * p.element_size() for p in loaded.model.parameters())
    found: Figures = {}
    for name, (work, estimate) in ways.items():
        taken, began = fresh_peak(loaded.device), settled(loaded.device)
        for _ in work():
            pass
        found[f"{name}, s"] = settled(loaded.device) - began
        found[f"{name}, GB beside the weights"] = (peak(loaded.device) - taken) / 1e9
        found[f"{name}, estimate, GB"] = estimate.bytes / 1e9
        found[f"{name}, peak ÷ weights"] = peak(loaded.device) / weights
    return found


def recovery(loaded: LoadedModel, shape: Shape, _tokens: int) -> Figures:
    """A run that finds the memory taken, and the run after it."""
    if loaded.device.type != "cuda":
        return {"skipped": "no card"}
    specs = specs_of(loaded, 2, 40, 0.0)
    before = tokens_of(loaded, specs)
    torch.cuda.empty_cache()
    hold = torch.empty(torch.cuda.mem_get_info(loaded.device)[0] - 2**26, dtype=torch.uint8, device=loaded.device)
    try:
        tokens_of(loaded, specs_of(loaded, shape.batches[-1], 40, 0.0))
        said = "it had room"
    except (torch.OutOfMemoryError, UserFacingError) as error:
        said = type(error).__name__
    del hold
    torch.cuda.empty_cache()
    return {"said": said, "the next run is the same": tokens_of(loaded, specs) == before}


PARTS = {
    "bandwidth": bandwidth,
    "equality": equality,
    "decode": decode,
    "nf4": nf4,
    "int8": int8,
    "extraction": extraction,
    "readings": readings,
    "recovery": recovery,
}


def main() -> None:
    """Run the parts and print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--only", default=",".join(PARTS))
    parser.add_argument("--tokens", type=int, default=160)
    options = parser.parse_args()
    has_card = torch.cuda.is_available()
    shape, dtype = (LARGE, torch.bfloat16) if has_card else (SMALL, torch.float32)
    tokens = options.tokens if has_card else FEW
    name = torch.cuda.get_device_name() if has_card else "CPU"
    transformers.utils.logging.set_verbosity_error()
    found: dict[str, Figures] = {
        "run": {"on": name, "torch": torch.__version__, "transformers": transformers.__version__}
    }
    began = time.perf_counter()
    loaded = loaded_of(shape, "cuda" if has_card else "cpu", dtype)
    found["run"]["weights made, s"] = settled(loaded.device) - began
    for part in options.only.split(","):
        began = time.perf_counter()
        try:
            found[part] = PARTS[part](loaded, shape, tokens)
        except Exception as error:
            traceback.print_exc()
            found[part] = {"failed": f"{type(error).__name__}: {error}"}
        found["run"][f"{part} took, s"] = time.perf_counter() - began
        if options.json:
            options.json.write_text(json.dumps(found, indent=1, ensure_ascii=False))
    for part, figures in found.items():
        for what, value in figures.items():
            print(f"{part:11} {what:60} {value:,.3f}" if isinstance(value, float) else f"{part:11} {what:60} {value}")


if __name__ == "__main__":
    main()
