"""Labellings that keywords are held against (paper, Table C.1): a judge, or any other labeller, under one form."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

from core.jobs import Progress
from core.labelling.crew import CALM, Pace
from core.labelling.endpoint import configured_endpoint
from core.labelling.judge import JudgeSpec, Keep, Lookup
from core.labelling.work import judge_traces
from core.values import Trace

Labeller = Callable[[Sequence[Trace]], tuple[Trace, ...]]
"""The traces, in their order, with the parts that it found in the place of those they had."""


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A labeller as the work of a job, and what it is called."""

    name: str
    label: Callable[[Sequence[Trace]], Generator[Progress, None, tuple[Trace, ...]]]
    knows_all: bool
    """Whether a sentence that gets no label is known to be no event; else it was not judged, and is left out."""


def at_once(name: str, labeller: Labeller) -> Reference:
    """A labeller that looks at every sentence and takes no time."""

    def label(traces: Sequence[Trace]) -> Generator[Progress, None, tuple[Trace, ...]]:
        yield Progress(0, 1, "labelling the completions")
        return labeller(traces)

    return Reference(name=name, label=label, knows_all=True)


def judged_by(spec: JudgeSpec, *, lookup: Lookup, keep: Keep, pace: Pace = CALM) -> Reference:
    """A judge: what `lookup` knows is not asked again, `keep` gets each new answer.

    The work raises JudgeUnavailable as `judge_traces` does. A sentence that got no answer has no label.
    """

    def label(traces: Sequence[Trace]) -> Generator[Progress, None, tuple[Trace, ...]]:
        report = yield from judge_traces(spec, traces, lookup=lookup, keep=keep, pace=pace)
        return report.traces

    return Reference(name=spec.name, label=label, knows_all=False)


def configured_judge() -> JudgeSpec | None:
    """The judge that the environment names, with the project's own prompt; None without an address or a model.

    Raises BadInput for a bad address.
    """
    endpoint = configured_endpoint()
    return JudgeSpec(endpoint=endpoint) if endpoint and endpoint.model else None
