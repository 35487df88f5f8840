"""What can be asked of labelled traces, and the directions that come back. No torch, no disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from core.directions.direction import Direction, check_differs, rounding_of
from core.errors import BadInput
from core.tokens.frames import ChatFrame
from core.traces.events import BACKTRACKING
from core.values import PAPER_WINDOW, Floats, Integers, Kinds, ModelSpec, Spec, Trace, Window

Negatives = Literal["all", "other", "same", "position"]
"""What is subtracted: the mean over all of D (Eq. 3), over the parts with other labels, over D of the traces with an
event, or over the same window around the events of the other labels. Near an event every label's mean has in it that a
part begins there; the last takes that out."""
Weighting = Literal["trace", "token"]
"""Whether every trace counts the same (Eq. 3) or every token."""


@dataclass(frozen=True, kw_only=True)
class ExtractionSpec(Spec["DirectionSet"]):
    """Difference of means over `traces`, read by `model`: D+ is `windows` around events of `label` (paper, Eq. 3)."""

    model: ModelSpec
    fingerprint: str
    traces_digest: str
    label: str = BACKTRACKING
    windows: tuple[Window, ...] = (PAPER_WINDOW,)
    layers: tuple[int, ...] = ()
    negatives: Negatives = "all"
    weighting: Weighting = "trace"
    frame: ChatFrame | None = None
    """The text around every question, where it is not the model's own."""

    def __post_init__(self) -> None:
        if not self.windows or not self.layers:
            raise BadInput("The extraction names no window or no layer.", "Choose at least one of each.")


@dataclass(frozen=True, kw_only=True)
class DirectionSet:
    """Difference of means for every layer × window of one extraction, from one pass over the traces."""

    spec: ExtractionSpec
    vectors: Floats = field(repr=False)
    """(n_layers, n_windows, d_model) raw mean differences; NaN for a window that lies outside every trace."""
    counts: Integers = field(repr=False)
    """(n_windows, 2): traces and tokens that contributed to D+."""
    resid_norms: Floats = field(repr=False)
    """(n_layers,) mean norm of the residual stream over D."""
    separation: Floats = field(repr=False)
    """(n_layers, n_windows) d′ of D+ against the negatives in traces that the direction was not made of."""
    separation_interval: Floats = field(repr=False)
    """(2, n_layers, n_windows) lower and upper end of its 95% interval over the folds of the traces."""
    reliability: Floats = field(repr=False)
    """(n_layers, n_windows) cosine between the directions of the even and the odd traces."""
    n_traces: int
    n_events: int
    n_tokens: int
    composed: tuple[Window, ...] = ()
    """Windows that are the mean over their single offsets, not Eq. 3's mean over the union of their positions."""

    def __post_init__(self) -> None:
        grid = (len(self.spec.layers), len(self.spec.windows))
        shapes = {
            "vectors": (self.vectors.shape[:2], grid),
            "counts": (self.counts.shape, (grid[1], 2)),
            "resid_norms": (self.resid_norms.shape, grid[:1]),
            "separation": (self.separation.shape, grid),
            "separation_interval": (self.separation_interval.shape, (2, *grid)),
            "reliability": (self.reliability.shape, grid),
        }
        for name, (got, want) in shapes.items():
            assert got == want, f"{name} has shape {got}, the spec asks for {want}"

    @property
    def norms(self) -> Floats:
        """(n_layers, n_windows) norms of the raw mean differences."""
        norms: Floats = np.linalg.norm(self.vectors.astype(np.float64), axis=-1).astype(np.float32)
        return norms

    @property
    def differs(self) -> NDArray[np.bool_]:
        """(n_layers, n_windows) where D+ and D− differ by more than rounding leaves of equal means of that norm."""
        differs: NDArray[np.bool_] = self.norms > rounding_of(self.resid_norms)[:, None]
        return differs

    def at(self, layer: int, window: Window) -> Direction:
        """The direction of one layer and window.

        Raises BadInput when the set does not hold it, BadDirection where D+ and D− differ by no more than rounding.
        """
        if layer not in self.spec.layers or window not in self.spec.windows:
            raise BadInput(f"Layer {layer} with window {window.label} was not extracted.", "Choose a cell of the map.")
        i, j = self.spec.layers.index(layer), self.spec.windows.index(window)
        if not np.isfinite(self.vectors[i, j]).all():
            raise BadInput(
                f"The window {window.label} lies outside every trace.", "Choose offsets closer to the event."
            )
        name = f"{self.spec.label} · {self.spec.model.name} · layer {layer} · {window.label}"
        check_differs(float(self.norms[i, j]), size=float(self.resid_norms[i]), name=name)
        return Direction.from_raw(
            self.vectors[i, j],
            name=name,
            layer=layer,
            resid_norm=float(self.resid_norms[i]),
            source_model=self.spec.model.name,
            fingerprint=self.spec.fingerprint,
            provenance=self._provenance(window, j),
        )

    def _provenance(self, window: Window, j: int) -> tuple[tuple[str, str], ...]:
        return (
            ("method", "difference of means (arXiv 2507.12638, Eq. 3)"),
            ("label", self.spec.label),
            ("window", window.label),
            ("window_mean", "over offsets" if window in self.composed else "over the union of positions"),
            ("negatives", self.spec.negatives),
            ("weighting", self.spec.weighting),
            ("traces_digest", self.spec.traces_digest),
            ("traces", str(int(self.counts[j, 0]))),
            ("tokens_in_window", str(int(self.counts[j, 1]))),
            ("events", str(self.n_events)),
            ("precision", self.spec.model.precision),
            *((("question_frame", f"{frame.prefix!r} … {frame.suffix!r}"),) if (frame := self.spec.frame) else ()),
        )


def check_enough(traces: Sequence[Trace]) -> None:
    """Raise BadInput for fewer traces than a mean over traces needs."""
    if len(traces) < 2:
        raise BadInput(f"The set has {len(traces)} traces.", "Choose one with at least two.")


KINDS: Kinds = {ExtractionSpec: ("extraction", DirectionSet)}
