"""The same steered greedy decode in other libraries: repeng, steering-vectors and nnsight, where they are installed.

None of them is needed by Retrace. To compare, install them into an environment that also has Retrace's packages.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Iterator
from typing import Any

import torch

from core.directions.direction import Direction
from core.models.loaded import LoadedModel

Run = Callable[[], object]
PEERS = ("repeng", "steering_vectors", "nnsight")


def peers(
    loaded: LoadedModel, ids: torch.Tensor, direction: Direction, *, layer: int, dose: float, tokens: int
) -> Iterator[tuple[str, Run | str]]:
    """(library, what decodes `tokens` steered tokens after (1, n) ids) for each; a sentence where it cannot be run.

    A library may change the model: take its run before the next one.
    """
    makers = {"repeng": _repeng, "steering_vectors": _steering_vectors, "nnsight": _nnsight}
    raw = torch.from_numpy(direction.vector) * dose
    for name in PEERS:
        if importlib.util.find_spec(name) is None:
            yield name, f"{name} is not installed: skipped"
            continue
        try:
            yield name, makers[name](loaded, ids, raw, layer, tokens)
        except Exception as error:
            yield name, f"{name} does not run with these package versions ({type(error).__name__}: {str(error)[:80]})"


def _arguments(ids: torch.Tensor, tokens: int) -> dict[str, Any]:
    return {
        "attention_mask": torch.ones_like(ids),
        "min_new_tokens": tokens,
        "max_new_tokens": tokens,
        "do_sample": False,
    }


def _repeng(loaded: LoadedModel, ids: torch.Tensor, raw: torch.Tensor, layer: int, tokens: int) -> Run:
    library: Any = importlib.import_module("repeng")

    def run() -> object:
        model = library.ControlModel(loaded.model, [layer])
        try:
            model.set_raw_control({layer: raw.to(loaded.device, loaded.compute_dtype)})
            return model.generate(ids, **_arguments(ids, tokens))
        finally:
            model.unwrap()

    run()
    return run


def _steering_vectors(loaded: LoadedModel, ids: torch.Tensor, raw: torch.Tensor, layer: int, tokens: int) -> Run:
    library: Any = importlib.import_module("steering_vectors")
    vector = library.SteeringVector(layer_activations={layer: raw.to(loaded.device, loaded.compute_dtype)})

    def run() -> object:
        with vector.apply(loaded.model):
            return loaded.model.generate(ids, **_arguments(ids, tokens))

    run()
    return run


def _nnsight(loaded: LoadedModel, ids: torch.Tensor, raw: torch.Tensor, layer: int, tokens: int) -> Run:
    library: Any = importlib.import_module("nnsight")
    model = library.LanguageModel(loaded.model, tokenizer=loaded.tokenizer)
    vector = raw.to(loaded.device, loaded.compute_dtype)

    def run() -> object:
        with model.generate(ids, **_arguments(ids, tokens)) as tracer:
            for _step in tracer.iter[:]:
                model.model.layers[layer].output = model.model.layers[layer].output + vector
        return None

    run()
    return run
