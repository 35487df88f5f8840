"""What comes with the embedded pair: questions, labelled traces, and directions and curves recorded by a command.

All of it is data in `demo/`; a folder without it is no error, only emptier.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.direction_files import read_direction_bytes
from core.directions import Direction
from core.errors import UserFacingError
from core.experiments import DosePoint
from core.traces import read_traces
from core.values import Trace

DEMO = Path(__file__).resolve().parent.parent / "demo"


@dataclass(frozen=True, kw_only=True)
class Example:
    """A question with its known answer, "" where there is none."""

    prompt: str
    answer: str = ""
    family: str = ""


@dataclass(frozen=True, kw_only=True)
class RecordedCurves:
    """The 2×2 as `make record` measured it, and what it was measured on."""

    fingerprints: tuple[str, str]
    """(base, reasoner) fingerprints of the weights."""
    layer: int
    window: str
    n_prompts: int
    points: tuple[DosePoint, ...]


def example_questions(kind: str = "examples") -> tuple[Example, ...]:
    """The questions of `demo/prompts.json`: "examples" to show, or "heldout" to measure on."""
    try:
        rows = json.loads((DEMO / "prompts.json").read_text("utf-8"))[kind]
    except (OSError, ValueError, KeyError):
        return ()
    return tuple(
        Example(prompt=row["prompt"], answer=str(row.get("answer", "")), family=row.get("family", "")) for row in rows
    )


def example_traces() -> tuple[Trace, ...]:
    """The labelled traces that the embedded reasoner wrote."""
    try:
        return read_traces(DEMO / "traces.jsonl").traces
    except UserFacingError:
        return ()


def recorded_directions() -> tuple[Direction, ...]:
    """Directions extracted from the embedded pair by `make record`."""
    files = sorted((DEMO / "directions").glob("*.safetensors"))
    return tuple(read_direction_bytes(file.read_bytes(), name=file.stem) for file in files)


def recorded_curves() -> RecordedCurves | None:
    """The recorded 2×2, or None where there is none."""
    try:
        data = json.loads((DEMO / "dose_response.json").read_text("utf-8"))
        base, reasoner = data["fingerprints"]
        return RecordedCurves(
            fingerprints=(base, reasoner),
            layer=int(data["layer"]),
            window=str(data["window"]),
            n_prompts=int(data["n_prompts"]),
            points=tuple(_point(row) for row in data["points"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _point(row: dict[str, Any]) -> DosePoint:
    return DosePoint(
        source=row["source"],
        target=row["target"],
        coefficient=float(row["coefficient"]),
        hits=tuple(row["hits"]),
        words=tuple(row["words"]),
        repetition=tuple(row["repetition"]),
        nll=tuple(float("nan") if value is None else value for value in row["nll"]),
        no_evidence=int(row["no_evidence"]),
    )
