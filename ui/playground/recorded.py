"""Without a model: stored runs as lanes, and the history to choose others from."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from core.runs.history import HistoryEntry, run_id_of
from ui.components.lanes import Badge
from ui.components.safe_text import plain
from ui.playground.experiment import draw_anecdote
from ui.playground.forks import MAX_OPEN, OPEN_KEY, compared_with_first, draw_tree, opened
from ui.playground.history import draw_history
from ui.playground.lane_view import draw_lanes, metrics_table
from ui.playground.plan import plan_of
from ui.playground.share import ask_way, draw_share
from ui.shell.frame import is_offered, page_path
from ui.shell.handoff import open_experiment
from ui.shell.state import opened_bundle, workbench

KEY = "recorded_lanes"


def draw_recorded() -> None:
    """The runs that are open, at first the newest comparison, else the question that was asked last; below, all."""
    entries = workbench().history.entries()
    if not entries:
        _say_none()
        return
    if not st.session_state[OPEN_KEY]:
        asked = workbench().comparisons.entries()
        newest = (
            [run_id_of(r.generation.spec) for r in workbench().comparisons.records(asked[0].comparison)]
            if asked
            else []
        )
        st.session_state[OPEN_KEY] = newest or _last_question(entries)
    generations = [record.generation for record in opened()]
    if generations:
        plan = compared_with_first(plan_of([generation.spec for generation in generations]))
        badge: Badge = "CACHED" if opened_bundle() is None else "RECORDED"
        st.markdown(f"**{plain(generations[0].spec.prompt.question, 300)}**")
        draw_anecdote(generations, plan.specs, None)
        draw_lanes(plan, generations, badge=badge, key=KEY)
        metrics_table(generations, plan.titles)
        draw_share(ask_way(), plan, generations)
        draw_tree(run_id_of(generations[-1].spec))
    st.subheader("Stored runs", anchor=False)
    draw_history()


def _last_question(entries: Sequence[HistoryEntry]) -> list[str]:
    """Runs of the newest entry's question, unsteered ones first."""
    asked = entries[0].record.generation.spec.prompt.question
    same = [entry for entry in entries if entry.record.generation.spec.prompt.question == asked]
    same.sort(key=lambda entry: len(entry.record.generation.spec.steering))
    return [entry.run_id for entry in same[:MAX_OPEN]]


def _say_none() -> None:
    st.info("No run is stored here. Texts of experiments stand behind their points.", icon=":material/inventory_2:")
    kept = workbench().experiments.list()
    if kept and is_offered("experiments") and st.button("Open the newest experiment", icon=":material/science:"):
        open_experiment(kept[0].experiment_id)
        st.switch_page(page_path("experiments"))
