"""From the sums of one pass to directions: any window, negatives and weighting, and how far to trust the result.

Difference of means (paper, Eq. 3) in float64, a layer at a time. Needs no model; knows no torch and no disk.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from core.errors import BadInput
from core.extraction.moments import NEGATIVES, Gathered, MomentsSpec
from core.extraction.values import DirectionSet, ExtractionSpec, Negatives, Weighting
from core.extraction.view import Doubles, View, cosine
from core.statistics import Interval, mean_interval
from core.values import Floats, Window

MIN_TRACES = 2
_NEARLY_ONE = 1 - 1e-12


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
    moments: Gathered,
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
    view = View(moments, label, windows, negatives, weighting)
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
    cosines = cosine(one.vectors.astype(np.float64), other.vectors.astype(np.float64))
    return np.where(one.differs & other.differs, cosines, np.nan).astype(np.float32)


def cosine_interval(
    one: Gathered,
    other: Gathered,
    label: str,
    *,
    layer: int,
    window: Window,
    negatives: Negatives = "all",
    weighting: Weighting = "trace",
) -> Interval:
    """Cosine of the directions that two models give over the same traces, with an interval over folds of these.

    A jackknife that leaves out a fold at a time, on the scale of artanh, so that no end lies beyond 1. `n` is the
    number of traces with an event. nan where one of them has no direction.
    """
    folds = one.spec.folds
    assert (folds, one.spec.traces_digest) == (other.spec.folds, other.spec.traces_digest), "other traces or folds"
    groups = np.concatenate([np.ones((1, folds)), 1 - np.eye(folds)])
    views = [View(moments, label, (window,), negatives, weighting) for moments in (one, other)]
    mine, its = (view.vectors(layer_index(view.moments, layer), groups)[:, 0] for view in views)
    found = cosine(mine, its)
    whole, *rest = np.arctanh(found.clip(-_NEARLY_ONE, _NEARLY_ONE))
    spread = mean_interval(folds * whole - (folds - 1) * np.array(rest))
    half = (spread.high - spread.low) / 2
    low, high = float(np.tanh(whole - half)), float(np.tanh(whole + half))
    return Interval(mean=float(found[0]), low=low, high=high, n=int(views[0].totals("trace")[0]))


def mean_activation(moments: Gathered, layer: int) -> Floats:
    """(d_model,) mean over traces of the mean over all tokens of the text: MeanAct(D) of Eq. 3."""
    i = layer_index(moments, layer)
    total = moments.layer(i).negative(0, 0, NEGATIVES.index("all")).sum(0, dtype=np.float64)
    mean = total / moments.negative_counts[0, 0, NEGATIVES.index("all")].sum()
    return cast(Floats, mean.astype(np.float32))


def layer_index(moments: Gathered, layer: int) -> int:
    """Index of a layer in the sums. Raises BadInput when it was not gathered."""
    if layer not in moments.spec.layers:
        raise BadInput(f"Layer {layer} was not gathered.", "Choose a layer of the map.")
    return moments.spec.layers.index(layer)


def reliability_curve(
    moments: Gathered,
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
    view = View(moments, label, (window,), negatives, weighting)
    _check(view)
    i, folds = layer_index(moments, layer), moments.spec.folds
    of_fold = moments.counts[0, view.row][:, list(moments.columns(window))].max(1)
    sizes, cosines = [], []
    for m in range(1, folds // 2 + 1):
        groups = np.array([[1.0 if (k - a) % folds < m else 0.0 for k in range(folds)] for a in range(folds)])
        vectors = view.vectors(i, groups)[:, 0]
        pairs = cosine(vectors, np.roll(vectors, -m, axis=0))
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


def _check(view: View) -> None:
    label, traces = view.label, view.totals("trace")
    if view.moments.events[view.row] == 0:
        raise BadInput(
            f"No part of these {view.moments.n_traces} traces is labelled {label!r}.",
            "Choose another label, or traces in which it occurs.",
        )
    if view.negatives == "position" and not view.moments.events[view.others].sum():
        raise BadInput(
            f"No other label than {label!r} was gathered, so there is no other event at whose place to look.",
            "Extract with further labels, or subtract another mean.",
        )
    if traces.max() == 0:
        window = view.windows[0]
        raise BadInput(f"The window {window.label} lies outside every trace.", "Choose offsets closer to the event.")
    if traces.max() < MIN_TRACES or view.moments.n_traces < MIN_TRACES:
        raise BadInput(
            f"Only {int(traces.max())} trace has a {label!r} event.",
            f"A mean needs at least {MIN_TRACES}: add traces.",
        )
