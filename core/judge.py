"""Labels for sentences from a language model (LLM as a judge, as in Venhoff et al. 2025 and paper, Table C.1).

Sentences go in batches of one trace each; every batch answered is kept under what it depends on, so a run that is
stopped goes on where it was. The asking happens on threads of its own: the engine only looks in.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass

from core.errors import BadInput
from core.jobs import Progress
from core.judge_client import Endpoint, JudgeClient, Unanswered
from core.judge_crew import CALM, Crew, Pace
from core.judge_prompt import DEFAULT_PROMPT, MAX_PROMPT, Malformed, messages_for, parse_answer
from core.labels import with_labels
from core.text.sentences import split_sentences
from core.traces import LABELS
from core.values import Trace

MAX_BATCH = 60
CONTEXT_SENTENCES = 2


@dataclass(frozen=True, kw_only=True)
class JudgeBatch:
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


Lookup = Callable[[JudgeBatch], JudgedBatch | None]
Keep = Callable[[JudgeBatch, JudgedBatch], None]


def judge_traces(
    spec: JudgeSpec, traces: Sequence[Trace], *, lookup: Lookup, keep: Keep, pace: Pace = CALM
) -> Generator[Progress, None, JudgeReport]:
    """Label every sentence of the traces; batches that `lookup` knows are not asked, `keep` gets each new answer.

    A batch is tried several times and then reported. Raises JudgeUnavailable when the endpoint refuses all, or answers
    several batches in a row not at all; what was answered until then is kept.
    """
    todo: dict[JudgeBatch, None] = {}
    for trace in traces:
        yield Progress(0, len(traces), "looking for answers at hand")
        todo |= {batch: None for batch in batches_of(trace, spec) if lookup(batch) is None}
    client = JudgeClient(spec.endpoint)

    def ask(batch: JudgeBatch, last: Unanswered | None) -> JudgedBatch:
        return _ask(client, batch, complaint=last.reason if isinstance(last, Malformed) else "")

    crew = Crew(list(todo), ask, keep=keep, pace=pace)
    try:
        crew.start()
        while (n_ended := len(crew.answers) + len(crew.failed)) < len(todo):
            message = f"asking {spec.endpoint.model}, question {n_ended + 1} of {len(todo)}"
            yield Progress(n_ended, len(todo), message, dict(crew.failed), waiting=True)
            crew.look()
    finally:
        crew.stop()
        client.close()
    rows = []
    for trace in traces:
        yield Progress(len(todo), len(todo), "putting the answers together")
        rows.append(_row(spec, trace, lambda batch: crew.answers.get(batch) or lookup(batch), crew.failed))
    return _report(rows)


def _ask(client: JudgeClient, batch: JudgeBatch, *, complaint: str) -> JudgedBatch:
    messages = messages_for(
        prompt=batch.prompt,
        labels=batch.labels,
        question=batch.question,
        before=batch.before,
        sentences=batch.sentences,
        complaint=complaint,
    )
    labels = parse_answer(client.ask(messages), n=len(batch.sentences), labels=batch.labels)
    return JudgedBatch(labels=labels)


def report_of(spec: JudgeSpec, traces: Iterable[Trace], *, lookup: Lookup) -> JudgeReport:
    """What `lookup` knows by now, without asking."""
    return _report([_row(spec, trace, lookup, {}) for trace in traces])


@dataclass(frozen=True)
class _Row:
    """One trace of a report."""

    trace: Trace
    n_sentences: int
    problems: tuple[str, ...]


def _row(spec: JudgeSpec, trace: Trace, lookup: Lookup, failed: Mapping[JudgeBatch, str]) -> _Row:
    labels: list[str] = []
    problems = []
    for batch in batches_of(trace, spec):
        known, n = lookup(batch), len(batch.sentences)
        if known is None:
            reason = failed.get(batch, "They were not asked yet.")
            problems.append(f"{trace.trace_id}, sentences {len(labels) + 1} to {len(labels) + n}: {reason}")
        labels += known.labels if known else [""] * n
    return _Row(with_labels(trace, split_sentences(trace.text), labels), len(labels), tuple(problems))


def _report(rows: Sequence[_Row]) -> JudgeReport:
    return JudgeReport(
        traces=tuple(row.trace for row in rows),
        n_sentences=sum(row.n_sentences for row in rows),
        n_labelled=sum(len(row.trace.parts) for row in rows),
        problems=tuple(problem for row in rows for problem in row.problems),
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
