"""Exact effects at 256 positions of a text of 2,000 tokens, against a whole pass per row, taken in turns: CPU seconds.

python -m benchmarks.exact_effects
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch

from benchmarks.shape_135m import loaded_135m, long_text
from core.attribution.interventions import measure_effects
from core.attribution.targets import check_text, contrast_of
from core.attribution.values import Interventions, InterventionSpec, TargetText
from core.forward.edits import SteeringSpec
from core.forward.hooks import steer_residuals
from core.forward.steering import compile_steering
from core.forward.unembedding import unembed
from core.models.loaded import LoadedModel
from core.values import Positions

TOKENS, POSITIONS, ROWS = 2000, 256, 4
TURNS = 3
"""Whole passes of ROWS rows each; their mean stands for the others, which cost the same."""


def whole_passes(loaded: LoadedModel, spec: InterventionSpec) -> Callable[[list[int]], list[float]]:
    """What gives the effects of steering at some positions alone, each with every position run."""
    stop = max(spec.text.targets) + 1
    ids, places = torch.tensor([spec.text.token_ids[:stop]]), list(spec.text.targets)

    def values(edits: list[SteeringSpec]) -> torch.Tensor:
        steering = compile_steering(loaded, [[edit] for edit in edits], n_prompt=[0] * len(edits))
        steering.positions = torch.arange(stop)[None]
        with torch.inference_mode(), steer_residuals(loaded, steering):
            return unembed(loaded, loaded.decoder(input_ids=ids, use_cache=False).last_hidden_state[:, places])

    plain = values([])[0]
    contrast = contrast_of(plain, check_text(loaded, spec.text))

    def run(positions: list[int]) -> list[float]:
        edits = [
            SteeringSpec(
                direction=spec.direction,
                layer=spec.layer,
                coefficient=spec.coefficient,
                positions=Positions(start=i, stop=i + 1),
            )
            for i in positions
        ]
        return [float((contrast.of(row) - contrast.of(plain)).mean()) for row in values(edits)]

    return run


def main(loaded: LoadedModel | None = None) -> None:
    """Print seconds of both, their ratio, and how far their numbers are apart."""
    loaded = loaded or loaded_135m()
    reading = long_text(loaded, TOKENS)
    spec = InterventionSpec(
        text=TargetText.of(reading, (TOKENS - 2,)),
        direction=reading.direction,
        layer=reading.layer,
        coefficient=reading.coefficient,
        first=TOKENS - 1 - POSITIONS,
    )
    whole = whole_passes(loaded, spec)
    checked = np.linspace(spec.first, TOKENS - 2, TURNS * ROWS).astype(int).reshape(TURNS, ROWS)
    ours, theirs, longest = 0.0, 0.0, 0.0
    peers: list[float] = []
    steps, turn = measure_effects(loaded, spec), 0
    while True:
        began = time.process_time()
        step = next(steps)
        took = time.process_time() - began
        ours += took
        if isinstance(step, Interventions):
            break
        longest = max(longest, took if step > 1 / POSITIONS else 0.0)
        if turn < TURNS and step >= (turn + 0.5) / TURNS:
            began = time.process_time()
            peers += whole(checked[turn].tolist())
            theirs += time.process_time() - began
            turn += 1
    a_row = theirs / len(peers)
    error = np.abs(step.steered[checked.ravel()[: len(peers)]] - peers).max()
    rows = 2 * (POSITIONS + 1)
    print(f"{rows} rows of {TOKENS} tokens, {loaded.n_layers} layers, edits after layer {spec.layer}, one thread")
    print(f"a whole pass per row: {a_row:.2f} s a row over {len(peers)} rows, {rows * a_row:.0f} s for all")
    print(f"the end of the text alone: {ours:.1f} s for all, {rows * a_row / ours:.1f} × faster; at most")
    print(f"{longest:.2f} s a step, the first pass apart; largest difference {error:.1e} logits")


if __name__ == "__main__":
    main()
