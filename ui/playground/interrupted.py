"""Runs that a killed server left in the middle: shown as such, with their text, to run again or to discard."""

from __future__ import annotations

import streamlit as st

from core.runs.journal import InterruptedRun
from ui.playground.lane_view import draw_lanes
from ui.playground.plan import Plan, plan_of
from ui.shell.state import caller, guarded, workbench


def draw_interrupted(slot: str, ran_key: str) -> None:
    """A notice for each interrupted run, its text so far on demand; running it again puts the job under `slot`."""
    for run in workbench().journal.interrupted():
        tokens = sum(len(generation.token_ids) for generation in run.generations)
        with st.container(border=True):
            st.warning(
                f"A run was interrupted when the server stopped; its first {tokens} tokens are kept.",
                icon=":material/bolt:",
            )
            plan = plan_of([generation.spec for generation in run.generations])
            draw_lanes(plan, run.generations, badge="", key=f"cut:{run.run_id}")
            again, discard, _ = st.columns([2, 2, 5])
            if again.button("Run it again", key=f"again:{run.run_id}", type="primary", width="stretch"):
                _run_again(run, plan, slot=slot, ran_key=ran_key)
            if discard.button("Discard", key=f"discard:{run.run_id}", width="stretch"):
                workbench().journal.discard(run.run_id)
                st.rerun()


def _run_again(run: InterruptedRun, plan: Plan, *, slot: str, ran_key: str) -> None:
    if guarded(lambda: workbench().generate(plan.specs, caller()), slot):
        st.session_state[ran_key] = plan
        workbench().journal.discard(run.run_id)
    st.rerun()
