"""The events of a saved set, as the work of a job."""

from __future__ import annotations

from collections.abc import Generator, Iterable

import numpy as np

from core.jobs import Progress
from core.models.pair import PairHolder, Role
from core.traces.coverage import EventTable, event_positions
from core.values import Trace


def table_events(
    pair: PairHolder, role: Role, traces: Iterable[Trace], label: str, *, total: int
) -> Generator[Progress, None, EventTable]:
    """The EventTable of a set, one trace a step."""
    lengths, positions, n_too_long = [], [], 0
    limit = pair.facts(role).context_length
    for number, trace in enumerate(traces, start=1):
        reading = pair.locate(role, trace.prompt, trace.text)
        n_too_long += len(reading.token_ids) > limit
        lengths.append(len(reading.spans))
        positions.append(event_positions(trace, label, reading.spans))
        yield Progress(number, total, f"finding the events of trace {number:,} of {total:,}")
    return EventTable(
        label=label,
        lengths=np.asarray(lengths, dtype=np.int64),
        positions=tuple(positions),
        n_too_long=n_too_long,
    )
