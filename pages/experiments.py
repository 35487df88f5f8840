"""Experiments: a claim about the pair, planned, measured against controls, and kept."""

from __future__ import annotations

import streamlit as st

from ui.experiments.form import draw_form
from ui.experiments.kept import draw_kept
from ui.experiments.opened import FIELDS, OPEN_KEY, SLOT, VIEW_KEY, VIEWS, live_job, running_id
from ui.experiments.results import draw_results
from ui.shell.frame import PURPOSES, require_shell, wait_for_pair
from ui.shell.handoff import PLANNED
from ui.shell.how_read import say_vocabularies
from ui.shell.links import linked, read_link, write_link
from ui.shell.notice import show_notice
from ui.shell.state import attach, can_run, take_over, workbench

_TAKEN = "exp_planned"
"""The plan of another page that was shown already."""


def open_first() -> None:
    """What the page shows when the session comes to it: what it was asked for, what runs, else a new experiment."""
    take_over(SLOT, "experiment")
    planned = st.session_state.get(PLANNED)
    if planned != st.session_state.get(_TAKEN):
        st.session_state[_TAKEN], st.session_state[VIEW_KEY] = planned, "New"
    if VIEW_KEY in st.session_state:
        return
    attach(SLOT, st.query_params.get("run", ""), kind="experiment")
    is_there = live_job() is not None or "experiment" in linked("experiments")
    st.session_state[OPEN_KEY] = st.session_state[OPEN_KEY] or running_id()
    kept = [] if can_run() else workbench().experiments.list()
    if kept and not is_there:
        st.session_state[OPEN_KEY] = kept[0].experiment_id
    st.session_state[VIEW_KEY] = "Results" if is_there or len(kept) == 1 else "Kept" if kept else "New"


require_shell()
read_link(FIELDS, "experiments")
title, views = st.columns([1, 1], vertical_alignment="bottom")
title.title("Experiments", anchor=False)
facts = wait_for_pair()
open_first()
show_notice()
with views, st.container(horizontal=True, horizontal_alignment="right"):
    view = st.segmented_control(
        "View",
        VIEWS,
        format_func=lambda view: f"Kept ({len(workbench().experiments.list())})" if view == "Kept" else view,
        required=True,
        key=VIEW_KEY,
        label_visibility="collapsed",
        persist_state="session",
    )
say_vocabularies()
if view == "New" and not can_run():
    st.info(
        "A new experiment needs the models. Those that are stored are under **Kept**.", icon=":material/inventory_2:"
    )
elif view == "New":
    st.write(
        f"{PURPOSES['experiments']} Layer, window and dose are chosen on one half of the questions and reported on the "
        "other."
    )
    draw_form(facts)
elif view == "Results":
    draw_results(facts)
else:
    draw_kept()
job = live_job()
write_link(FIELDS, run=job.job_id if job is not None else "")
