"""From the sums of one pass to directions: any window, negatives and weighting, and how far to trust the result.

Difference of means (paper, Eq. 3) in float64, a layer at a time. Needs no model; knows no torch and no disk.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from core.errors import BadInput
from core.extraction.moments import NEGATIVES, WEIGHTINGS, Moments, MomentsSpec
from core.extraction.values import DirectionSet, ExtractionSpec, Negatives, Weighting
from core.values import Floats, Window

MIN_TRACES = 2
Doubles = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class ReliabilityCurve:
    """How well the directions of two disjoint groups of traces agree, by the size of a group."""

    traces: tuple[float, ...]
    """Traces with an event per group, the mean over the groups of that size."""
    cosine: tuple[float, ...]
    """Mean cosine between two groups of that size."""
    low: tuple[float, ...]
    high: tuple[float, ...]
    """The lowest and the highest of the pairs of groups."""
    n_traces: int
    """Traces with an event in all."""
    noise: float
    """Fitted c of cosine(n) = n / (n + c): the number of traces at which two groups agree to 0.5."""

    @property
    def predicted(self) -> float:
        """What two groups as large as all the traces would agree to."""
        return self.n_traces / (self.n_traces + self.noise)

    def traces_for(self, cosine: float) -> float:
        """Traces that a group needs for two of them to agree to `cosine` (0 < cosine < 1)."""
        return self.noise * cosine / (1 - cosine)


def contrast(
    moments: Moments,
    label: str,
    *,
    windows: Sequence[Window] | None = None,
    layers: Sequence[int] | None = None,
    negatives: Negatives = "all",
    weighting: Weighting = "trace",
) -> DirectionSet:
    """The directions of every layer × window for a label; layers and windows default to those of the pass.

    A window outside every trace has NaN vectors. Raises BadInput when the label has no event or too few traces have
    one, when all windows lie outside every trace, and for a window that the sums do not hold.
    """
    windows = tuple(windows or moments.spec.windows)
    layers = tuple(layers or moments.spec.layers)
    view = _View(moments, label, windows, negatives, weighting)
    _check(view)
    chosen = [layer_index(moments, layer) for layer in layers]
    found = [view.layer(i) for i in chosen]
    vectors, reliability, separation = (np.stack([row[k] for row in found]) for k in range(3))
    counts = np.stack([view.totals("trace"), view.totals("token")], axis=1)
    return DirectionSet(
        spec=_asked(moments.spec, label, windows, layers, negatives, weighting),
        vectors=vectors.astype(np.float32),
        counts=counts.round().astype(np.int64),
        resid_norms=moments.norms[chosen],
        separation=separation[:, 0].astype(np.float32),
        separation_interval=np.moveaxis(separation[:, 1:], 1, 0).astype(np.float32),
        reliability=reliability.astype(np.float32),
        n_traces=moments.n_traces - len(moments.skipped),
        n_events=int(moments.events[moments.row(label)]),
        n_tokens=moments.n_tokens,
        composed=tuple(window for window in windows if window not in moments.spec.windows),
    )


def _asked(
    spec: MomentsSpec,
    label: str,
    windows: tuple[Window, ...],
    layers: tuple[int, ...],
    negatives: Negatives,
    weighting: Weighting,
) -> ExtractionSpec:
    """What an extraction of these directions alone would be asked for."""
    return ExtractionSpec(
        model=spec.model,
        fingerprint=spec.fingerprint,
        traces_digest=spec.traces_digest,
        label=label,
        windows=windows,
        layers=layers,
        negatives=negatives,
        weighting=weighting,
        frame=spec.frame,
    )


def cosine_map(one: DirectionSet, other: DirectionSet) -> Floats:
    """(n_layers, n_windows) cosine of the directions of two sets of the same grid, such as base and reasoning model.

    NaN where one of them is no direction, as D+ = D−.
    """
    if one.vectors.shape != other.vectors.shape:
        raise BadInput("The two maps do not have the same layers, windows and width.", "Extract both from one form.")
    cosines = _cosine(one.vectors.astype(np.float64), other.vectors.astype(np.float64))
    return np.where(one.differs & other.differs, cosines, np.nan).astype(np.float32)


def mean_activation(moments: Moments, layer: int) -> Floats:
    """(d_model,) mean over traces of the mean over all tokens of the text: MeanAct(D) of Eq. 3."""
    i = layer_index(moments, layer)
    total = moments.negative_sums[0, 0, NEGATIVES.index("all"), :, i].sum(0, dtype=np.float64)
    mean = total / moments.negative_counts[0, 0, NEGATIVES.index("all")].sum()
    return cast(Floats, mean.astype(np.float32))


def layer_index(moments: Moments, layer: int) -> int:
    """Index of a layer in the sums. Raises BadInput when it was not gathered."""
    if layer not in moments.spec.layers:
        raise BadInput(f"Layer {layer} was not gathered.", "Choose a layer of the map.")
    return moments.spec.layers.index(layer)


def reliability_curve(
    moments: Moments,
    label: str,
    *,
    layer: int,
    window: Window,
    negatives: Negatives = "all",
    weighting: Weighting = "trace",
) -> ReliabilityCurve:
    """Cosines between the directions of disjoint groups of folds, for groups of 1 to folds ÷ 2 folds.

    The fit supposes that a group's direction is the true one plus noise that falls with the number of traces. Raises
    BadInput as `contrast` does, and where no two groups have an event.
    """
    view = _View(moments, label, (window,), negatives, weighting)
    _check(view)
    i, folds = layer_index(moments, layer), moments.spec.folds
    of_fold = moments.counts[0, view.row][:, list(moments.columns(window))].max(1)
    sizes, cosines = [], []
    for m in range(1, folds // 2 + 1):
        groups = np.array([[1.0 if (k - a) % folds < m else 0.0 for k in range(folds)] for a in range(folds)])
        vectors = view.vectors(i, groups)[:, 0]
        pairs = _cosine(vectors, np.roll(vectors, -m, axis=0))
        if np.isfinite(pairs).any():
            sizes.append(float((groups @ of_fold).mean()))
            cosines.append(pairs[np.isfinite(pairs)])
    if not sizes:
        raise BadInput("Too few traces have an event for two groups of them.", "Add traces, or choose another label.")
    means = [float(c.mean()) for c in cosines]
    return ReliabilityCurve(
        traces=tuple(sizes),
        cosine=tuple(means),
        low=tuple(float(c.min()) for c in cosines),
        high=tuple(float(c.max()) for c in cosines),
        n_traces=int(of_fold.sum()),
        noise=_fitted_noise(np.array(sizes), np.array(means)),
    )


def _fitted_noise(sizes: Doubles, cosines: Doubles) -> float:
    """c of n / (n + c) by least squares, larger groups counting more; the end of the scale where nothing agrees."""
    tried = np.geomspace(1e-4, 1e6, 20_001)[:, None]
    errors = ((sizes / (sizes + tried) - cosines) ** 2 * sizes).sum(1)
    return float(tried[errors.argmin(), 0])


class _View:
    """One label, weighting and kind of negatives of the sums, with windows as mixtures of their columns."""

    def __init__(
        self, moments: Moments, label: str, windows: Sequence[Window], negatives: Negatives, weighting: Weighting
    ) -> None:
        self.moments, self.label, self.windows = moments, label, tuple(windows)
        self.row = moments.row(label)
        self.n = NEGATIVES.index(negatives)
        self.w = WEIGHTINGS.index(weighting)
        self.columns = [moments.columns(window) for window in windows]
        self.used = sorted({column for columns in self.columns for column in columns})
        self.mix = np.zeros((len(windows), len(self.used)))
        for j, columns in enumerate(self.columns):
            self.mix[j, [self.used.index(column) for column in columns]] = 1
        folds = moments.spec.folds
        held = np.eye(folds)
        halves = np.array([[1.0 - k % 2, k % 2] for k in range(folds)]).T
        self.groups = np.concatenate([np.ones((1, folds)), halves, held, 1 - held])

    def totals(self, weighting: Weighting) -> Doubles:
        """(n_windows,) traces or tokens in D+; a window of several columns has the most traces, and all tokens."""
        counts = self.moments.counts[WEIGHTINGS.index(weighting), self.row].sum(0)
        combine = np.max if weighting == "trace" else np.sum
        return np.array([combine(counts[list(columns)]) for columns in self.columns], dtype=np.float64)

    def vectors(self, i: int, groups: Doubles) -> Doubles:
        """(n_groups, n_windows, d_model) difference of means at layer index i; NaN where a group has no D+."""
        moments = self.moments
        sums = moments.sums[self.w, self.row, :, i, self.used].transpose(1, 0, 2)
        inside = _mixed(self.mix, groups, sums, moments.counts[self.w, self.row][:, self.used])
        negative = np.einsum("gk,kd->gd", groups, moments.negative_sums[self.w, self.row, self.n, :, i])
        counts = groups @ moments.negative_counts[self.w, self.row, self.n]
        with np.errstate(invalid="ignore", divide="ignore"):
            return cast(Doubles, inside - (negative / np.where(counts > 0, counts, np.nan)[:, None])[:, None])

    def layer(self, i: int) -> tuple[Doubles, Doubles, Doubles]:
        """Vectors (n_windows, d_model), reliability (n_windows,), separation with its interval (3, n_windows)."""
        folds = self.moments.spec.folds
        vectors = self.vectors(i, self.groups)
        held, rest = vectors[3 : 3 + folds], vectors[3 + folds :]
        unit = rest / np.maximum(np.linalg.norm(rest, axis=-1, keepdims=True), 1e-12)
        spread = np.sqrt(np.einsum("kwd,wd->kw", unit**2, self._variance(i)).clip(1e-12))
        return vectors[0], _cosine(vectors[1], vectors[2]), _interval((held * unit).sum(-1) / spread)

    def _variance(self, i: int) -> Doubles:
        """(n_windows, d_model) variance per component over tokens, the mean of D+'s and all tokens'."""
        moments, token, whole = self.moments, WEIGHTINGS.index("token"), np.ones((1, self.moments.spec.folds))
        counts = moments.counts[token, self.row].sum(0, keepdims=True)[:, self.used]
        sums = moments.sums[token, self.row, :, i, self.used].sum(1, dtype=np.float64)[None]
        squares = moments.squares[self.row, i, self.used][None]
        mean, square = (_mixed(self.mix, whole[:, :1], part, counts)[0] for part in (sums, squares))
        n = max(moments.n_tokens, 1)
        total = moments.negative_sums[token, self.row, NEGATIVES.index("all"), :, i].sum(0, dtype=np.float64) / n
        inside = (square - mean**2).clip(0)
        everything = (moments.all_squares[i].astype(np.float64) / n - total**2).clip(0)
        return cast(Doubles, (inside + everything) / 2)


def _mixed(mix: Doubles, groups: Doubles, sums: NDArray[np.floating], counts: NDArray[np.int64]) -> Doubles:
    """(n_groups, n_windows, d) mean over a window's columns of each column's mean over a group of folds.

    `sums` are (folds, n_columns, d), `counts` (folds, n_columns). Columns without a count are left out.
    """
    total = np.einsum("gk,kcd->gcd", groups, sums)
    n = groups @ counts
    weights = mix[None] * (n > 0)[:, None]
    share = weights.sum(-1, keepdims=True)
    weights = weights / np.where(share > 0, share, np.nan) / np.maximum(n, 1)[:, None]
    return cast(Doubles, np.matmul(weights, total))


def _cosine(a: Doubles, b: Doubles) -> Doubles:
    """Cosine over the last axis; NaN where either has no direction."""
    lengths = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return cast(Doubles, (a * b).sum(-1) / np.where(lengths > 0, lengths, np.nan))


def _interval(values: Doubles) -> Doubles:
    """(3, n_windows): mean over the folds (k, n_windows) that have one, and its 95% t interval; NaN below two folds."""
    from scipy.special import stdtrit

    n = np.isfinite(values).sum(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.nansum(values, 0) / np.where(n > 1, n, np.nan)
        deviation = np.sqrt(np.nansum((values - mean) ** 2, 0) / (n - 1))
        half = stdtrit(np.maximum(n - 1, 1), 0.975) * deviation / np.sqrt(n)
    return np.stack([mean, mean - half, mean + half])


def _check(view: _View) -> None:
    label, traces = view.label, view.totals("trace")
    if view.moments.events[view.row] == 0:
        raise BadInput(
            f"No part of these {view.moments.n_traces} traces is labelled {label!r}.",
            "Choose another label, or traces in which it occurs.",
        )
    if traces.max() == 0:
        window = view.windows[0]
        raise BadInput(f"The window {window.label} lies outside every trace.", "Choose offsets closer to the event.")
    if traces.max() < MIN_TRACES or view.moments.n_traces < MIN_TRACES:
        raise BadInput(
            f"Only {int(traces.max())} trace has a {label!r} event.",
            f"A mean needs at least {MIN_TRACES}: add traces.",
        )
