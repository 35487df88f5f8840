"""How alike the directions of the two models of a pair are, layer by layer. No model, no torch."""

from __future__ import annotations

import math
from collections.abc import Mapping

from core.errors import UserFacingError
from core.extraction.contrast import cosine_interval
from core.extraction.shelf import MomentShelf
from core.extraction.tables import DirectionTable
from core.models.pair import Role
from core.series.values import CosineRow
from core.values import Window


def agreement(tables: Mapping[Role, DirectionTable], shelf: MomentShelf, window: Window) -> tuple[CosineRow, ...]:
    """A row per layer at which both models have a direction; its interval is over the sums, while these are kept."""
    base, reasoner = tables["base"], tables["reasoner"]
    sums = [shelf.get(table.spec.moments()) for table in (base, reasoner)]
    found = []
    for layer in base.spec.layers:
        try:
            mine, its = (table.at(table.spec.label, layer, window) for table in (base, reasoner))
        except UserFacingError:
            continue
        low, high, n = None, None, 0
        if sums[0] is not None and sums[1] is not None:
            spec = base.spec
            ends = cosine_interval(
                sums[0], sums[1], spec.label, layer=layer, window=window, negatives=spec.negatives,
                weighting=spec.weighting,
            )  # fmt: skip
            low, high, n = _known(ends.low), _known(ends.high), ends.n
        found.append(CosineRow(layer=layer, cosine=mine.cosine(its), low=low, high=high, n=n))
    return tuple(found)


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None
