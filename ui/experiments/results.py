"""An opened experiment: how far it is, the four ticks, its figures, and the texts behind every point."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from core.errors import UserFacingError
from core.experiments.values import Figure, Outcome, Plan
from core.experiments.verdicts import ticks
from core.experiments.words import TITLES
from core.jobs import Snapshot
from ui.components.safe_text import plain, show_error, tried
from ui.components.ticks import draw_ticks
from ui.experiments.actions import draw_actions
from ui.experiments.figure import draw_charts, draw_figure, draw_numbers, has_figure
from ui.experiments.form import cost_line, look_at, traces_of
from ui.experiments.opened import OPEN_KEY, SLOT, VIEW_KEY, live_job, name_of, run, running_id
from ui.experiments.source import Pair
from ui.experiments.texts import draw_texts
from ui.shell.jobs import follow
from ui.shell.state import can_run, workbench

LIVE_EVERY = 2.0
"""Seconds after which the figures of a running experiment are drawn again."""
FIGURE_KEY = "exp:figure"


def draw_results(facts: Pair) -> None:
    """The opened experiment, live or as it is kept."""
    running = running_id()
    opened = st.session_state[OPEN_KEY] or running
    if not opened and live_job() is not None:
        follow(SLOT)
        _await_name()
        return
    if not opened:
        _say_none()
        return
    plan = tried(lambda: workbench().experiments.plan(opened))
    if plan is None:
        follow(SLOT)
        return
    _draw_title(opened, plan, is_live=running == opened)
    if running == opened:
        follow(SLOT)
        job = live_job()
        if job is not None:
            _draw_live(job.job_id)
        return
    if running:
        st.caption("Another experiment is being measured: its progress is in the sidebar.")
    outcome = workbench().experiments.outcome(opened)
    if st.session_state.get(SLOT):
        follow(SLOT)
    if outcome is None or not outcome.finished:
        _offer_to_go_on(plan, outcome, facts)
    if outcome is not None:
        _draw_outcome(outcome, opened, facts)


def _say_none() -> None:
    st.info("No experiment is open. Press **Run** under **New**, or open one of those kept.", icon=":material/science:")
    st.button("New experiment", icon=":material/add:", on_click=_to_new)


def _to_new() -> None:
    st.session_state[VIEW_KEY] = "New"


def _draw_title(opened: str, plan: Plan, *, is_live: bool) -> None:
    title, actions = st.columns([3, 2], vertical_alignment="center")
    with title:
        badge = " :green-badge[LIVE]" if is_live else ""
        st.markdown(f"#### {plain(name_of(plan), 120)}{badge}")
    with actions:
        draw_actions(opened, plan)


def _offer_to_go_on(plan: Plan, outcome: Outcome | None, facts: Pair) -> None:
    """How much is there, and the button that measures the rest; or why it cannot be measured with this pair."""
    if not can_run():
        done = f"{outcome.done:,} of {outcome.total:,} points are" if outcome is not None else "No point is"
        st.caption(f":material/inventory_2: {done} measured; going on needs the models.")
        return
    text, button = st.columns([5, 1], vertical_alignment="center")
    try:
        cost = look_at(plan, traces_of(plan.traces), facts)
    except UserFacingError as error:
        with text:
            show_error(error)
        return
    there = f"**{outcome.done:,} of {outcome.total:,}** points are measured" if outcome is not None else "Not begun"
    text.info(f"{there}. In all: {cost_line(cost)}.", icon=":material/pause_circle:")
    words = "Go on" if outcome is not None and outcome.done else "Run"
    button.button(
        words,
        type="primary",
        icon=":material/play_arrow:",
        width="stretch",
        key="exp:go_on",
        on_click=run,
        args=(plan,),
    )


@st.fragment(run_every=LIVE_EVERY)
def _await_name() -> None:
    """A job of a closed tab tells which experiment it measures with its first point; then it is opened."""
    st.caption("The experiment of a closed tab goes on; it is shown here as soon as it has a point.")
    found = running_id()
    if found:
        st.session_state[OPEN_KEY] = found
        st.rerun()


@st.fragment(run_every=LIVE_EVERY)
def _draw_live(job_id: str) -> None:
    """What is there so far; `follow` starts the page over when the job has ended."""
    snapshot: Snapshot[Outcome] | None = workbench().engine.snapshot(job_id)
    outcome = snapshot.progress.partial if snapshot is not None else None
    if not isinstance(outcome, Outcome):
        st.caption("The figures appear here and fill in, point by point. You can close the browser meanwhile.")
        return
    draw_ticks(ticks(outcome))
    figure = _ask_figure(outcome)
    if figure is not None:
        draw_charts(outcome, figure)


def _draw_outcome(outcome: Outcome, opened: str, facts: Pair) -> None:
    draw_ticks(ticks(outcome))
    for note in outcome.notes:
        st.caption(f":material/info: {plain(note, 400)}")
    figure = _ask_figure(outcome)
    if figure is None:
        return
    picked = draw_figure(outcome, figure, key=opened)
    draw_texts(outcome, figure, picked, key=opened)
    draw_numbers(outcome, figure, key=opened)


def _ask_figure(outcome: Outcome) -> Figure | None:
    """The figure that is shown, of those that have something to show."""
    there: Sequence[Figure] = [figure for figure in TITLES if has_figure(outcome, figure)]
    if not there:
        st.caption(
            f"Layer, window and dose are chosen first: {len(outcome.chosen_from)} points of the choosing half so far. "
            "The figures follow."
        )
        return None
    if st.session_state.get(FIGURE_KEY) not in there:
        st.session_state[FIGURE_KEY] = "fig3" if "fig3" in there else there[0]
    return st.segmented_control(
        "Figure",
        there,
        format_func=lambda figure: TITLES[figure],
        required=True,
        key=FIGURE_KEY,
        label_visibility="collapsed",
        persist_state="session",
    )
