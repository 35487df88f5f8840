"""The experiment of the loaded pair: recorded for the embedded pair, else the newest one that is kept of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import streamlit as st

from core.embedded import recorded_experiment, recorded_of
from core.errors import UserFacingError
from core.experiments.statistics import chosen_point
from core.experiments.values import Outcome
from core.experiments.verdicts import sentences, ticks
from core.experiments.words import caption, halves_words
from core.models.pair import ModelFacts, are_of
from ui.components.safe_text import plain, show_error
from ui.components.ticks import draw_row, draw_ticks
from ui.directions.first_experiment import begin, planned, time_of
from ui.shell.frame import is_offered, page_path
from ui.shell.handoff import EXPERIMENT_JOB, open_experiment
from ui.shell.jobs import follow, is_live
from ui.shell.state import can_run, opened_bundle, workbench

Pair = tuple[ModelFacts, ModelFacts]
Badge = Literal["RECORDED", "CACHED"]
RECORDED, HERE = "Recorded", "Measured here"


@dataclass(frozen=True, kw_only=True)
class Found:
    """An experiment of the loaded pair, and where it comes from."""

    outcome: Outcome
    badge: Badge
    experiment_id: str = ""


def draw_experiment(pair: Pair) -> None:
    """The four ticks and Fig. 3 of the pair's experiment, and the button that measures one here."""
    recorded, here = _recorded(pair), _kept(pair)
    shown = _choose(recorded, here)
    if shown is not None:
        _draw_found(shown)
    elif not can_run():
        st.info("No experiment of this pair is stored.", icon=":material/science:")
    elif not is_offered("experiments"):
        st.info("The speaker has measured nothing of this pair yet.", icon=":material/science:")
    elif not is_live(EXPERIMENT_JOB):
        st.info(
            f"Nothing was measured of this pair yet. **Measure it here** finds the direction in "
            f"**{plain(pair[0].name)}** and in **{plain(pair[1].name)}**, chooses layer, window and dose, and holds "
            "the effect against random directions and other controls.",
            icon=":material/science:",
        )
    follow(EXPERIMENT_JOB)
    if is_offered("experiments"):
        _offer(pair, shown)


def draw_badges(pair: Pair) -> None:
    """The four claims of the pair's experiment in one line; their sentences stand further down."""
    found = (_recorded(pair), _kept(pair))
    shown = next(filter(None, found if opened_bundle() is None else reversed(found)), None)
    if shown is None:
        return
    n = len(shown.outcome.plan.report)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown(f"One text is an anecdote. Over **{n} questions**, against controls:")
        draw_row(ticks(shown.outcome))


def draw_embedded() -> None:
    """What was recorded of the embedded pair, for a place without models and without stored results."""
    outcome = recorded_experiment()
    if outcome is not None:
        _draw_found(Found(outcome=outcome, badge="RECORDED"))


def _recorded(pair: Pair) -> Found | None:
    outcome = recorded_of(pair)
    return Found(outcome=outcome, badge="RECORDED") if outcome is not None else None


def _kept(pair: Pair) -> Found | None:
    """The newest kept experiment of exactly these weights that has a point to show."""
    bench = workbench()
    for one in bench.experiments.list():
        outcome = bench.experiments.outcome(one.experiment_id)
        if outcome is not None and _is_of(outcome, pair) and chosen_point(outcome) is not None:
            badge: Badge = "CACHED" if opened_bundle() is None else "RECORDED"
            return Found(outcome=outcome, badge=badge, experiment_id=one.experiment_id)
    return None


def _is_of(outcome: Outcome, pair: Pair) -> bool:
    return are_of(outcome.fingerprints, pair)


def _choose(recorded: Found | None, here: Found | None) -> Found | None:
    """Which of the two is shown: what was measured here stands beside the recorded one and never replaces it."""
    if recorded is None or here is None or opened_bundle() is not None:
        return here or recorded
    shown = st.segmented_control(
        "Shown", (RECORDED, HERE), default=RECORDED, required=True, key="home_shown", label_visibility="collapsed"
    )
    return recorded if shown == RECORDED else here


def _draw_found(found: Found) -> None:
    """The ticks, and Fig. 3 with the controls' band."""
    from ui.components.fixed_chart import roomy
    from ui.figures.catalogue import drawings

    outcome = found.outcome
    draw_ticks(ticks(outcome))
    made = drawings(outcome, "fig3")
    for column, drawing in zip(st.columns(len(made) or 1), made, strict=False):
        column.altair_chart(roomy(drawing.chart), width="stretch")
    st.caption(f"{found.badge} · {plain(caption(outcome, 'fig3'), 900)}")
    unfinished = "" if outcome.finished else f" {outcome.done:,} of {outcome.total:,} points so far."
    st.caption(f"{halves_words(outcome)}{unfinished}")
    for sentence in sentences(outcome, "fig3"):
        st.markdown(f"- {plain(sentence, 900)}")


def _offer(pair: Pair, shown: Found | None) -> None:
    """A quick experiment in one click, and the way to the page where everything else is."""
    with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
        pressed = st.button(
            "Measure it here",
            icon=":material/play_arrow:",
            disabled=is_live(EXPERIMENT_JOB) or not can_run(),
            help=None if can_run() else "This needs the models.",
        )
        if shown is not None and shown.experiment_id and st.button("Open it", icon=":material/science:"):
            open_experiment(shown.experiment_id)
            st.switch_page(page_path("experiments"))
        st.page_link(page_path("experiments"), label="All settings, controls and texts", icon=":material/tune:")
    if shown is not None and shown.badge == "RECORDED":
        st.caption(
            "Measured here, it is the quick form: the recorded layer, window and dose, on questions that chose none of "
            "them, in shorter texts and with fewer controls."
        )
    if not can_run():
        return
    plan = planned(pair)
    if isinstance(plan, UserFacingError):
        if pressed:
            show_error(plan)
        return
    st.caption(f"Measured here, it takes {time_of(plan, pair)}.")
    if pressed and not begin(plan):
        st.rerun()
