"""Sums of a large pass, a layer at a time: exact while it runs, in half precision when it is done. No torch.

A mean in half precision is kept as what it differs by from the layer's mean over all tokens, with a scale for each
vector: what directions are made of is that difference, which may be a hundredth of the mean itself. Squares are kept as
the spread of each window around its own mean, for the same reason, and come back in float64.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from typing import cast

import numpy as np
from numpy.typing import NDArray

from core.errors import BadInput
from core.extraction.moments import NEGATIVES, WEIGHTINGS, AnyFloats, Gathered, LayerSums, Moments
from core.values import AnyArray, Doubles, Floats, Halves

TOKEN = WEIGHTINGS.index("token")
ALL = NEGATIVES.index("all")


def layer_name(layer: int, row: int | None = None) -> str:
    """What a layer's values are kept under, or those of one label of it."""
    return f"layer-{layer:03d}" + ("" if row is None else f"-{row:03d}")


@dataclass(frozen=True, kw_only=True)
class ExactLayer:
    """The sums of one layer, unrounded, as they grow."""

    per_trace: Doubles = field(repr=False)
    """(n_rows, folds, n_windows, d_model)."""
    per_token: Doubles = field(repr=False)
    """The same."""
    squares: Doubles = field(repr=False)
    """(n_rows, n_windows, d_model)."""
    negative: Doubles = field(repr=False)
    """(folds, 2 × n_rows × 3, d_model)."""
    all_squares: Doubles = field(repr=False)
    """(d_model,)."""
    norms: Doubles = field(repr=False)
    """(1,) Σ over all tokens."""

    def by_kind(self) -> Doubles:
        """(2, n_rows, 3, folds, d_model) of `negative`."""
        folds, _, d = self.negative.shape
        rows = self.per_trace.shape[0]
        return self.negative.reshape(folds, 2, rows, len(NEGATIVES), d).transpose(1, 2, 3, 0, 4)


@dataclass(frozen=True, kw_only=True)
class HalfLayer:
    """Of one layer in half precision, what all labels share; every vector has a scale."""

    mean: Floats = field(repr=False)
    """(d_model,) mean over all tokens."""
    negative: Halves = field(repr=False)
    """(2, n_rows, 3, folds, d_model) means less `mean`."""
    negative_scale: Floats = field(repr=False)
    """(2, n_rows, 3, folds)."""
    all_spread: Floats = field(repr=False)
    """(d_model,) standard deviation over all tokens."""


@dataclass(frozen=True, kw_only=True)
class HalfRow:
    """Of one layer in half precision, a label's own."""

    positive: Halves = field(repr=False)
    """(2, folds, n_windows, d_model) means less the layer's mean."""
    positive_scale: Floats = field(repr=False)
    """(2, folds, n_windows)."""
    spread: Halves = field(repr=False)
    """(n_windows, d_model) standard deviation over tokens around the window's own mean."""
    spread_scale: Floats = field(repr=False)
    """(n_windows,)."""


def halved(exact: ExactLayer, of: Gathered) -> tuple[HalfLayer, list[HalfRow]]:
    """The sums in half precision, given the counts that they belong to."""
    kinds, counts = exact.by_kind(), of.negative_counts
    n = max(int(counts[TOKEN, 0, ALL].sum()), 1)
    total = kinds[TOKEN, 0, ALL].sum(0) / n
    mean = total.astype(np.float32)
    negative, scale = _scaled(_means(kinds, counts) - mean, counts)
    shared = HalfLayer(
        mean=mean,
        negative=negative,
        negative_scale=scale,
        all_spread=np.sqrt((exact.all_squares / n - total**2).clip(0)).astype(np.float32),
    )
    return shared, [_halved_row(exact, of, row, mean) for row in range(len(of.spec.rows))]


def _halved_row(exact: ExactLayer, of: Gathered, row: int, mean: Floats) -> HalfRow:
    counts, tokens = of.counts[:, row], of.counts[TOKEN, row].sum(0)
    sums = np.stack([exact.per_trace[row], exact.per_token[row]])
    positive, scale = _scaled(_means(sums, counts) - mean, counts)
    square, inside = (_means(s, tokens) for s in (exact.squares[row], exact.per_token[row].sum(0)))
    spread, spread_scale = _scaled(np.sqrt((square - inside**2).clip(0)), tokens)
    return HalfRow(positive=positive, positive_scale=scale, spread=spread, spread_scale=spread_scale)


def _means(sums: Doubles, counts: NDArray[np.int64]) -> Doubles:
    return sums / np.maximum(counts, 1)[..., None]


def _scaled(values: Doubles, counts: NDArray[np.int64]) -> tuple[Halves, Floats]:
    """Each vector divided by its largest component, and that; zeros where nothing was counted."""
    largest = np.abs(values).max(-1)
    scale = np.where((counts > 0) & (largest > 0), largest, 1.0).astype(np.float32)
    kept = np.where(counts > 0, 1.0, 0.0)[..., None] * values / scale.astype(np.float64)[..., None]
    return kept.astype(np.float16), scale


@dataclass(frozen=True)
class OpenLayer:
    """A layer in half precision as sums again, a label at a time: what a page shows needs few of them."""

    kept: HalfLayer
    of: Gathered
    read: Callable[[int], HalfRow]
    """Gives what is a label's own, by its row."""
    rows: dict[int, HalfRow] = field(default_factory=dict, repr=False)
    """Those that were asked for."""

    def positive(self, weighting: int, row: int) -> AnyFloats:
        kept = self._row(row)
        return self._sums(kept.positive[weighting], kept.positive_scale[weighting], self.of.counts[weighting, row])

    def squares(self, row: int) -> AnyFloats:
        kept, n = self._row(row), self.of.counts[TOKEN, row].sum(0)[:, None]
        mean = self.positive(TOKEN, row).sum(0) / np.maximum(n, 1)
        spread = kept.spread.astype(np.float64) * kept.spread_scale[:, None]
        return cast(AnyFloats, (spread**2 + mean**2) * n)

    def _row(self, row: int) -> HalfRow:
        if row not in self.rows:
            self.rows[row] = self.read(row)
        return self.rows[row]

    def negative(self, weighting: int, row: int, negatives: int) -> AnyFloats:
        at = (weighting, row, negatives)
        return self._sums(self.kept.negative[at], self.kept.negative_scale[at], self.of.negative_counts[at])

    def all_squares(self) -> AnyFloats:
        n = max(int(self.of.negative_counts[TOKEN, 0, ALL].sum()), 1)
        mean = self.negative(TOKEN, 0, ALL).sum(0) / n
        return cast(AnyFloats, (self.kept.all_spread.astype(np.float64) ** 2 + mean**2) * n)

    def _sums(self, halves: Halves, scale: Floats, counts: NDArray[np.int64]) -> AnyFloats:
        found = halves.astype(np.float64)
        found *= scale[..., None]
        found += self.kept.mean
        found *= counts[..., None]
        return found


@dataclass(frozen=True)
class _RoundedLayer:
    """A layer of a pass that still runs, as float32."""

    exact: ExactLayer

    def positive(self, weighting: int, row: int) -> AnyFloats:
        sums = self.exact.per_token if weighting == TOKEN else self.exact.per_trace
        return cast(AnyFloats, sums[row].astype(np.float32))

    def squares(self, row: int) -> AnyFloats:
        return cast(AnyFloats, self.exact.squares[row].astype(np.float32))

    def negative(self, weighting: int, row: int, negatives: int) -> AnyFloats:
        return cast(AnyFloats, self.exact.by_kind()[weighting, row, negatives].astype(np.float32))

    def all_squares(self) -> AnyFloats:
        return self.exact.all_squares.astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class Head(Gathered):
    """Of a large pass, all but the layers' sums."""

    width: int

    @property
    def d_model(self) -> int:
        return self.width

    @property
    def nbytes(self) -> int:
        return sum(value.nbytes for value in vars(self).values() if isinstance(value, np.ndarray))

    def layer(self, i: int) -> LayerSums:
        raise BadInput("The sums of this pass are not at hand.", "Extract again.")

    @classmethod
    def of(cls, gathered: Gathered) -> Head:
        """What of it is no sum of a layer."""
        return cls(**{f.name: getattr(gathered, f.name) for f in fields(Gathered)}, width=gathered.d_model)


@dataclass(frozen=True, kw_only=True)
class Unfinished(Head):
    """A pass that still runs, or was stopped: each layer's sums can be had unrounded."""

    @abstractmethod
    def exact(self, i: int) -> ExactLayer:
        """The sums of a layer, by its index. Raises BadInput where they are not kept any more."""

    def layer(self, i: int) -> LayerSums:
        return _RoundedLayer(self.exact(i))

    def halved(self, i: int) -> tuple[HalfLayer, list[HalfRow]]:
        """A layer in half precision, by its index, and each label's part. Raises as `exact` does."""
        return halved(self.exact(i), self)

    def halves(self) -> Iterator[tuple[str, HalfLayer | HalfRow]]:
        """Every layer in half precision, each label's part apart, with their names."""
        for i, layer in enumerate(self.spec.layers):
            shared, rows = self.halved(i)
            yield layer_name(layer), shared
            yield from ((layer_name(layer, row), kept) for row, kept in enumerate(rows))

    def exacts(self) -> Iterator[tuple[str, ExactLayer]]:
        """Every layer unrounded, with its name."""
        for i, layer in enumerate(self.spec.layers):
            yield layer_name(layer), self.exact(i)

    def whole(self) -> Moments:
        """All layers in memory, as float32."""
        rows, folds, windows = len(self.spec.rows), self.spec.folds, len(self.spec.windows)
        layers, d = len(self.spec.layers), self.d_model
        arrays: dict[str, AnyArray] = {
            "sums": np.empty((2, rows, folds, layers, windows, d), np.float32),
            "squares": np.empty((rows, layers, windows, d), np.float32),
            "negative_sums": np.empty((2, rows, len(NEGATIVES), folds, layers, d), np.float32),
            "all_squares": np.empty((layers, d), np.float32),
        }
        for i in range(layers):
            exact = self.exact(i)
            arrays["sums"][0, :, :, i], arrays["sums"][1, :, :, i] = exact.per_trace, exact.per_token
            arrays["squares"][:, i], arrays["negative_sums"][..., i, :] = exact.squares, exact.by_kind()
            arrays["all_squares"][i] = exact.all_squares
        return Moments(**{f.name: getattr(self, f.name) for f in fields(Gathered)}, **arrays)  # type: ignore[arg-type]


@dataclass(frozen=True, kw_only=True)
class Growing(Unfinished):
    """The sums of a pass that runs, as they are now."""

    read: Callable[[int], ExactLayer] = field(repr=False)
    halve: Callable[[int], tuple[HalfLayer, list[HalfRow]]] | None = field(default=None, repr=False)
    """Rounds a layer where its sums are; None where that is the computer's memory."""

    def exact(self, i: int) -> ExactLayer:
        return self.read(i)

    def halved(self, i: int) -> tuple[HalfLayer, list[HalfRow]]:
        return self.halve(i) if self.halve else super().halved(i)
