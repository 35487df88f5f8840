"""All directions that an experiment may add, of one model: its label's, the other labels', shuffled events, the mean.

Made from the sums of one pass and kept, so that neither the sums nor the model are needed to name them. No torch.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from core.directions.direction import Direction
from core.errors import BadInput, UserFacingError
from core.extraction.contrast import contrast, mean_activation
from core.extraction.moments import SHUFFLED, Gathered, MomentsSpec
from core.extraction.values import DirectionSet, Negatives, Weighting
from core.tokens.frames import ChatFrame
from core.values import Floats, Kinds, ModelSpec, Spec, Window

POSITION = "position-matched"
"""The row of the label against the same windows before other parts."""


@dataclass(frozen=True, kw_only=True)
class TableSpec(Spec["DirectionTable"]):
    """The directions of every label × layer × window that `model` gives over the traces (paper, Eq. 3)."""

    model: ModelSpec
    fingerprint: str
    traces_digest: str
    label: str
    labels: tuple[str, ...]
    """All labels of the traces, `label` among them."""
    windows: tuple[Window, ...]
    layers: tuple[int, ...]
    negatives: Negatives
    weighting: Weighting
    seed: int = 0
    """Of the shuffled events."""
    frame: ChatFrame | None = None
    """The text around every question, where it is not the model's own."""

    def moments(self) -> MomentsSpec:
        """The one pass that they follow from."""
        return MomentsSpec(
            model=self.model,
            fingerprint=self.fingerprint,
            traces_digest=self.traces_digest,
            labels=self.labels,
            windows=self.windows,
            layers=self.layers,
            shuffled=self.label,
            seed=self.seed,
            frame=self.frame,
        )


@dataclass(frozen=True, kw_only=True)
class DirectionTable:
    """Raw differences of means; NaN where a label has none."""

    spec: TableSpec
    rows: tuple[str, ...]
    """The label, the other labels, its shuffled events, POSITION."""
    vectors: Floats = field(repr=False)
    """(n_rows, n_layers, n_windows, d_model)."""
    means: Floats = field(repr=False)
    """(n_layers, d_model) mean activation over all tokens."""
    resid_norms: Floats = field(repr=False)
    """(n_layers,) mean norm of the residual stream."""
    n_traces: int
    n_events: int

    def at(self, row: str, layer: int, window: Window) -> Direction:
        """The direction of a row. Raises BadInput or BadDirection where the traces give none."""
        place = f"layer {layer}, window {window.label}"
        if row not in self.rows or layer not in self.spec.layers or window not in self.spec.windows:
            raise BadInput(f"There is no direction {row!r} at {place}.", "Extract it with that label and place.")
        k, i, j = self.rows.index(row), self.spec.layers.index(layer), self.spec.windows.index(window)
        raw = self.vectors[k, i, j]
        if not np.isfinite(raw).all():
            raise BadInput(
                f"The traces give no direction {row!r} at {place}.",
                "Choose another window, or traces with more events.",
            )
        spec = self.spec
        label = spec.label if row == POSITION else row
        return Direction.from_raw(
            raw,
            name=f"{row} · {spec.model.name} · layer {layer} · {window.label}",
            layer=layer,
            resid_norm=self.resid_norm(layer),
            source_model=spec.model.name,
            fingerprint=spec.fingerprint,
            provenance=(
                ("method", "difference of means (arXiv 2507.12638, Eq. 3)"),
                ("label", label),
                ("window", window.label),
                ("negatives", "position" if row == POSITION else spec.negatives),
                ("weighting", spec.weighting),
                ("traces", spec.traces_digest),
            ),
        )

    def has(self, row: str, layer: int, window: Window) -> bool:
        """Whether the traces give a direction for the row."""
        try:
            self.at(row, layer, window)
        except UserFacingError:
            return False
        return True

    def resid_norm(self, layer: int) -> float:
        """Mean norm of the residual stream at a layer."""
        return float(self.resid_norms[self.spec.layers.index(layer)])

    @property
    def others(self) -> tuple[str, ...]:
        """The other labels."""
        return tuple(r for r in self.rows if r not in (self.spec.label, POSITION) and not r.startswith(SHUFFLED))

    @property
    def shuffled(self) -> str:
        """The row of the shuffled events."""
        return SHUFFLED + self.spec.label


KINDS: Kinds = {TableSpec: ("direction_table", DirectionTable)}


def table_of(moments: Gathered, spec: TableSpec) -> DirectionTable:
    """All directions that follow from the sums. Raises BadInput where the label itself has none."""
    main = contrast(
        moments,
        spec.label,
        windows=spec.windows,
        layers=spec.layers,
        negatives=spec.negatives,
        weighting=spec.weighting,
    )
    rows = [spec.label, *(label for label in spec.labels if label != spec.label), SHUFFLED + spec.label]
    found = [main.vectors, *(_vectors(moments, row, spec, spec.negatives, like=main) for row in rows[1:])]
    if spec.negatives != "position":
        rows.append(POSITION)
        found.append(_vectors(moments, spec.label, spec, "position", like=main))
    return DirectionTable(
        spec=spec,
        rows=tuple(rows),
        vectors=np.stack(found).astype(np.float32),
        means=np.stack([mean_activation(moments, layer) for layer in spec.layers]).astype(np.float32),
        resid_norms=main.resid_norms,
        n_traces=main.n_traces,
        n_events=main.n_events,
    )


def _vectors(moments: Gathered, label: str, spec: TableSpec, negatives: Negatives, *, like: DirectionSet) -> Floats:
    """(n_layers, n_windows, d_model), NaN throughout for a label without enough events."""
    try:
        found = contrast(
            moments,
            label,
            windows=spec.windows,
            layers=spec.layers,
            negatives=negatives,
            weighting=spec.weighting,
        )
    except UserFacingError:
        return np.full_like(like.vectors, np.nan)
    return np.where(found.differs[..., None], found.vectors, np.nan).astype(np.float32)
