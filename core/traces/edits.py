"""What is laid over a set of traces: corrections by hand, with their history, and labellings by other labellers.

Both lie beside the set's traces, which never change. A correction holds the trace's parts as they were after it, so
that taking it back is forgetting it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from core.disk import files
from core.errors import BadInput
from core.traces.records import RECORD_FAULTS
from core.traces.set_files import DamagedSet, TraceRow
from core.values import Part, Trace

EDITS = "edits.jsonl"
MAX_EDITS = 5_000
Parts = tuple[Part, ...]

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Edit:
    """One correction: which trace, what was done in words, its parts afterwards, and when (seconds since 1970)."""

    index: int
    note: str
    parts: Parts
    made_at: float


@dataclass(frozen=True, kw_only=True)
class Labelling:
    """A labeller's parts for the traces of a set: its name, parts per label, and when it was saved."""

    name: str
    counts: dict[str, int]
    saved_at: float


def read_edits(folder: Path) -> tuple[Edit, ...]:
    """The corrections of a set, oldest first. Raises OSError, DamagedSet."""
    try:
        data = files.read_regular(folder / EDITS)
    except FileNotFoundError:
        return ()
    try:
        rows = [json.loads(line) for line in data.splitlines()]
        return tuple(
            Edit(index=int(i), note=str(note), parts=_parts(parts), made_at=float(made_at))
            for i, note, parts, made_at in rows
        )
    except RECORD_FAULTS as error:
        raise DamagedSet(EDITS) from error


def write_edits(folder: Path, edits: Sequence[Edit]) -> None:
    """Replace the corrections of a set. Raises OSError, and BadInput for more than MAX_EDITS."""
    if len(edits) > MAX_EDITS:
        raise BadInput(
            f"This set holds {MAX_EDITS:,} corrections already.", "Export it and import the export as a new set."
        )
    rows = [[edit.index, edit.note, _rows(edit.parts), edit.made_at] for edit in edits]
    files.write_whole(folder / EDITS, b"".join(json.dumps(row).encode() + b"\n" for row in rows))


def edited_parts(edits: Iterable[Edit]) -> dict[int, Parts]:
    """Trace index → its parts after all corrections, for those that have any."""
    return {edit.index: edit.parts for edit in edits}


def corrected(trace: Trace, parts: Parts | None) -> Trace:
    """The trace with the parts that corrections gave it, if any. Raises DamagedSet where they do not fit its text."""
    if parts is None:
        return trace
    try:
        return replace(trace, parts=parts)
    except BadInput as error:
        raise DamagedSet(EDITS) from error


def recounted(row: TraceRow, parts: Parts | None) -> TraceRow:
    """The row with the counts of the parts that corrections gave its trace, if any."""
    return row if parts is None else replace(row, counts=dict(Counter(part.label for part in parts)))


def digest_with(digest: str, edits: Sequence[Edit]) -> str:
    """The content's identity: that of the imported traces, changed by every correction in force."""
    if not edits:
        return digest
    return hashlib.sha256(repr((digest, sorted(edited_parts(edits).items()))).encode()).hexdigest()


def write_labelling(folder: Path, name: str, parts: Sequence[Sequence[Part]]) -> None:
    """Keep a labelling under its name; one of the same name is replaced. Raises OSError."""
    counts = Counter(part.label for row in parts for part in row)
    head = {"name": name, "counts": dict(counts), "saved_at": time.time(), "n_traces": len(parts)}
    lines = [head, *map(_rows, parts)]
    files.write_whole(_labelling_path(folder, name), b"".join(json.dumps(line).encode() + b"\n" for line in lines))


def read_labellings(folder: Path) -> tuple[Labelling, ...]:
    """The labellings of a set, the latest first; a damaged one is left out, with a line in the log. Raises OSError."""
    found = [_head(path) for path in sorted(folder.glob("labels-*.jsonl"))]
    return tuple(sorted(filter(None, found), key=lambda labelling: -labelling.saved_at))


def read_labelling(folder: Path, name: str) -> tuple[Parts, ...] | None:
    """The parts of each trace by a labelling, or None where there is none of that name. Raises OSError, BadInput."""
    try:
        data = files.read_regular(_labelling_path(folder, name))
    except FileNotFoundError:
        return None
    try:
        return tuple(_parts(json.loads(line)) for line in data.splitlines()[1:])
    except RECORD_FAULTS as error:
        raise BadInput(
            f"The labelling {name!r} of this set is damaged.",
            "Label the set again under this name: it takes its place.",
        ) from error


def delete_labelling(folder: Path, name: str) -> None:
    """Forget a labelling; where there is none, nothing happens. Raises OSError."""
    _labelling_path(folder, name).unlink(missing_ok=True)


def _labelling_path(folder: Path, name: str) -> Path:
    return folder / f"labels-{hashlib.sha256(name.encode('utf-8', 'replace')).hexdigest()[:16]}.jsonl"


def _head(path: Path) -> Labelling | None:
    with path.open("rb") as file:
        line = file.readline(1 << 20)
    try:
        head = json.loads(line)
        return Labelling(name=str(head["name"]), counts=dict(head["counts"]), saved_at=float(head["saved_at"]))
    except RECORD_FAULTS:
        log.warning("A damaged labelling is left out: %s", path.name)
        return None


def _rows(parts: Iterable[Part]) -> list[list[str | int]]:
    return [[part.label, part.start, part.end] for part in parts]


def _parts(rows: object) -> Parts:
    if not isinstance(rows, list):
        raise TypeError(type(rows).__name__)
    return tuple(Part(label=str(label), start=int(start), end=int(end)) for label, start, end in rows)
