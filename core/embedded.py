"""What comes with the embedded pair: questions, labelled traces, and directions and curves recorded by a command.

All of it is data in `demo/`; a folder without it is no error, only emptier.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from core.directions.direction import Direction
from core.directions.folder import read_direction_bytes
from core.errors import BadInput, UserFacingError
from core.experiments.plans import read_outcome
from core.experiments.values import Outcome
from core.labelling.judge import Keep, Lookup
from core.labelling.references import Reference, at_once, configured_judge, judged_by
from core.runs.dose_response import DosePoint
from core.runs.questions import Example
from core.settings import PROJECT
from core.traces.records import read_traces
from core.values import PairSpec, Part, Trace, Window

AGREEMENT_FILE = "attribution_agreement.json"
DOSE = "dose"
"""Provenance of a recorded direction: the share of the mean residual norm at which its effect was recorded."""
DEMO = PROJECT / "demo"


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A claim about one training of the embedded pair, whether it held, and the numbers in words."""

    text: str
    holds: bool
    found: str


@dataclass(frozen=True, kw_only=True)
class RecordedClaims:
    """What `make record` found of one training; seed 0 is the embedded pair."""

    seed: int
    fingerprints: tuple[str, str]
    """(base, reasoner) fingerprints of the weights."""
    claims: tuple[Claim, ...]


@dataclass(frozen=True, kw_only=True)
class RecordedCurves:
    """The 2×2 as `make record` measured it, and what it was measured on."""

    fingerprints: tuple[str, str]
    """(base, reasoner) fingerprints of the weights."""
    layer: int
    window: str
    n_prompts: int
    points: tuple[DosePoint, ...]


def references_for(pair: PairSpec, *, lookup: Lookup, keep: Keep) -> list[Reference]:
    """Who may say which sentences of a pair's completions turn back: its own grammar, and the judge that is set.

    The grammar is that of the pairs that come with the project, of whatever training seed.
    """
    models = (pair.base, pair.reasoner)
    is_ours = all(model.repo_id.startswith(f"{DEMO.name}/") for model in models)
    found = [at_once("the pair's own grammar", embedded_labels)] if is_ours else []
    judge = configured_judge()
    return [*found, judged_by(judge, lookup=lookup, keep=keep)] if judge else found


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
    """The labelled traces that the embedded reasoner wrote; read again only when their file has changed."""
    path = DEMO / "traces.jsonl"
    try:
        status = path.stat()
        return _traces_of(path, (status.st_mtime_ns, status.st_size, status.st_ino))
    except (OSError, UserFacingError):
        return ()


@functools.lru_cache(maxsize=2)
def _traces_of(path: Path, stamp: tuple[int, int, int]) -> tuple[Trace, ...]:
    return read_traces(path).traces


def embedded_labels(traces: Sequence[Trace]) -> tuple[Trace, ...]:
    """The traces with a part for every sentence of the embedded pair's grammar, in the place of those they had.

    A sentence that matches no phrase from end to end has no label; whether its arithmetic is right does not matter.
    Raises BadInput where the grammar is not there.
    """
    sentence, phrases = _grammar()
    labelled = []
    for trace in traces:
        found = ((match, _label(phrases, match[0])) for match in sentence.finditer(trace.text))
        parts = (Part(label=label, start=match.start(), end=match.end()) for match, label in found if label)
        labelled.append(replace(trace, parts=tuple(parts)))
    return tuple(labelled)


def _label(phrases: Sequence[tuple[str, re.Pattern[str]]], sentence: str) -> str:
    return next((label for label, pattern in phrases if pattern.fullmatch(sentence)), "")


@functools.cache
def _grammar() -> tuple[re.Pattern[str], tuple[tuple[str, re.Pattern[str]], ...]]:
    """What a sentence is, and label and pattern of every phrase kind (`demo/sentences.json`)."""
    try:
        data = json.loads((DEMO / "sentences.json").read_text("utf-8"))
        phrases = tuple((str(row["label"]), re.compile(row["pattern"])) for row in data["phrases"])
        return re.compile(data["sentence"], re.DOTALL), phrases
    except (OSError, ValueError, LookupError, TypeError, re.error) as error:
        raise BadInput(
            "The sentence grammar of the embedded pair cannot be read.",
            "Restore demo/sentences.json, or run python -m demo.write_sentences.",
        ) from error


def recorded_directions() -> tuple[Direction, ...]:
    """Directions extracted from the embedded pair by `make record`."""
    files = sorted((DEMO / "directions").glob("*.safetensors"))
    return tuple(read_direction_bytes(file.read_bytes(), name=file.stem) for file in files)


def recorded_curves() -> RecordedCurves | None:
    """The recorded 2×2 of the embedded pair, or None where there is none."""
    try:
        data = _study()["seeds"][0]
        base, reasoner = data["fingerprints"]
        start, stop = data["chosen"]["window"]
        return RecordedCurves(
            fingerprints=(base, reasoner),
            layer=int(data["chosen"]["layer"]),
            window=Window(start=start, stop=stop).label,
            n_prompts=len(data["points"][0]["hits"]),
            points=tuple(_point(row) for row in data["points"]),
        )
    except (OSError, ValueError, LookupError, TypeError):
        return None


def recorded_claims() -> tuple[RecordedClaims, ...]:
    """What was found of every training seed, the embedded pair first; empty where nothing was recorded."""
    try:
        return tuple(
            RecordedClaims(
                seed=int(row["seed"]),
                fingerprints=(row["fingerprints"][0], row["fingerprints"][1]),
                claims=tuple(
                    Claim(text=claim["claim"], holds=bool(claim["holds"]), found=claim["found"])
                    for claim in row["claims"]
                ),
            )
            for row in _study()["seeds"]
        )
    except (OSError, ValueError, LookupError, TypeError):
        return ()


def _study() -> Any:
    return json.loads((DEMO / "report.json").read_text("utf-8"))


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


@dataclass(frozen=True, kw_only=True)
class Correlation:
    """Spearman rank correlation between two methods over the positions before an event, one value per trace."""

    estimate: str
    exact: str
    median: float
    low: float
    """25th percentile over the traces."""
    high: float
    """75th percentile."""


@dataclass(frozen=True, kw_only=True)
class RecordedAgreement:
    """How far the methods agree, as `make attribution-report` measured it, and on which weights."""

    fingerprint: str
    layer: int
    coefficient: float
    n_traces: int
    n_positions: int
    completeness_error: float
    """Median over the traces of `completeness_error`."""
    readout_share: float
    correlations: tuple[Correlation, ...]


def recorded_agreement() -> RecordedAgreement | None:
    """The recorded report, or None where there is none."""
    try:
        data = json.loads((DEMO / AGREEMENT_FILE).read_text("utf-8"))
        rows = tuple(Correlation(**row) for row in data.pop("correlations"))
        return RecordedAgreement(**data, correlations=rows)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def recorded_experiment() -> Outcome | None:
    """The recorded experiment of the embedded pair, or None where there is none."""
    try:
        return read_outcome((DEMO / "experiment.json").read_bytes(), source="demo/experiment.json")
    except (OSError, UserFacingError):
        return None
