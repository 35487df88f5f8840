"""Token attribution of a long text on the embedded pair: each pass cold, and the whole from the store.

python -m benchmarks.attribution
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from core.attribution.gradients import attribute_gradients
from core.attribution.one_text import attribute_tokens
from core.attribution.values import Attribution, AttributionSpec, Gradients, GradientSpec, TargetText
from core.disk.store import Store
from core.embedded import embedded_directions, example_traces
from core.models.loaded import LoadedModel, encode_text, load_model, set_threads
from core.models.pair import DEMO_PAIR
from core.text.words import KEYWORDS

LENGTHS = (2000, 6000)


def last(steps: Iterator[Any]) -> Any:
    """What a work generator ends with."""
    *_, result = steps
    return result


def timed(name: str, work: Callable[[], Any]) -> Any:
    """The result of one call, its seconds printed."""
    started = time.perf_counter()
    result = work()
    print(f"{name}: {time.perf_counter() - started:.2f} s")
    return result


def measure(loaded: LoadedModel, tokens: int) -> None:
    """Print the figures of one length."""
    threads = set_threads(loaded)
    traces = example_traces()
    reading = encode_text(replace(loaded, context_length=10**6), traces[0].prompt, traces[0].text)
    body = reading.token_ids[reading.text_start :]
    ids = (reading.token_ids + body * (tokens // len(body) + 1))[:tokens]
    direction = embedded_directions()[0]
    spec = AttributionSpec(
        model=loaded.spec,
        fingerprint=loaded.fingerprint,
        token_ids=ids,
        text_start=reading.text_start,
        direction=direction,
        layer=direction.layer,
        coefficient=4.0,
        keywords=KEYWORDS,
    )
    gradient = GradientSpec(text=TargetText.of(spec, (tokens - 2,)), direction=direction)
    print(f"{tokens} tokens, {loaded.n_layers} layers, fp32, CPU, {threads} thread(s); the first call is cold")
    found = timed("projection, cosine, next-token probability", lambda: last(attribute_tokens(loaded, spec)))
    slopes = timed("gradients and direct logit attribution", lambda: last(attribute_gradients(loaded, gradient)))
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        store.put("attribution", spec, found)
        store.put("gradients", gradient, slopes)
        store.close()
        store = Store(Path(folder))
        timed(
            "both from the store",
            lambda: (
                store.get(Attribution, "attribution", spec),
                store.get(Gradients, "gradients", gradient),
            ),
        )
        store.close()


def main() -> None:
    """Print the table."""
    loaded = load_model(DEMO_PAIR.reasoner)
    for tokens in LENGTHS:
        measure(loaded, tokens)


if __name__ == "__main__":
    main()
