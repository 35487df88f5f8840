"""The experiments that are kept: how far each is, and the way to open it; a plan from a file joins them."""

from __future__ import annotations

from datetime import datetime

import streamlit as st

from core.experiments.folder import SavedExperiment
from core.experiments.plans import read_plan
from core.experiments.verdicts import State, ticks
from core.experiments.words import NUMBERS
from ui.components.safe_text import plain, tried
from ui.experiments.opened import begin_from, name_of, running_id
from ui.shell.handoff import open_experiment
from ui.shell.recorded import came_from
from ui.shell.state import workbench

MAX_PLAN_MB = 40
_MARKS: dict[State, str] = {"yes": "✓", "no": "✗", "unclear": "?", "too little": "?", "not measured": "·"}


def draw_kept() -> None:
    """One row per experiment, newest first, and the place for a plan file."""
    found = workbench().experiments.list()
    if not found:
        st.info("Nothing is kept yet. Every experiment that you run is listed here.", icon=":material/science:")
    for one in found:
        _draw_row(one)
    _ask_file()


def _draw_row(one: SavedExperiment) -> None:
    outcome = workbench().experiments.outcome(one.experiment_id)
    with st.container(border=True, horizontal=True, vertical_alignment="center", gap="medium"):
        moment = datetime.fromtimestamp(one.saved_at).strftime("%d %b %Y %H:%M")
        figures = ", ".join(NUMBERS[figure] for figure in one.plan.figures)
        if one.experiment_id == running_id():
            state = ":green-badge[LIVE]"
        elif outcome is None:
            state = ":gray-badge[not begun]"
        elif outcome.finished:
            marks = " · ".join(f"{_MARKS[tick.state]} {tick.name}" for tick in ticks(outcome))
            state = f":blue-badge[finished] {marks}"
        else:
            state = f":orange-badge[{outcome.done:,} of {outcome.total:,} points]"
        st.markdown(
            f"**{plain(name_of(one.plan), 100)}**  \n{state}  \n:small[{moment} · {figures} · "
            f"{plain(one.plan.pair.reasoner.name, 60)}{_origin(one.experiment_id)}]",
            width="stretch",
        )
        st.button("Open", key=f"exp:open:{one.experiment_id}", on_click=open_experiment, args=(one.experiment_id,))


def _origin(experiment_id: str) -> str:
    words = came_from("experiment", f"{experiment_id}.plan.json")
    return f" · {plain(words, 120)}" if words else ""


def _ask_file() -> None:
    file = st.file_uploader(
        "Begin as the plan in a file (plan.json)", type=["json"], key="exp:plan_file", max_upload_size=MAX_PLAN_MB
    )
    if file is None:
        return
    plan = tried(lambda: read_plan(file.getvalue(), source=file.name))
    if plan is not None:
        st.button("Use this plan", type="primary", on_click=begin_from, args=(plan,), icon=":material/play_arrow:")
