"""Which experiment the page shows, what a new one begins as, and what experiments are called."""

from __future__ import annotations

import re
from typing import Literal

import streamlit as st

from core.disk.kept import ITEM_ID
from core.experiments.plans import plan_id
from core.experiments.values import Outcome, Plan
from core.experiments.words import NUMBERS
from core.jobs import Snapshot
from ui.experiments.cluster import chosen_fleet
from ui.shell.handoff import EXPERIMENT, EXPERIMENT_JOB, EXPERIMENT_VIEW, MEASURED, PLANNED, open_experiment
from ui.shell.links import Field
from ui.shell.state import caller, guarded, workbench

View = Literal["New", "Results", "Kept"]
VIEWS: tuple[View, ...] = ("New", "Results", "Kept")
VIEW_KEY, OPEN_KEY, SLOT = EXPERIMENT_VIEW, EXPERIMENT, EXPERIMENT_JOB


def _id(raw: str) -> str:
    if not re.fullmatch(ITEM_ID, raw):
        raise ValueError("it is not the id of an experiment")
    return raw


FIELDS = {"experiment": Field(name="experiment", key=OPEN_KEY, default="", parse=_id)}


def name_of(plan: Plan) -> str:
    """What an experiment is called: its title, else its pair, figures and questions."""
    if plan.title:
        return plan.title
    figures = ", ".join(NUMBERS[figure] for figure in plan.figures)
    return f"{plan.pair.reasoner.name}: {figures}; {len(plan.choose)} + {len(plan.report)} questions"


def run(plan: Plan) -> None:
    """Keep the plan, open it and start its job; in a callback. What stops it is shown where the job is followed."""
    bench = workbench()

    def start() -> str:
        st.session_state[MEASURED] = bench.experiments.save(plan)
        return bench.run_plan(plan, caller(), chosen_fleet())

    if guarded(start, SLOT):
        open_experiment(st.session_state[MEASURED])


def begin_from(plan: Plan) -> None:
    """Let a new experiment begin as this plan; in a callback."""
    st.session_state[PLANNED] = plan
    st.session_state[VIEW_KEY] = "New"


def live_job() -> Snapshot[Outcome] | None:
    """The job that this session follows, while it is live."""
    snapshot = workbench().engine.snapshot(st.session_state.get(SLOT, ""))
    return snapshot if snapshot is not None and snapshot.live else None


def running_id() -> str:
    """The experiment that is being measured; "" where there is none, or where a job taken over has not told yet."""
    job = live_job()
    if job is None:
        return ""
    partial = job.progress.partial
    return plan_id(partial.plan) if isinstance(partial, Outcome) else str(st.session_state.get(MEASURED, ""))
