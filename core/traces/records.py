"""The project's own form of a trace: a record of it, and files of one record per line.

Characters and tokens meet in `events`; here a part is a span of characters of the text.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from core.errors import BadInput
from core.text.lines import kept_line, without_surrogates
from core.values import Part, Trace

MAX_TRACE_CHARACTERS = 400_000
MAX_LABEL = 80
RECORD_FAULTS = (ValueError, TypeError, KeyError, OverflowError, RecursionError)
"""What a record of a wrong form raises while it is read; `reason_of` puts it into words."""


@dataclass(frozen=True)
class TraceReport:
    """What was read from a file, and what was not, with the reason."""

    traces: tuple[Trace, ...]
    problems: tuple[str, ...]
    """The lines that give no trace."""
    bad_parts: tuple[str, ...] = ()
    """The parts that were left out of a trace that is kept."""

    @property
    def counts(self) -> dict[str, int]:
        """Parts per label over all traces."""
        return dict(Counter(part.label for trace in self.traces for part in trace.parts))


@dataclass(frozen=True, kw_only=True)
class OwnRecord:
    """A trace of a record of the own form, how many parts the record names, and why some are left out."""

    trace: Trace
    n_parts: int
    bad_parts: tuple[str, ...]


def read_traces(path: Path) -> TraceReport:
    """The traces of a JSON Lines file of the project's own form. Raises BadInput when the file cannot be read."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BadInput(f"The trace file {path.name} cannot be read.", "Check that it is there.") from error
    return parse_traces(data, source=path.name)


def parse_traces(data: bytes, *, source: str) -> TraceReport:
    """Traces from JSON Lines: {"id", "prompt", "text", "parts": [{"label", "start", "end"}]} per line.

    A line that cannot be used is reported with its number and reason, and the others are kept; so is a part, and its
    trace is kept without it. Raises BadInput when no line can be used.
    """
    traces: list[Trace] = []
    problems: list[str] = []
    bad_parts: list[str] = []
    for number, line in enumerate(data.decode("utf-8", errors="replace").split("\n"), start=1):
        if not line.strip():
            continue
        try:
            found = read_own(json.loads(line), trace_id=f"{source}:{number}", source=source)
            traces.append(found.trace)
            bad_parts += [f"Line {number}: {reason}." for reason in found.bad_parts]
        except RECORD_FAULTS as error:
            problems.append(f"Line {number}: {reason_of(error)}")
        except BadInput as error:
            problems.append(f"Line {number}: {error.problem}")
    if not traces:
        reason = f" {problems[0]}" if problems else ""
        raise BadInput(
            f"{source} holds no usable trace.{reason}",
            'Each line must be a JSON object with "prompt", "text" and "parts" (label, start, end).',
        )
    return TraceReport(traces=tuple(traces), problems=tuple(problems), bad_parts=tuple(bad_parts))


def reason_of(error: Exception) -> str:
    """Why a record could not be used, for one of RECORD_FAULTS."""
    if isinstance(error, json.JSONDecodeError):
        return f"it is not JSON (column {error.colno})."
    if isinstance(error, KeyError):
        return f"the field {error} is missing."
    return f"a field has the wrong type ({type(error).__name__})."


def read_own(record: object, *, trace_id: str, source: str) -> OwnRecord:
    """What a record of the own form holds, whoever wrote it; a part that is no span of the text is left out and named.

    `trace_id` and `source` are taken where the record names none. Raises BadInput, or one of RECORD_FAULTS, for a
    record that gives no trace.
    """
    if not isinstance(record, dict):
        raise BadInput("it is not a JSON object.", "Use one object per line.")
    items = record.get("parts", [])
    if not isinstance(items, list):
        raise TypeError("parts")
    bare = trace_of({"id": trace_id, "source": source, **record, "parts": []})
    parts: list[Part] = []
    bad: list[str] = []
    for k, item in enumerate(items, start=1):
        part = _part(item, len(bare.text))
        if part is None:
            bad.append(f"part {k} is not a label with a start and an end in the text")
        else:
            parts.append(part)
    trace = Trace(trace_id=bare.trace_id, prompt=bare.prompt, text=bare.text, parts=tuple(parts), source=bare.source)
    return OwnRecord(trace=trace, n_parts=len(items), bad_parts=tuple(bad))


def record_of(trace: Trace) -> dict[str, object]:
    """The trace as a record of the own form."""
    return {
        "id": trace.trace_id,
        "source": trace.source,
        "prompt": trace.prompt,
        "text": trace.text,
        "parts": [{"label": part.label, "start": part.start, "end": part.end} for part in trace.parts],
    }


def trace_of(record: dict[str, object]) -> Trace:
    """The trace of a record that `record_of` wrote. Raises BadInput, or one of RECORD_FAULTS, for any other."""
    prompt, text = without_surrogates(record.get("prompt", "")), without_surrogates(record["text"])
    fault = check_length(text)
    if fault:
        raise BadInput(f"{fault}.", f"Use 1 to {MAX_TRACE_CHARACTERS:,} characters.")
    items = record["parts"]
    if not isinstance(items, list):
        raise TypeError("parts")
    return Trace(
        trace_id=without_surrogates(str(record.get("id", ""))),
        prompt=prompt,
        text=text,
        parts=tuple(
            Part(label=without_surrogates(item["label"]), start=int(item["start"]), end=int(item["end"]))
            for item in items
        ),
        source=without_surrogates(str(record.get("source", ""))),
    )


def check_length(text: str) -> str:
    """Why a text cannot be read as one trace, or ""."""
    if not text.strip():
        return "its text is blank"
    return f"its text has {len(text):,} characters" if len(text) > MAX_TRACE_CHARACTERS else ""


def _part(item: object, length: int) -> Part | None:
    """The part of a text of `length` characters that the item names, or None where it names none."""
    if not isinstance(item, dict):
        return None
    label, start, end = (item.get(name) for name in ("label", "start", "end"))
    if type(label) is not str or type(start) is not int or type(end) is not int:
        return None
    label = kept_line(without_surrogates(label), MAX_LABEL)
    return Part(label=label, start=start, end=end) if label and 0 <= start < end <= length else None
