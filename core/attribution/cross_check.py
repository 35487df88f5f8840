"""Whether per-token methods agree: rank correlations, how well estimates add up, and what read-out alone explains.

Works on finished values; runs no model. `recorded_agreement` reads what `make attribution-report` measured.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from core.attribution.values import Gradients, Interventions

READOUT_LIMIT = 0.5
"""Above this share, the result is mostly the direction's own read-out."""


def rank_correlation(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    """Spearman's ρ over the places where both are finite; NaN for fewer than three, or where one is constant."""
    both = np.isfinite(a) & np.isfinite(b)
    x, y = a[both], b[both]
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return math.nan
    from scipy.stats import spearmanr

    return float(spearmanr(x, y).statistic)


def rank_matrix(rows: Mapping[str, NDArray[np.floating]]) -> NDArray[np.float64]:
    """(n, n) Spearman's ρ between all pairs of rows, in their order."""
    values = list(rows.values())
    found = np.ones((len(values), len(values)))
    for i, a in enumerate(values):
        for j in range(i):
            found[i, j] = found[j, i] = rank_correlation(a, values[j])
    return found


def completeness_error(found: Interventions) -> float:
    """|Σ one-position effects − effect at all of them at once| ÷ |the latter|; NaN when the latter is about zero.

    0 means that positions act independently; 1 that their sum is off by the whole effect.
    """
    if abs(found.steered_all) < 1e-6:
        return math.nan
    return abs(float(np.nansum(found.steered)) - found.steered_all) / abs(found.steered_all)


def readout_share(gradients: Gradients, layer: int) -> float:
    """Share of the summed gradient × direction at `layer` that reaches the target without any later block.

    Near 1, the number says that the direction is read out as a keyword here, not that the model computes with it.
    NaN when there is no effect to share.
    """
    total = float(gradients.along[layer].sum())
    return gradients.readout / total if abs(total) > 1e-9 else math.nan
