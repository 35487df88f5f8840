"""Looking into a saved set: which of its traces a filter keeps, and the set as a file for others."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from dataclasses import dataclass

from core.traces.records import record_of
from core.traces.set_files import TraceRow
from core.traces.sets import TraceFolder


@dataclass(frozen=True, kw_only=True)
class TraceFilter:
    """What a trace must have to be listed; empty fields ask for nothing."""

    text: str = ""
    """Stands in the question or the text, upper and lower case alike."""
    labels: tuple[str, ...] = ()
    """At least one part of each."""
    source: str = ""


def filter_rows(folder: TraceFolder, set_id: str, wanted: TraceFilter) -> tuple[TraceRow, ...]:
    """The rows of the traces that the filter keeps, in order. Raises BadInput."""
    rows = tuple(
        row
        for row in folder.rows(set_id)
        if all(row.counts.get(label) for label in wanted.labels) and wanted.source in ("", row.source)
    )
    needle = wanted.text.strip().casefold()
    if not needle or not rows:
        return rows
    kept = {row.index for row in rows}
    found = {
        index
        for index, trace in enumerate(folder.iterate(set_id))
        if index in kept and (needle in trace.text.casefold() or needle in trace.prompt.casefold())
    }
    return tuple(row for row in rows if row.index in found)


def export_lines(folder: TraceFolder, set_id: str, *, labelling: str = "") -> Iterator[bytes]:
    """The set as JSON Lines of the project's own form, with its own parts or those of a labelling. Raises BadInput."""
    parts = folder.load_labels(set_id, labelling) if labelling else None
    for index, trace in enumerate(folder.iterate(set_id)):
        shown = trace if parts is None else dataclasses.replace(trace, parts=parts[index])
        yield json.dumps(record_of(shown), ensure_ascii=False).encode() + b"\n"
