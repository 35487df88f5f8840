"""Reasoning traces: where their events are in tokens, which positions a window covers, and reading trace files.

Characters and tokens meet here: a part is a span of characters, an event the first token of a part in *one* model's
tokenisation of the whole text (paper.md's "tokens of one text re-encoded piecewise" is what this avoids).
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import BadInput
from core.text.lines import clean
from core.values import Part, Trace

MAX_TRACE_CHARACTERS = 400_000
RECORD_FAULTS = (ValueError, TypeError, KeyError, OverflowError, RecursionError)
"""What a record of a wrong form raises while it is read; `reason_of` puts it into words."""


@dataclass(frozen=True)
class TraceReport:
    """What was read from a file, and what was not, with the reason."""

    traces: tuple[Trace, ...]
    problems: tuple[str, ...]

    @property
    def counts(self) -> dict[str, int]:
        """Parts per label over all traces."""
        return dict(Counter(part.label for trace in self.traces for part in trace.parts))


def read_traces(path: Path) -> TraceReport:
    """The traces of a JSON Lines file of the project's own form. Raises BadInput when the file cannot be read."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BadInput(f"The trace file {path.name} cannot be read.", "Check that it is there.") from error
    return parse_traces(data, source=path.name)


def parse_traces(data: bytes, *, source: str) -> TraceReport:
    """Traces from JSON Lines: {"id", "prompt", "text", "parts": [{"label", "start", "end"}]} per line.

    A line that cannot be used is reported with its number and reason, and the others are kept. Raises BadInput when
    no line can be used.
    """
    traces, problems = [], []
    for number, line in enumerate(data.decode("utf-8", errors="replace").split("\n"), start=1):
        if not line.strip():
            continue
        try:
            traces.append(trace_from_record(json.loads(line), trace_id=f"{source}:{number}", source=source))
        except RECORD_FAULTS as error:
            problems.append(f"Line {number}: {reason_of(error)}")
        except BadInput as error:
            problems.append(f"Line {number}: {error.problem}")
    if not traces:
        found = f" {problems[0]}" if problems else ""
        raise BadInput(
            f"{source} holds no usable trace.{found}",
            'Each line must be a JSON object with "prompt", "text" and "parts" (label, start, end).',
        )
    return TraceReport(traces=tuple(traces), problems=tuple(problems))


def reason_of(error: Exception) -> str:
    """Why a record could not be used, for one of RECORD_FAULTS."""
    if isinstance(error, json.JSONDecodeError):
        return f"it is not JSON (column {error.colno})."
    if isinstance(error, KeyError):
        return f"the field {error} is missing."
    return f"a field has the wrong type ({type(error).__name__})."


def trace_from_record(record: Any, *, trace_id: str, source: str) -> Trace:
    """The trace of a record of the project's own form; `trace_id` and `source` stand in where it names none.

    Raises BadInput, or one of RECORD_FAULTS, for a record that is none.
    """
    if not isinstance(record, dict):
        raise BadInput("it is not a JSON object.", "Use one object per line.")
    prompt, text = clean(record.get("prompt", "")), clean(record["text"])
    fault = check_length(text)
    if fault:
        raise BadInput(f"{fault}.", f"Use 1 to {MAX_TRACE_CHARACTERS:,} characters.")
    parts = tuple(
        Part(label=clean(part["label"]), start=int(part["start"]), end=int(part["end"]))
        for part in record.get("parts", [])
    )
    return Trace(
        trace_id=clean(str(record.get("id", trace_id))),
        prompt=prompt,
        text=text,
        parts=parts,
        source=clean(str(record.get("source", source))),
    )


def record_of(trace: Trace) -> dict[str, Any]:
    """The trace as a record of the project's own form, the inverse of `trace_from_record`."""
    return {
        "id": trace.trace_id,
        "source": trace.source,
        "prompt": trace.prompt,
        "text": trace.text,
        "parts": [{"label": part.label, "start": part.start, "end": part.end} for part in trace.parts],
    }


def check_length(text: str) -> str:
    """Why a text cannot be read as one trace, or ""."""
    if not text.strip():
        return "its text is blank"
    return f"its text has {len(text):,} characters" if len(text) > MAX_TRACE_CHARACTERS else ""
