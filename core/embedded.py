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

from core.directions.direction import Direction
from core.directions.folder import read_direction_bytes
from core.disk import codec
from core.errors import BadInput, UserFacingError
from core.experiments.plans import read_outcome
from core.experiments.values import Fixed, Outcome
from core.fetching.shipped import shipped_pairs
from core.labelling.judge import Keep, Lookup
from core.labelling.references import Reference, at_once, configured_judge, judged_by
from core.models.pair import DEMO_PAIR, ROLES, ModelFacts, are_of
from core.runs.questions import Example
from core.runs.values import Generation
from core.settings import PROJECT
from core.traces.records import read_traces
from core.values import ModelSpec, PairSpec, Part, SamplingSpec, Trace

AGREEMENT_FILE = "attribution_agreement.json"
DEMO = PROJECT / "demo"
LOOK = DEMO / "recorded" / "look"
LOOK_SAMPLING = SamplingSpec(max_new_tokens=160, temperature=0.7, seed=0)
"""How Home's answers are written."""
OWN_QUESTIONS = (
    "A train leaves at 9:40 and arrives at 13:05. How long does it take?",
    "Three friends share 45 coins so that each has 5 more than the next. How many has each?",
    "Is 221 a prime number?",
)
"""For a pair that brings no questions of its own."""
FRESH = "fresh"
"""What `fresh_questions` are called."""
TRAININGS = ("paper", "seed1", "seed2")
"""Plans of the same experiment on pairs trained from other starts."""


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
    path = DEMO / "prompts.json"
    try:
        return _examples_of(path, _stamp(path), kind)
    except (OSError, ValueError, KeyError):
        return ()


@functools.lru_cache(maxsize=4)
def _examples_of(path: Path, stamp: tuple[int, int, int], kind: str) -> tuple[Example, ...]:
    rows = json.loads(path.read_text("utf-8"))[kind]
    return tuple(
        Example(prompt=row["prompt"], answer=str(row.get("answer", "")), family=row.get("family", "")) for row in rows
    )


def _stamp(path: Path) -> tuple[int, int, int]:
    """Another one once the file has changed. Raises OSError."""
    status = path.stat()
    return status.st_mtime_ns, status.st_size, status.st_ino


def questions_for(reasoner: ModelSpec) -> tuple[Example, ...]:
    """What a pair can be asked with one click: the embedded pair's examples, or a few for any other."""
    if reasoner.repo_id == DEMO_PAIR.reasoner.repo_id:
        return example_questions()
    return tuple(Example(prompt=text) for text in OWN_QUESTIONS)


def example_traces() -> tuple[Trace, ...]:
    """The labelled traces that the embedded reasoner wrote; read again only when their file has changed."""
    path = DEMO / "traces.jsonl"
    try:
        return _traces_of(path, _stamp(path))
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
    """All that come with the project, the embedded pair's and those of shipped pairs; read once from each folder."""
    return tuple(_directions_of(DEMO / "directions").values())


def embedded_directions() -> tuple[Direction, ...]:
    """Those that `make record` extracted from the embedded pair: of its base model, and of its reasoner."""
    found = _directions_of(DEMO / "directions")
    return tuple(found[role] for role in ROLES if role in found)


@functools.lru_cache(maxsize=2)
def _directions_of(folder: Path) -> dict[str, Direction]:
    """By the name of the file."""
    files = sorted(folder.glob("*.safetensors"))
    return {file.stem: read_direction_bytes(file.read_bytes(), name=file.stem) for file in files}


def recorded_experiment(name: str = "paper") -> Outcome | None:
    """What `make record` measured of a plan in `demo/plans`, or None where it is not there."""
    path = DEMO / "recorded" / name / "results.json"
    try:
        status = path.stat()
        return _outcome_of(path, (status.st_mtime_ns, status.st_size, status.st_ino))
    except (OSError, UserFacingError):
        return None


def recorded_of(pair: tuple[ModelFacts, ModelFacts]) -> Outcome | None:
    """What is recorded of exactly these weights: the embedded pair's, or that of a pair whose adapter is shipped."""
    found = map(recorded_experiment, ("paper", *shipped_pairs()))
    return next((outcome for outcome in found if outcome is not None and are_of(outcome.fingerprints, pair)), None)


def recorded_folder(name: str) -> Path:
    """Where what was measured of a shipped pair is, if anything was."""
    return DEMO / "recorded" / name


def recorded_bundle(name: str) -> Path | None:
    """What is recorded of a shipped pair as one file, to be looked at without a model; None where there is none."""
    path = recorded_folder(name) / "results.retrace"
    return path if path.is_file() else None


def recorded_for(pair: PairSpec) -> Outcome | None:
    """The recorded experiment where it is of this pair."""
    found = recorded_experiment()
    return found if found is not None and _names(found.plan.pair) == _names(pair) else None


def recorded_place(pair: PairSpec) -> Fixed:
    """Layer, window and dose that the recorded experiment chose for the embedded pair; nothing for another pair."""
    found = recorded_for(pair)
    if found is None or found.choice is None:
        return Fixed()
    choice = found.choice
    edges = {(edge.layer, edge.window): edge.coefficient for edge in found.edges}
    dose = round(choice.coefficient / edges[choice.layer, choice.window], 2)
    return Fixed(layer=choice.layer, window=choice.window, dose=dose)


def fresh_questions() -> tuple[Example, ...]:
    """The held-out questions without those on which the recorded experiment chose layer, window and dose."""
    found = recorded_experiment()
    asked = {example.prompt for example in found.plan.choose} if found else set()
    return tuple(example for example in example_questions("heldout") if example.prompt not in asked)


def _names(pair: PairSpec) -> tuple[str | None, ...]:
    return tuple(name for model in (pair.base, pair.reasoner) for name in (model.repo_id, model.adapter))


def recorded_look() -> tuple[Generation, ...]:
    """The first example question answered three ways (`core.experiments.arms.three_ways`), as `make record` wrote it.

    () where it is not there.
    """
    files = [LOOK / f"{i}.safetensors" for i in range(3)]
    try:
        return tuple(codec.load(Generation, file.read_bytes(), key=file.stem) for file in files)
    except (OSError, codec.CorruptValue):
        return ()


def recorded_trainings() -> tuple[Outcome, ...]:
    """The 2×2 and its controls on each training seed that is recorded, the embedded pair's first."""
    return tuple(found for name in TRAININGS if (found := recorded_experiment(name)) is not None)


@functools.lru_cache(maxsize=8)
def _outcome_of(path: Path, stamp: tuple[int, int, int]) -> Outcome:
    return read_outcome(path.read_bytes(), source=path.name)


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
