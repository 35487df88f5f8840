"""The thread of the work: from traces to a reading, what there is of each step and the page where it goes on."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from core.embedded import recorded_directions, recorded_of
from core.models.pair import ModelFacts, are_of
from core.runs.values import Generation
from ui.components.safe_text import plain
from ui.directions.choices import is_of
from ui.shell.frame import page_path
from ui.shell.state import pair_facts, workbench

LONGEST = 26


@dataclass(frozen=True, kw_only=True)
class Step:
    """A step, its page, and what there is of it; "" for nothing yet."""

    name: str
    page: str
    has: str = ""

    @property
    def label(self) -> str:
        """What the link says."""
        return f"{self.name} · {self.has} ✓" if self.has else self.name


def steps() -> tuple[Step, ...]:
    """The five steps with what is there of the loaded pair."""
    pair = pair_facts()
    return (
        Step(name="1 Traces", page="traces", has=_traces()),
        Step(name="2 Direction", page="extraction", has=_direction(pair)),
        Step(name="3 Steer", page="playground", has=_runs()),
        Step(name="4 Measure", page="experiments", has=_experiments(pair)),
        Step(name="5 Read", page="attribution"),
    )


def draw_thread() -> None:
    """A line for each step."""
    with st.container(gap=None):
        for step in steps():
            st.page_link(page_path(step.page), label=plain(step.label, LONGEST + 14))


def _traces() -> str:
    n = sum(one.n_traces for one in workbench().trace_sets.list())
    return f"{n:,}" if n else ""


def _direction(pair: tuple[ModelFacts, ModelFacts] | None) -> str:
    """Layer and window of the newest direction of the base model, a recorded one where none was saved."""
    saved = [one.direction for one in workbench().directions.list()]
    fitting = [one for one in (*saved, *recorded_directions()) if pair is not None and is_of(one, pair)]
    if not fitting:
        return ""
    window = dict(fitting[0].provenance).get("window", "")
    return f"layer {fitting[0].layer}" + (f", {window}" if window else "")


def _runs() -> str:
    return "texts" if workbench().store.recent("generation", Generation, 1) else ""


def _experiments(pair: tuple[ModelFacts, ModelFacts] | None) -> str:
    bench = workbench()
    kept = [one for one in bench.experiments.list() if pair is not None and are_of(one.plan.fingerprints, pair)]
    if kept:
        return f"{len(kept)} here"
    return "recorded" if pair is not None and recorded_of(pair) is not None else ""
