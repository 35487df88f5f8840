"""Labelling as the work of jobs: by keywords, and by asking a judge."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence

from core.errors import JudgeUnavailable
from core.jobs import Progress
from core.labelling.crew import CALM, Crew, Pace
from core.labelling.endpoint import JudgeClient, Unanswered
from core.labelling.judge import (
    JudgeBatch,
    JudgedBatch,
    JudgeReport,
    JudgeSpec,
    Keep,
    Lookup,
    batches_of,
    join_rows,
    row_of,
)
from core.labelling.keywords import KeywordSet, label_by_keywords
from core.labelling.prompt import Malformed, messages_for, parse_answer
from core.values import Trace

LOOKUPS_A_STEP = 50


def keyword_work(
    traces: Sequence[Trace], keywords: KeywordSet, *, keep: Callable[[tuple[Trace, ...]], None]
) -> Generator[Progress, None, int]:
    """`label_by_keywords` one trace a step; `keep` gets the whole, the result is the number of parts."""
    labelled: list[Trace] = []
    for number, trace in enumerate(traces):
        yield Progress(number, len(traces), f"labelling trace {number + 1:,} of {len(traces):,}")
        labelled += label_by_keywords([trace], keywords)
    keep(tuple(labelled))
    return sum(len(trace.parts) for trace in labelled)


def judge_traces(
    spec: JudgeSpec, traces: Sequence[Trace], *, lookup: Lookup, keep: Keep, pace: Pace = CALM
) -> Generator[Progress, None, JudgeReport]:
    """Label every sentence of the traces; batches that `lookup` knows are not asked, `keep` gets each new answer.

    A batch is tried several times and then reported. Raises JudgeUnavailable when the endpoint refuses all, or answers
    several batches in a row not at all; what was answered until then is kept.
    """
    todo: dict[JudgeBatch, None] = {}
    for trace in traces:
        for number, batch in enumerate(batches_of(trace, spec)):
            if number % LOOKUPS_A_STEP == 0:
                yield Progress(0, len(traces), "looking for answers at hand")
            if lookup(batch) is None:
                todo[batch] = None
    client = JudgeClient(spec.endpoint)

    def ask(batch: JudgeBatch, last: Unanswered | None) -> JudgedBatch:
        return _ask(client, batch, complaint=last.reason if isinstance(last, Malformed) else "")

    crew = Crew(list(todo), ask, keep=keep, pace=pace)
    try:
        crew.start()
        while (n_ended := len(crew.answers) + len(crew.failed)) < len(todo):
            message = f"asking {spec.endpoint.model}, question {n_ended + 1} of {len(todo)}"
            yield Progress(n_ended, len(todo), message, dict(crew.failed), waiting=True)
            try:
                crew.look()
            except JudgeUnavailable:
                yield Progress(n_ended, len(todo), message, dict(crew.failed))
                raise
    finally:
        crew.stop()
        client.close()
    rows = []
    for trace in traces:
        yield Progress(len(todo), len(todo), "putting the answers together")
        rows.append(row_of(spec, trace, lambda batch: crew.answers.get(batch) or lookup(batch), crew.failed))
    return join_rows(rows, note=client.manner.note)


def _ask(client: JudgeClient, batch: JudgeBatch, *, complaint: str) -> JudgedBatch:
    messages = messages_for(
        prompt=batch.prompt,
        labels=batch.labels,
        question=batch.question,
        before=batch.before,
        sentences=batch.sentences,
        complaint=complaint,
    )
    answer = client.ask(messages)
    try:
        return JudgedBatch(labels=parse_answer(answer, n=len(batch.sentences), labels=batch.labels))
    except Malformed as error:
        raise Malformed(client.hide(error.reason)) from None
