"""Labels for sentences from a language model (LLM as a judge, as in Venhoff et al. 2025 and paper, Table C.1).

Sentences go in batches of one trace each; every batch answered is kept under what it depends on, so a run that is
stopped goes on where it was. The asking happens on threads of its own: the engine only looks in.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from core.errors import BadInput
from core.labelling.endpoint import Endpoint
from core.labelling.keywords import with_labels
from core.labelling.prompt import DEFAULT_PROMPT, MAX_PROMPT
from core.text.sentences import split_sentences
from core.traces.events import LABELS
from core.values import Kinds, Spec, Trace

MAX_BATCH = 60
CONTEXT_SENTENCES = 2


@dataclass(frozen=True, kw_only=True)
class JudgeBatch(Spec["JudgedBatch"]):
    """Consecutive sentences of one trace and all that their labels depend on: what an answer is kept under."""

    host: str
    model: str
    prompt: str
    labels: tuple[str, ...]
    question: str
    before: tuple[str, ...]
    """The sentences just before, for context."""
    sentences: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class JudgedBatch:
    """An answer: (n_sentences,) labels."""

    labels: tuple[str, ...]


KINDS: Kinds = {JudgeBatch: ("judged", JudgedBatch)}


@dataclass(frozen=True, kw_only=True)
class JudgeSpec:
    """Whom to ask and how. Raises BadInput for an empty or overlong prompt, no model, or a bad batch size."""

    endpoint: Endpoint
    prompt: str = DEFAULT_PROMPT
    labels: tuple[str, ...] = LABELS
    batch: int = 20
    """Sentences per question."""

    def __post_init__(self) -> None:
        if not self.endpoint.model.strip():
            raise BadInput("The judge has no model.", "Name the model that the endpoint should use.")
        if not self.prompt.strip() or len(self.prompt) > MAX_PROMPT:
            raise BadInput(f"The prompt has {len(self.prompt)} characters.", f"Use 1 to {MAX_PROMPT}.")
        if not 1 <= self.batch <= MAX_BATCH:
            raise BadInput(f"{self.batch} sentences at once were asked for.", f"Choose 1 to {MAX_BATCH}.")

    @property
    def name(self) -> str:
        """What a labelling by this judge is called."""
        return f"judge: {self.endpoint.model}"


@dataclass(frozen=True, kw_only=True)
class JudgeReport:
    """What the judge said: the traces with a part per labelled sentence, and what is missing."""

    traces: tuple[Trace, ...]
    n_sentences: int
    n_labelled: int
    problems: tuple[str, ...]
    """One line per batch that got no labels, with trace, sentences and reason."""
    reasons: tuple[tuple[str, int], ...] = ()
    """The reasons among them with how many batches each, the most frequent first; those not asked yet left out."""
    note: str = ""
    """What was not as usual about the asking; "" where all was."""


Lookup = Callable[[JudgeBatch], JudgedBatch | None]
Keep = Callable[[JudgeBatch, JudgedBatch], None]


def report_of(
    spec: JudgeSpec, traces: Iterable[Trace], *, lookup: Lookup, failed: Mapping[JudgeBatch, str] = MappingProxyType({})
) -> JudgeReport:
    """What `lookup` knows by now, without asking; `failed` are the reasons of batches that got no answer."""
    return join_rows([row_of(spec, trace, lookup, failed) for trace in traces])


@dataclass(frozen=True)
class ReportRow:
    """One trace of a report."""

    trace: Trace
    n_sentences: int
    problems: tuple[str, ...]
    reasons: tuple[str, ...]
    """Why batches that were asked got no labels."""


def row_of(spec: JudgeSpec, trace: Trace, lookup: Lookup, failed: Mapping[JudgeBatch, str]) -> ReportRow:
    """The trace with the labels of the answers that `lookup` knows; the others are problems, with their reason."""
    labels: list[str] = []
    problems, reasons = [], []
    for batch in batches_of(trace, spec):
        known, n = lookup(batch), len(batch.sentences)
        if known is None:
            reason = failed.get(batch, "They were not asked yet.")
            reasons += [reason] if batch in failed else []
            problems.append(f"{trace.trace_id}, sentences {len(labels) + 1} to {len(labels) + n}: {reason}")
        labels += known.labels if known else [""] * n
    labelled = with_labels(trace, split_sentences(trace.text), labels)
    return ReportRow(labelled, len(labels), tuple(problems), tuple(reasons))


def join_rows(rows: Sequence[ReportRow], *, note: str = "") -> JudgeReport:
    """The rows as one report."""
    return JudgeReport(
        traces=tuple(row.trace for row in rows),
        n_sentences=sum(row.n_sentences for row in rows),
        n_labelled=sum(len(row.trace.parts) for row in rows),
        problems=tuple(problem for row in rows for problem in row.problems),
        reasons=tuple(Counter(reason for row in rows for reason in row.reasons).most_common()),
        note=note,
    )


def batches_of(trace: Trace, spec: JudgeSpec) -> list[JudgeBatch]:
    """The trace's sentences in batches of about equal size, at most `spec.batch` each."""
    sentences = tuple(trace.text[start:end] for start, end in split_sentences(trace.text))
    n = -(-len(sentences) // spec.batch)
    edges = [round(i * len(sentences) / n) for i in range(n + 1)] if n else []
    return [
        JudgeBatch(
            host=spec.endpoint.host,
            model=spec.endpoint.model,
            prompt=spec.prompt,
            labels=spec.labels,
            question=trace.prompt,
            before=sentences[max(0, start - CONTEXT_SENTENCES) : start],
            sentences=sentences[start:end],
        )
        for start, end in itertools.pairwise(edges)
    ]
