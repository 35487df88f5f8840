"""One label of the sums of a pass: difference of means for any groups of folds, and how far it separates.

In float64, a layer at a time. No model, no torch, no disk.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray

from core.extraction.moments import NEGATIVES, SHUFFLED, WEIGHTINGS, Gathered, LayerSums
from core.extraction.values import Negatives, Weighting
from core.values import Window

Doubles = NDArray[np.float64]


class View:
    """One label, weighting and kind of negatives of the sums, with windows as mixtures of their columns."""

    def __init__(
        self, moments: Gathered, label: str, windows: Sequence[Window], negatives: Negatives, weighting: Weighting
    ) -> None:
        self.moments, self.label, self.windows = moments, label, tuple(windows)
        self.row = moments.row(label)
        self.negatives = negatives
        self.w = WEIGHTINGS.index(weighting)
        own = label.removeprefix(SHUFFLED)
        self.others = [moments.row(other) for other in moments.spec.labels if other != own]
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
        moments, layer = self.moments, self.moments.layer(i)
        sums = layer.positive(self.w, self.row)[:, self.used]
        inside = _mixed(self.mix, groups, sums, moments.counts[self.w, self.row][:, self.used])
        if self.negatives == "position":
            return inside - self._elsewhere(layer, groups)
        n = NEGATIVES.index(self.negatives)
        negative = np.einsum("gk,kd->gd", groups, layer.negative(self.w, self.row, n))
        counts = groups @ moments.negative_counts[self.w, self.row, n]
        with np.errstate(invalid="ignore", divide="ignore"):
            return cast(Doubles, inside - (negative / np.where(counts > 0, counts, np.nan)[:, None])[:, None])

    def _elsewhere(self, layer: LayerSums, groups: Doubles) -> Doubles:
        """(n_groups, n_windows, d_model) mean in the same windows around the events of all other labels.

        Per trace, a trace counts once for every label that it has an event of.
        """
        sums = sum((layer.positive(self.w, row)[:, self.used].astype(np.float64) for row in self.others), np.zeros(()))
        counts = self.moments.counts[self.w, self.others][:, :, self.used].sum(0)
        found = _mixed(self.mix, groups, sums, counts)
        return cast(Doubles, np.where((groups @ counts).max(-1)[:, None, None] > 0, found, np.nan))

    def layer(self, i: int) -> tuple[Doubles, Doubles, Doubles]:
        """Vectors (n_windows, d_model), reliability (n_windows,), separation with its interval (3, n_windows)."""
        folds = self.moments.spec.folds
        vectors = self.vectors(i, self.groups)
        held, rest = vectors[3 : 3 + folds], vectors[3 + folds :]
        unit = rest / np.maximum(np.linalg.norm(rest, axis=-1, keepdims=True), 1e-12)
        spread = np.sqrt(np.einsum("kwd,wd->kw", unit**2, self._variance(i)).clip(1e-12))
        return vectors[0], cosine(vectors[1], vectors[2]), _interval((held * unit).sum(-1) / spread)

    def _variance(self, i: int) -> Doubles:
        """(n_windows, d_model) variance per component over tokens, the mean of D+'s and all tokens'."""
        moments, token, whole = self.moments, WEIGHTINGS.index("token"), np.ones((1, self.moments.spec.folds))
        layer = moments.layer(i)
        counts = moments.counts[token, self.row].sum(0, keepdims=True)[:, self.used]
        sums = layer.positive(token, self.row)[:, self.used].sum(0, dtype=np.float64)[None]
        squares = layer.squares(self.row)[self.used][None]
        mean, square = (_mixed(self.mix, whole[:, :1], part, counts)[0] for part in (sums, squares))
        n = max(moments.n_tokens, 1)
        total = layer.negative(token, self.row, NEGATIVES.index("all")).sum(0, dtype=np.float64) / n
        inside = (square - mean**2).clip(0)
        everything = (layer.all_squares().astype(np.float64) / n - total**2).clip(0)
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


def cosine(a: Doubles, b: Doubles) -> Doubles:
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
