"""Exact effects: edit one position's residual stream, run the rest of the model, and see what the target does.

One row of a batch per position. The rows share one pass up to the edited layer: the edit itself makes them differ, so
what lies before it is computed once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from core.attribution.targets import Contrast, check_text, contrast_of
from core.attribution.values import Interventions, InterventionSpec
from core.errors import BadInput
from core.forward.edits import SteeringSpec
from core.forward.hooks import steer_residuals
from core.forward.steering import compile_steering
from core.forward.unembedding import unembed
from core.models.loaded import LoadedModel
from core.values import Floats, Positions

_TOKENS_AT_ONCE = 8192


def measure_effects(loaded: LoadedModel, spec: InterventionSpec) -> Iterator[float | Interventions]:
    """Yield the share of work done after each batch of positions, and at last the Interventions.

    Raises BadInput or BadDirection before the first forward when text, layer or direction do not fit the model.
    """
    wanted = check_text(loaded, spec.text)
    stop = max(spec.text.targets) + 1
    added = [
        SteeringSpec(
            direction=spec.direction,
            layer=spec.layer,
            coefficient=spec.coefficient,
            positions=Positions(start=start, stop=end),
        )
        for start, end in [(spec.first, stop), *((i, i + 1) for i in range(spec.first, stop))]
    ]
    edits = [*added, *(replace(edit, operator="ablate", coefficient=0.0) for edit in added)]
    logits = _target_logits(loaded, spec, None)[0]
    contrast = contrast_of(logits, wanted)
    baseline = float(contrast.of(logits).double().mean())
    rows = max(1, _TOKENS_AT_ONCE // stop)
    effects: list[float] = []
    for begin in range(0, len(edits), rows):
        effects += _effects(loaded, spec, edits[begin : begin + rows], contrast, baseline)
        yield len(effects) / len(edits)
    yield _assemble(spec, np.asarray(effects).reshape(2, -1), stop, baseline)


def _effects(
    loaded: LoadedModel, spec: InterventionSpec, edits: Sequence[SteeringSpec], contrast: Contrast, baseline: float
) -> list[float]:
    found = _target_logits(loaded, spec, edits)
    return [float(contrast.of(logits).double().mean()) - baseline for logits in found]


def _target_logits(loaded: LoadedModel, spec: InterventionSpec, edits: Sequence[SteeringSpec] | None) -> Tensor:
    """(rows, n_targets, d_vocab) logits at the target positions, one row per edit; one unedited row for None.

    The ids go in as a batch of one. The hook broadcasts the stream at its layer to one row per edit.
    """
    stop = max(spec.text.targets) + 1
    ids = torch.tensor([spec.text.token_ids[:stop]], device=loaded.device)
    if edits is None:
        with loaded.lock, torch.inference_mode():
            return unembed(loaded, _normed(loaded, ids, spec))
    steering = compile_steering(loaded, [[edit] for edit in edits], n_prompt=[0] * len(edits))
    steering.positions = torch.arange(stop, device=loaded.device)[None]
    with loaded.lock, torch.inference_mode(), steer_residuals(loaded, steering):
        logits = unembed(loaded, _normed(loaded, ids, spec))
    if steering.finite is not None and not bool(steering.finite):
        raise BadInput(
            f"The residual stream of {loaded.name} is not finite with this coefficient.", "Choose a smaller one."
        )
    return logits


def _normed(loaded: LoadedModel, ids: Tensor, spec: InterventionSpec) -> Tensor:
    found: Tensor = loaded.decoder(input_ids=ids, use_cache=False).last_hidden_state
    return found[:, list(spec.text.targets)]


def _assemble(spec: InterventionSpec, effects: Floats, stop: int, baseline: float) -> Interventions:
    steered, ablated = np.full((2, len(spec.text.token_ids)), np.nan, np.float32)
    steered[spec.first : stop], ablated[spec.first : stop] = effects[:, 1:]
    return Interventions(
        spec=spec,
        steered=steered,
        ablated=ablated,
        steered_all=float(effects[0, 0]),
        ablated_all=float(effects[1, 0]),
        target=baseline,
    )
