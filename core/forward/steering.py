"""The steering of a batch as tensors: per layer the edits of every row, where they apply, and their arithmetic.

An edit returns new tensors and never changes the residual stream in place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from core.errors import BadDirection, BadInput
from core.forward.edits import SteeringSpec
from core.forward.programs import NO_END, Ending, ending_of, position_bounds
from core.forward.rows import put, taken
from core.models.loaded import LoadedModel
from core.values import Positions


@dataclass(frozen=True)
class Slot:
    """One edit per row of a batch at one layer, as tensors; a row without an edit has a zero vector."""

    vectors: Tensor
    """(batch, d_model) unit vectors."""
    coefficients: Tensor
    """(batch,) what is added along the vector."""
    removes: Tensor
    """(batch,) 1 where the projection that is already there is taken out first (ablate, clamp), else 0."""
    amplifies: Tensor
    """(batch,) what is added along the residual stream's own direction (amplify), else 0."""
    starts: Tensor
    """(batch,) first steered position."""
    stops: Tensor
    """(batch,) first position that is no longer steered."""
    steps: Tensor
    """(batch,) every how many positions, counted from `starts`."""
    ramps: Tensor
    """(batch,) over how many positions the edit rises to its full size."""
    endings: Tensor
    """(batch,) the column of `Steering.limits` that may end the edit earlier."""
    reads_projection: bool
    """Whether any row removes something."""
    reads_norm: bool
    """Whether any row amplifies."""
    everywhere: bool
    """Whether every row is steered at every position, or not at all."""

    def select(self, rows: Tensor) -> Slot:
        return taken(self, rows)

    def weights(self, steering: Steering) -> Tensor:
        """(batch, seq) share of the edit at each position: 0 where it does not apply, below 1 on its ramp."""
        assert steering.positions is not None
        limits = steering.limits.gather(1, self.endings[:, None])
        since, positions = steering.positions - self.starts[:, None], steering.positions
        covered = (since >= 0) & (positions >= 0) & (positions < torch.minimum(self.stops[:, None], limits))
        covered &= since % self.steps[:, None] == 0
        return covered * ((since + 1) / self.ramps[:, None]).clamp(max=1.0)


@dataclass
class Steering:
    """The steering of a batch: per layer, edits applied in order, each row with its own.

    `positions` must be set to the absolute positions (batch, seq) of the tokens of the next forward pass; negative
    positions are padding and never steered. `finite` turns False in a row whose steered residual stream is not.
    """

    slots: dict[int, tuple[Slot, ...]]
    limits: Tensor
    """(batch, 1 + n_endings) first position that each ending leaves unsteered; column 0 is no ending."""
    endings: tuple[Ending, ...] = ()
    """(n_endings,) what each further column of `limits` waits for; the decoder watches for it."""
    positions: Tensor | None = None
    padded: bool = True
    """Whether `positions` may hold padding; setting it False when there is none saves time."""
    finite: Tensor | None = None
    """(batch,)"""

    def select(self, rows: Tensor) -> Steering:
        """The steering of some rows of the batch: (k,) row indices."""
        slots = {layer: tuple(slot.select(rows) for slot in slots) for layer, slots in self.slots.items()}
        return Steering(slots, self.limits[rows], self.endings)

    def put(self, rows: Tensor, other: Steering) -> None:
        """Write the steering of other rows, of the same compiled whole, into the places `rows` (k,)."""
        for layer, slots in self.slots.items():
            for mine, theirs in zip(slots, other.slots[layer], strict=True):
                put(mine, rows, theirs)
        self.limits[rows] = other.limits

    def end(self, row: int, ending: int, position: int) -> None:
        """Nothing that waits for this ending is steered from `position` on, in this row of the batch."""
        self.limits[row, ending + 1] = position


def compile_steering(
    loaded: LoadedModel,
    rows: Sequence[Sequence[SteeringSpec]],
    *,
    n_prompt: Sequence[int],
    think_starts: Sequence[int] | None = None,
) -> Steering:
    """Steering for a batch whose row i has the edits rows[i] and a prompt of n_prompt[i] tokens.

    `think_starts[i]` is where the thinking of row i begins, by default its first new token. Raises BadDirection or
    BadInput before any forward when an edit does not fit the model.
    """
    by_layer: dict[int, list[list[tuple[int, SteeringSpec]]]] = {}
    for row, specs in enumerate(rows):
        depth: dict[int, int] = {}
        for spec in specs:
            _check(loaded, spec)
            slots = by_layer.setdefault(spec.layer, [])
            k = depth.get(spec.layer, 0)
            if k == len(slots):
                slots.append([])
            slots[k].append((row, spec))
            depth[spec.layer] = k + 1
    found = {ending_of(spec.positions): None for specs in rows for spec in specs}
    endings = tuple(ending for ending in found if ending != Ending())
    starts = list(zip(n_prompt, think_starts or n_prompt, strict=True))
    slots_of = {
        layer: tuple(_compile_slot(loaded, slot, starts=starts, endings=endings) for slot in slots)
        for layer, slots in by_layer.items()
    }
    limits = torch.full((len(starts), 1 + len(endings)), NO_END, dtype=torch.int64, device=loaded.device)
    return Steering(slots_of, limits, endings)


def _check(loaded: LoadedModel, spec: SteeringSpec) -> None:
    spec.direction.check_fits(n_layers=loaded.n_layers, d_model=loaded.d_model, model_name=loaded.name)
    if not 0 <= spec.layer < loaded.n_layers:
        raise BadInput(
            f"Steering at layer {spec.layer} was asked for; {loaded.name} has layers 0 to {loaded.n_layers - 1}.",
            "Choose one of these layers.",
        )
    limit = torch.finfo(loaded.compute_dtype).max / 4
    if abs(spec.coefficient) > limit:
        raise BadDirection(
            f"The coefficient {spec.coefficient:g} overflows {loaded.compute_dtype}.",
            f"Choose one between ±{limit:.0f}, or load the model in another precision.",
        )


def _compile_slot(
    loaded: LoadedModel,
    edits: list[tuple[int, SteeringSpec]],
    *,
    starts: Sequence[tuple[int, int]],
    endings: tuple[Ending, ...],
) -> Slot:
    """The slot of edits (row, spec); `starts` holds (n_prompt, first position of the thinking) of every row."""
    batch = len(starts)
    vectors = torch.zeros(batch, loaded.d_model)
    coefficients, removes, amplifies = torch.zeros(3, batch)
    bounds = torch.ones(5, batch, dtype=torch.int64)
    bounds[4] = 0
    for row, spec in edits:
        vectors[row] = torch.from_numpy(spec.direction.vector)
        coefficients[row] = spec.coefficient if spec.operator in ("add", "clamp") else 0.0
        removes[row] = spec.operator in ("ablate", "clamp")
        amplifies[row] = spec.coefficient if spec.operator == "amplify" else 0.0
        ending = ending_of(spec.positions)
        column = 0 if ending == Ending() else 1 + endings.index(ending)
        bounds[:, row] = torch.tensor((*position_bounds(spec.positions, *starts[row]), spec.ramp, column))
    begins, stops, steps, ramps, columns = bounds.to(loaded.device).unbind(0)
    return Slot(
        vectors=vectors.to(loaded.device),
        coefficients=coefficients.to(loaded.device),
        removes=removes.to(loaded.device),
        amplifies=amplifies.to(loaded.device),
        starts=begins,
        stops=stops,
        steps=steps,
        ramps=ramps,
        endings=columns,
        reads_projection=bool(removes.any()),
        reads_norm=bool(amplifies.any()),
        everywhere=all(spec.positions == Positions() and spec.ramp == 1 for _, spec in edits),
    )


def edited(hidden: Tensor, slot: Slot, steering: Steering) -> Tensor:
    """(batch, seq, d_model) with the slot's edit at the positions that it covers; the others are unchanged."""
    vectors = slot.vectors[:, None, :]
    amount = slot.coefficients[:, None]
    if slot.reads_projection:
        present = (hidden.float() * vectors).sum(-1)
        amount = amount - slot.removes[:, None] * present
    weights = None if slot.everywhere and not steering.padded else slot.weights(steering)
    delta = (amount if weights is None else amount * weights)[..., None] * vectors
    if slot.reads_norm:
        own = hidden.float() / hidden.float().norm(dim=-1, keepdim=True).clamp(min=1e-12)
        gain = slot.amplifies[:, None] if weights is None else slot.amplifies[:, None] * weights
        delta = delta + gain[..., None] * own
    return hidden + delta.to(hidden.dtype)
