"""Sums over the traces of one pass, from which every window, negative and weighting follows without another forward.

Rows are labels, columns are windows: single offsets, and any longer windows that were asked for. Traces are
assigned to folds in turn, so that what is estimated on some folds can be checked on the others. No torch, no disk.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from core.errors import BadInput
from core.extraction.values import Negatives, Weighting
from core.tokens.frames import ChatFrame
from core.values import Doubles, Floats, Integers, ModelSpec, Window

NEGATIVES: tuple[Negatives, ...] = ("all", "other", "same")
WEIGHTINGS: tuple[Weighting, ...] = ("trace", "token")
SHUFFLED = "shuffled "
FOLDS = (8, 4, 2)
WHOLE_BYTES = 128 << 20
"""Of float32 sums: up to here they are kept exactly and in one file."""
AnyFloats = NDArray[np.floating]


@dataclass(frozen=True, kw_only=True)
class MomentsSpec:
    """One pass of `model` over `traces`: sums for every label × window × layer, kept apart by fold."""

    model: ModelSpec
    fingerprint: str
    traces_digest: str
    labels: tuple[str, ...]
    windows: tuple[Window, ...]
    layers: tuple[int, ...]
    folds: int = 4
    shuffled: str = ""
    """A label whose events are also taken at random positions, as a control; "" for none."""
    seed: int = 0
    """Of the random positions."""
    frame: ChatFrame | None = None
    """The text around every question, where it is not the model's own."""

    def __post_init__(self) -> None:
        if not self.labels or not self.windows or not self.layers:
            raise BadInput("The pass names no label, no window or no layer.", "Choose at least one of each.")
        if self.folds not in FOLDS:
            raise BadInput(f"The traces cannot be split into {self.folds} folds.", "Choose 2, 4 or 8.")

    @property
    def rows(self) -> tuple[str, ...]:
        """The labels, and the shuffled one at the end where there is one."""
        return (*self.labels, SHUFFLED + self.shuffled) if self.shuffled else self.labels


@dataclass(frozen=True, kw_only=True)
class ExactSums:
    """The sums of a pass that is not finished, unrounded: a pass that goes on from them ends as if it never stopped."""

    per_trace: Doubles = field(repr=False)
    """(n_rows, folds, n_layers, n_windows, d_model)."""
    per_token: Doubles = field(repr=False)
    """The same."""
    squares: Doubles = field(repr=False)
    """(n_rows, n_layers, n_windows, d_model)."""
    negative: Doubles = field(repr=False)
    """(folds, n_layers, 2 × n_rows × 3, d_model)."""
    all_squares: Doubles = field(repr=False)
    """(n_layers, d_model)."""
    norms: Doubles = field(repr=False)
    """(n_layers,) Σ over all tokens."""


class LayerSums(Protocol):
    """The sums of one layer; weightings, rows and NEGATIVES by index."""

    def positive(self, weighting: int, row: int) -> AnyFloats:
        """(folds, n_windows, d_model) over the positions of D+."""
        ...

    def squares(self, row: int) -> AnyFloats:
        """(n_windows, d_model) Σ over tokens of D+ of squared activations."""
        ...

    def negative(self, weighting: int, row: int, negatives: int) -> AnyFloats:
        """(folds, d_model) over the positions that the negatives name for the row's label."""
        ...

    def all_squares(self) -> AnyFloats:
        """(d_model,) Σ over all tokens of squared activations."""
        ...


@dataclass(frozen=True, kw_only=True)
class Gathered(ABC):
    """What one pass gathered: counts, and sums by layer. The first axis of counts is the weighting.

    Per trace (Eq. 3), a sum runs over the traces' means and its count is of traces; per token, both run over tokens.
    """

    spec: MomentsSpec
    counts: Integers = field(repr=False)
    """(2, n_rows, folds, n_windows)."""
    negative_counts: Integers = field(repr=False)
    """(2, n_rows, 3, folds)."""
    norms: Floats = field(repr=False)
    """(n_layers,) mean norm of the residual stream over all tokens."""
    events: Integers = field(repr=False)
    """(n_rows,) events."""
    n_traces: int
    """Traces of the pass, those that were left out included."""
    n_tokens: int
    skipped: tuple[str, ...] = ()
    """Traces that the model could not read, with the reason."""

    @property
    @abstractmethod
    def d_model(self) -> int:
        """Width of the residual stream."""

    @property
    @abstractmethod
    def nbytes(self) -> int:
        """Bytes that it takes in memory."""

    @abstractmethod
    def layer(self, i: int) -> LayerSums:
        """The sums of a layer, by its index. Raises BadInput where they are not kept any more."""

    def row(self, label: str) -> int:
        """Index of a label. Raises BadInput when the pass did not gather it."""
        if label not in self.spec.rows:
            raise BadInput(f"The label {label!r} was not gathered.", "Choose another label, or extract again with it.")
        return self.spec.rows.index(label)

    def columns(self, window: Window) -> tuple[int, ...]:
        """Columns whose mean is the window: its own, or those of its single offsets. Raises BadInput where it has none.

        The mean over single offsets gives each offset the same weight. It equals the mean over the union of positions
        (Eq. 3) where in every trace the windows neither leave the text nor overlap.
        """
        if window in self.spec.windows:
            return (self.spec.windows.index(window),)
        places = {w: j for j, w in enumerate(self.spec.windows)}
        singles = [Window(start=o, stop=o + 1) for o in range(window.start, window.stop)]
        if any(single not in places for single in singles):
            raise BadInput(
                f"The window {window.label} reaches beyond the offsets that were gathered.",
                "Choose a window within the map, or extract again with a wider one.",
            )
        return tuple(places[single] for single in singles)


@dataclass(frozen=True, kw_only=True)
class Moments(Gathered):
    """All layers' sums in memory. The first axis of sums is the weighting, as of counts."""

    sums: Floats = field(repr=False)
    """(2, n_rows, folds, n_layers, n_windows, d_model) over the positions of D+."""
    squares: Floats = field(repr=False)
    """(n_rows, n_layers, n_windows, d_model) Σ over tokens of D+ of squared activations."""
    negative_sums: Floats = field(repr=False)
    """(2, n_rows, 3, folds, n_layers, d_model) over the positions that NEGATIVES name for the row's label."""
    all_squares: Floats = field(repr=False)
    """(n_layers, d_model) Σ over all tokens of squared activations."""
    exact: ExactSums | None = field(default=None, repr=False)
    """Of a pass that is not finished."""

    def __post_init__(self) -> None:
        rows, layers, windows = len(self.spec.rows), len(self.spec.layers), len(self.spec.windows)
        want = (2, rows, self.spec.folds, layers, windows, self.d_model)
        assert self.sums.shape == want, f"sums has shape {self.sums.shape}, the spec asks for {want}"
        want = (2, rows, len(NEGATIVES), self.spec.folds, layers, self.d_model)
        assert self.negative_sums.shape == want, f"negative_sums has shape {self.negative_sums.shape}, not {want}"

    @property
    def d_model(self) -> int:
        return int(self.sums.shape[-1])

    @property
    def nbytes(self) -> int:
        values = [*vars(self).values(), *(vars(self.exact).values() if self.exact else ())]
        return sum(value.nbytes for value in values if isinstance(value, np.ndarray))

    def layer(self, i: int) -> LayerSums:
        return _LayerOf(self, i)


@dataclass(frozen=True)
class _LayerOf:
    """One layer of sums that are in memory."""

    of: Moments
    i: int

    def positive(self, weighting: int, row: int) -> AnyFloats:
        return cast(AnyFloats, self.of.sums[weighting, row, :, self.i])

    def squares(self, row: int) -> AnyFloats:
        return cast(AnyFloats, self.of.squares[row, self.i])

    def negative(self, weighting: int, row: int, negatives: int) -> AnyFloats:
        return cast(AnyFloats, self.of.negative_sums[weighting, row, negatives, :, self.i])

    def all_squares(self) -> AnyFloats:
        return cast(AnyFloats, self.of.all_squares[self.i])


def single_offsets(first: int, last: int) -> tuple[Window, ...]:
    """One single-offset window for each offset from first to last, both included."""
    return tuple(Window(start=offset, stop=offset + 1) for offset in range(first, last + 1))


@dataclass(frozen=True, kw_only=True)
class Need:
    """Bytes that a pass takes. Hidden states of one trace come on top in memory."""

    memory: int
    """While it runs: float64 sums that grow, and their copy while it is kept."""
    kept: int
    """On disk when it is done."""
    unfinished: int
    """On disk while it runs: what Stop or a killed process leaves, and what takes its place."""


def numbers_of(spec: MomentsSpec, d_model: int) -> int:
    """Per label × layer × window × component: one number per weighting and fold, and one for the squares."""
    cells = len(spec.rows) * len(spec.layers) * len(spec.windows) * d_model
    background = 2 * len(spec.rows) * len(NEGATIVES) * spec.folds * len(spec.layers) * d_model
    return cells * (2 * spec.folds + 1) + background


def is_large(spec: MomentsSpec, d_model: int) -> bool:
    """Whether the sums are kept layer by layer, in half precision; else in one file, as float32."""
    return 4 * numbers_of(spec, d_model) > WHOLE_BYTES


def bytes_needed(spec: MomentsSpec, d_model: int) -> Need:
    """What a pass takes in memory and on disk."""
    numbers = numbers_of(spec, d_model)
    if is_large(spec, d_model):
        layer = numbers // len(spec.layers)
        return Need(memory=8 * numbers + 24 * layer, kept=2 * numbers, unfinished=2 * 8 * numbers)
    cells = len(spec.rows) * len(spec.layers) * len(spec.windows) * d_model
    return Need(memory=8 * numbers + 4 * cells * spec.folds, kept=4 * numbers, unfinished=2 * 12 * numbers)


def largest_folds(spec_folds: Sequence[int], needed: Sequence[int], limit: int) -> int:
    """The largest number of folds whose bytes stay below `limit`, else the smallest."""
    fitting = [folds for folds, size in zip(spec_folds, needed, strict=True) if size <= limit]
    return max(fitting, default=min(spec_folds))
