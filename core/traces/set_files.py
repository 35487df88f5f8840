"""One set of traces as a folder: the traces as JSON Lines, an index to reach each of them, and facts about the whole.

The traces of a set are written once, as they come; corrections and labellings lie beside them (`edits`).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from core.disk import files
from core.errors import BadInput, UserFacingError
from core.text.lines import kept_line, shown_line
from core.traces.records import MAX_TRACE_CHARACTERS, RECORD_FAULTS, record_of, trace_of
from core.values import Trace

TRACES, INDEX, FACTS = "traces.jsonl", "index.jsonl", "set.json"
MAX_FACTS_BYTES = 64 << 20
TITLE_LENGTH = 160
MAX_NAME = 120
EMBEDDED = "embedded"
OWN_FORM = "Retrace JSON Lines"
_MAX_LINE = 40 * MAX_TRACE_CHARACTERS


@dataclass(frozen=True, kw_only=True)
class TraceSet:
    """A set in the list: what it is called, where it came from, and how much is in it, corrections included."""

    set_id: str
    name: str
    source: str
    form: str
    saved_at: float
    """Seconds since 1970; 0 for the embedded set."""
    n_traces: int
    n_characters: int
    counts: dict[str, int]
    """Parts per label."""
    digest: str
    """Identity of the content, corrections included."""
    n_edits: int

    @property
    def embedded(self) -> bool:
        return self.set_id == EMBEDDED


@dataclass(frozen=True, kw_only=True)
class SetFacts:
    """What is known of a set as a whole, corrections left out; `facts_of` begins it, `TraceWriter.finish` counts."""

    name: str
    source: str
    form: str
    saved_at: float
    """Seconds since 1970; 0 for the embedded set."""
    n_traces: int = 0
    n_characters: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    """Parts per label."""
    digest: str = ""
    """Identity of the traces."""
    report: dict[str, object] | None = None
    """What the import said, as JSON; None for a set that no import made."""


class DamagedSet(ValueError):
    """Files of a set that are missing, cut, or do not fit together."""


@dataclass(frozen=True, kw_only=True)
class TraceRow:
    """What a list shows of one trace, without its text."""

    index: int
    trace_id: str
    source: str
    title: str
    """One line: the beginning of the question, or of the text where there is none."""
    n_characters: int
    counts: dict[str, int]
    """Parts per label."""
    place: tuple[int, int]
    """(first byte, number of bytes) of its line in the set's file."""


class TraceWriter:
    """Fills a new folder, trace by trace; `finish` writes the facts. Close it in any case."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._traces, self._index = (folder / TRACES).open("xb"), (folder / INDEX).open("xb")
        self._digest = hashlib.sha256()
        self._at = 0
        self.n_traces, self.n_characters = 0, 0
        self.counts: Counter[str] = Counter()

    def add(self, trace: Trace) -> None:
        """Append one trace. Raises OSError."""
        line = _line(record_of(trace))
        row = row_of(trace, index=self.n_traces, place=(self._at, len(line)))
        self._traces.write(line)
        self._index.write(_line([*row.place, row.trace_id, row.source, row.title, row.n_characters, row.counts]))
        self._digest.update(line)
        self._at += len(line)
        self.n_traces += 1
        self.n_characters += len(trace.text)
        self.counts.update(row.counts)

    def finish(self, facts: SetFacts) -> None:
        """Write `facts`, completed by what was counted, and make all of it survive a crash. Raises OSError."""
        counted = replace(
            facts,
            n_traces=self.n_traces,
            n_characters=self.n_characters,
            counts=dict(self.counts),
            digest=self._digest.hexdigest(),
        )
        for file in (self._traces, self._index):
            file.flush()
            os.fsync(file.fileno())
        write_facts(self._folder, counted)

    def close(self) -> None:
        self._traces.close()
        self._index.close()


def row_of(trace: Trace, *, index: int, place: tuple[int, int] = (0, 0)) -> TraceRow:
    """The list's row of a trace."""
    return TraceRow(
        index=index,
        trace_id=trace.trace_id,
        source=trace.source,
        title=shown_line(trace.prompt or trace.text, TITLE_LENGTH),
        n_characters=len(trace.text),
        counts=dict(Counter(part.label for part in trace.parts)),
        place=place,
    )


def write_facts(folder: Path, facts: SetFacts) -> None:
    """Replace the facts of a set. Raises OSError."""
    files.write_whole(folder / FACTS, json.dumps(asdict(facts)).encode())


def read_facts(folder: Path) -> SetFacts:
    """The facts of a set. Raises OSError, DamagedSet."""
    data = files.read_regular(folder / FACTS, limit=MAX_FACTS_BYTES)
    with _damage(FACTS):
        found = json.loads(data)
        if not isinstance(found, dict):
            raise TypeError(type(found).__name__)
        return SetFacts(
            name=str(found["name"]),
            source=str(found["source"]),
            form=str(found["form"]),
            saved_at=float(found["saved_at"]),
            n_traces=int(found["n_traces"]),
            n_characters=int(found["n_characters"]),
            counts=_counts(found["counts"]),
            digest=str(found["digest"]),
            report=found["report"] if isinstance(found.get("report"), dict) else None,
        )


def read_rows(folder: Path) -> tuple[TraceRow, ...]:
    """The rows of all traces, in order. Raises OSError, DamagedSet."""
    rows = []
    with (folder / INDEX).open("rb") as file:
        for index, line in enumerate(file):
            with _damage(INDEX):
                first, length, trace_id, source, title, n_characters, counts = json.loads(line)
                rows.append(
                    TraceRow(
                        index=index,
                        trace_id=str(trace_id),
                        source=str(source),
                        title=str(title),
                        n_characters=int(n_characters),
                        counts=_counts(counts),
                        place=(int(first), int(length)),
                    )
                )
    return tuple(rows)


def read_traces(folder: Path) -> Iterator[Trace]:
    """All traces as they were imported, one at a time. Raises OSError, DamagedSet."""
    with (folder / TRACES).open("rb") as file:
        while line := file.readline(_MAX_LINE):
            yield _trace(line)


def read_trace(folder: Path, row: TraceRow) -> Trace:
    """One trace as it was imported. Raises OSError, DamagedSet."""
    with (folder / TRACES).open("rb") as file:
        file.seek(row.place[0])
        return _trace(file.read(row.place[1]))


def facts_of(*, name: str, source: str, form: str, report: dict[str, object] | None = None) -> SetFacts:
    """What `TraceWriter.finish` needs to know of a set that is saved now."""
    return SetFacts(name=name, source=source, form=form, saved_at=time.time(), report=report)


def checked_name(name: str) -> str:
    """A name on one line. Raises BadInput for an empty one."""
    line = kept_line(name, MAX_NAME)
    if not line:
        raise BadInput("The name is empty.", "Type a name.")
    return line


@contextlib.contextmanager
def disk_errors(what: str) -> Iterator[None]:
    """What the disk refuses becomes a UserFacingError that begins with `what`."""
    try:
        yield
    except OSError as error:
        raise UserFacingError(
            f"{what}: {error.strerror or 'the disk refused it'}.",
            "Free some space or check the rights of the cache folder, then try again.",
        ) from error


@contextlib.contextmanager
def _damage(name: str) -> Iterator[None]:
    """What bytes of a wrong form raise becomes a DamagedSet that names their file."""
    try:
        yield
    except (*RECORD_FAULTS, BadInput) as error:
        raise DamagedSet(name) from error


def _trace(line: bytes) -> Trace:
    with _damage(TRACES):
        record = json.loads(line)
        if not isinstance(record, dict):
            raise TypeError(type(record).__name__)
        return trace_of(record)


def _counts(given: object) -> dict[str, int]:
    if not isinstance(given, dict):
        raise TypeError(type(given).__name__)
    return {str(label): int(n) for label, n in given.items()}


def _line(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
