"""What stands between asking for a text of 2,000 tokens and its first colours, against one plain forward, in turns.

python -m benchmarks.first_colours
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch

from benchmarks.attribution import last
from benchmarks.shape_135m import LAYER, loaded_135m, long_text
from core.attribution.one_text import attribute_tokens, read_steered
from core.attribution.readouts import SteeredSpec, StreamLensSpec
from core.attribution.stream_lens import read_layer

TOKENS, TURNS = 2000, 3


def main() -> None:
    """Print CPU seconds, one thread, medians over the turns."""
    loaded = loaded_135m()
    reading = long_text(loaded, TOKENS)
    ids = torch.tensor([reading.token_ids])
    lens = StreamLensSpec.of(reading, LAYER)

    def forward() -> object:
        with torch.inference_mode():
            return loaded.model(ids, use_cache=False).logits

    ways: dict[str, Callable[[], object]] = {
        "one forward with its logits": forward,
        "until the first colours": lambda: last(attribute_tokens(loaded, reading)),
        "the text steered": lambda: last(read_steered(loaded, SteeredSpec(reading=reading))),
        f"the lens of layer {LAYER}": lambda: last(read_layer(loaded, loaded, lens)),
    }
    loaded.keyword_forms(reading.keywords)
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(TURNS):
        for name, run in ways.items():
            began = time.process_time()
            run()
            taken[name].append(time.process_time() - began)
    one = statistics.median(taken["one forward with its logits"])
    for name, seconds in taken.items():
        print(f"{name}: {statistics.median(seconds):.1f} s, {statistics.median(seconds) / one:.2f} × one forward")


if __name__ == "__main__":
    main()
