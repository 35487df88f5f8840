"""Exact effects: edit one position's residual stream, run the rest of the model, and see what the target does.

One row of a batch per position and edit. Only what an edit can change is run: the positions from it on, in the blocks
after its layer. A model for which that is not the whole runs every position anew.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from core.attribution.targets import Contrast, check_text, contrast_of
from core.attribution.values import Interventions, InterventionSpec
from core.errors import BadInput
from core.forward.edits import SteeringSpec
from core.forward.hooks import steer_residuals
from core.forward.steering import compile_steering
from core.forward.suffixes import Kept, reproduces, run_and_keep, run_suffix
from core.forward.unembedding import unembed
from core.models.loaded import LoadedModel
from core.values import Floats, Positions

_TOKENS_AT_ONCE, _KEYS_AT_ONCE = 8192, 65536
"""Of all rows of a batch: tokens that are run, and positions whose keys and values are read."""
_STEP_SECONDS = 0.6
"""How long a batch of rows may take, by what the one before it took; a row is never cut."""


@dataclass(frozen=True, kw_only=True)
class _Unedited:
    """The text as it is."""

    ids: Tensor
    """(1, stop)."""
    places: Tensor
    """(n_targets,) target positions."""
    contrast: Contrast
    values: Tensor
    """(n_targets,) float64 differences of logits at the targets."""
    kept: Kept | None


def measure_effects(loaded: LoadedModel, spec: InterventionSpec) -> Iterator[float | Interventions]:
    """Yield the share of work done after each batch of rows, and at last the Interventions.

    Raises BadInput or BadDirection before the first forward when text, layer or direction do not fit the model.
    """
    wanted = check_text(loaded, spec.text)
    edits = _edits(spec)
    compile_steering(loaded, [edits[:1]], n_prompt=[0])
    plain = _run_unedited(loaded, spec, wanted)
    yield 0.5 / len(edits)
    effects: list[float] = []
    rows = 1
    while len(effects) < len(edits):
        here = edits[len(effects) : len(effects) + rows]
        began = time.perf_counter()
        effects += _effects(loaded, plain, here)
        rows = _next_rows(time.perf_counter() - began, here, edits[len(effects) :], plain)
        yield len(effects) / len(edits)
    yield _assemble(spec, np.asarray(effects).reshape(-1, 2).T, float(plain.values.mean()))


def _edits(spec: InterventionSpec) -> list[SteeringSpec]:
    """Steering and ablating all positions at once, then each alone, in order of where they begin."""
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
    return [edit for add in added for edit in (add, replace(add, operator="ablate", coefficient=0.0))]


def _run_unedited(loaded: LoadedModel, spec: InterventionSpec, wanted: list[int]) -> _Unedited:
    """One pass over the text up to its last target, and short ones that check whether its end can be run alone."""
    stop = max(spec.text.targets) + 1
    ids = torch.tensor([spec.text.token_ids[:stop]], device=loaded.device)
    places = torch.tensor(spec.text.targets, device=loaded.device)
    with loaded.lock, torch.inference_mode():
        normed, kept = run_and_keep(loaded, ids, spec.layer)
        if kept is not None and not reproduces(loaded, kept, normed, (spec.first, (spec.first + stop) // 2)):
            kept = None
        logits = unembed(loaded, normed[0, places])
    contrast = contrast_of(logits, wanted)
    return _Unedited(ids=ids, places=places, contrast=contrast, values=contrast.of(logits).double(), kept=kept)


def _effects(loaded: LoadedModel, plain: _Unedited, edits: Sequence[SteeringSpec]) -> list[float]:
    """Change of the target by each edit; targets before the first of them cannot change."""
    start = edits[0].positions.start if plain.kept else 0
    steering = compile_steering(loaded, [[edit] for edit in edits], n_prompt=[0] * len(edits))
    steering.positions = torch.arange(start, plain.ids.shape[1], device=loaded.device)[None]
    reached = plain.places >= start
    with loaded.lock, torch.inference_mode(), steer_residuals(loaded, steering):
        if plain.kept:
            normed = run_suffix(loaded, plain.kept, start)
        else:
            normed = loaded.decoder(input_ids=plain.ids, use_cache=False).last_hidden_state
        logits = unembed(loaded, normed[:, plain.places[reached] - start])
    if steering.finite is not None and not bool(steering.finite.all()):
        raise BadInput(
            f"The residual stream of {loaded.name} is not finite with this coefficient.", "Choose a smaller one."
        )
    contrast = Contrast(ids=plain.contrast.ids[reached], weights=plain.contrast.weights[reached])
    changes = [(contrast.of(row).double() - plain.values[reached]).sum() for row in logits]
    return [float(change) / len(plain.places) for change in changes]


def _next_rows(seconds: float, done: Sequence[SteeringSpec], left: Sequence[SteeringSpec], plain: _Unedited) -> int:
    """How many rows the next batch may have, by the seconds that the rows `done` took."""
    if not left:
        return 0
    stop = plain.ids.shape[1]
    before, after = (stop - edits[0].positions.start if plain.kept else stop for edits in (done, left))
    share = _STEP_SECONDS / max(seconds, 1e-6) * len(done) * before / after
    return max(1, min(_TOKENS_AT_ONCE // after, _KEYS_AT_ONCE // stop, int(min(share, 4 * len(done)))))


def _assemble(spec: InterventionSpec, effects: Floats, baseline: float) -> Interventions:
    stop = max(spec.text.targets) + 1
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
