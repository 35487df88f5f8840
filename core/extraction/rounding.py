"""A layer's sums in half precision, made where the sums are: what leaves a card is a quarter of them.

The same as `core.extraction.layers.halved`, which is the one for sums in the computer's memory.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.extraction.layers import ALL, TOKEN, HalfLayer, HalfRow
from core.extraction.moments import NEGATIVES, Gathered


def halved_there(sums: Sequence[Tensor], of: Gathered) -> tuple[HalfLayer, list[HalfRow]]:
    """The float64 sums of a layer, in the order of `ExactLayer`, in half precision with the counts they belong to."""
    per_trace, per_token, squares, negative, all_squares, _ = sums
    rows, folds, _, d = per_trace.shape
    kinds = negative.reshape(folds, 2, rows, len(NEGATIVES), d).permute(1, 2, 3, 0, 4)
    n = max(int(of.negative_counts[TOKEN, 0, ALL].sum()), 1)
    total = kinds[TOKEN, 0, ALL].sum(0) / n
    mean = total.float()
    kept, scale = _scaled(_means(kinds, of.negative_counts) - mean, of.negative_counts)
    shared = HalfLayer(
        mean=mean.cpu().numpy(),
        negative=kept,
        negative_scale=scale,
        all_spread=(all_squares / n - total.square()).clamp(min=0).sqrt().float().cpu().numpy(),
    )
    return shared, [_row(per_trace[i], per_token[i], squares[i], of.counts[:, i], mean) for i in range(rows)]


def _row(per_trace: Tensor, per_token: Tensor, squares: Tensor, counts: NDArray[np.int64], mean: Tensor) -> HalfRow:
    tokens = counts[TOKEN].sum(0)
    positive, scale = _scaled(_means(torch.stack([per_trace, per_token]), counts) - mean, counts)
    inside = _means(per_token.sum(0), tokens)
    spread = (_means(squares, tokens) - inside.square()).clamp(min=0).sqrt()
    kept, spread_scale = _scaled(spread, tokens)
    return HalfRow(positive=positive, positive_scale=scale, spread=kept, spread_scale=spread_scale)


def _means(sums: Tensor, counts: NDArray[np.int64]) -> Tensor:
    return sums / torch.from_numpy(np.maximum(counts, 1)).to(sums.device)[..., None]


def _scaled(values: Tensor, counts: NDArray[np.int64]) -> tuple[NDArray[np.float16], NDArray[np.float32]]:
    """Each vector divided by its largest component, and that; zeros where nothing was counted."""
    there, largest = torch.from_numpy(counts > 0).to(values.device), values.abs().amax(-1)
    scale = torch.where(there & (largest > 0), largest, 1.0).float()
    kept = there[..., None] * values / scale.double()[..., None]
    return kept.half().cpu().numpy(), scale.cpu().numpy()
