"""How much of a window the traces hold: what falls off their beginning or end, for one trace or a whole set.

Positions count from the first token of the text. A window that reaches into the question has no activations there, as
extraction counts positions of the text alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.traces.events import find_events
from core.values import Trace, Window


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """Windows around events, by how much of them lies in the text, and the positions that they cover."""

    n_events: int
    n_partly: int
    """Windows of which a part lies outside."""
    n_off: int
    """Windows of which nothing lies inside."""
    n_positions: int
    """Distinct positions covered; where windows overlap, each counts once."""

    @property
    def n_whole(self) -> int:
        return self.n_events - self.n_partly - self.n_off


@dataclass(frozen=True, kw_only=True, eq=False)
class EventTable:
    """Where the events of a label are in every trace of a set, in one model's tokens."""

    label: str
    lengths: NDArray[np.int64]
    """(n_traces,) tokens of each text."""
    positions: tuple[NDArray[np.int64], ...]
    """(n_traces,) sorted distinct positions of the events."""
    n_too_long: int
    """Traces that, with their question, are longer than the model's context."""

    def coverage(self, window: Window) -> Coverage:
        """Of all traces together."""
        found = [cover(row, window, int(n)) for row, n in zip(self.positions, self.lengths, strict=True)]
        return Coverage(
            n_events=sum(one.n_events for one in found),
            n_partly=sum(one.n_partly for one in found),
            n_off=sum(one.n_off for one in found),
            n_positions=sum(one.n_positions for one in found),
        )


def cover(positions: NDArray[np.int64], window: Window, length: int) -> Coverage:
    """What `window` around each of the positions covers of a text of `length` tokens."""
    starts, stops = positions + window.start, positions + window.stop
    inside = np.clip(np.minimum(stops, length) - np.maximum(starts, 0), 0, None)
    size = window.stop - window.start
    spread = (positions[:, None] + np.arange(window.start, window.stop)).ravel()
    kept = spread[(spread >= 0) & (spread < length)]
    return Coverage(
        n_events=len(positions),
        n_partly=int(((inside > 0) & (inside < size)).sum()),
        n_off=int((inside == 0).sum()),
        n_positions=len(np.unique(kept)),
    )


def event_positions(trace: Trace, label: str, spans: Sequence[tuple[int, int]]) -> NDArray[np.int64]:
    """(n_events,) sorted distinct positions of the label's events."""
    found = {event.position for event in find_events(trace, label, spans=spans, text_start=0)}
    return np.asarray(sorted(found), dtype=np.int64)
