"""Following a job on a page: progress, time left, Stop, and one rerun when it has ended.

The job lives in the engine; a page only keeps its id. So a slider move, a page switch or a reload does not harm it.
"""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from core.jobs import Snapshot
from ui.state import workbench
from ui.text import plain, seconds, show_error

TICK = 0.25
FIRST_SEEN = 0.2
"""Seconds that a page waits for the first tokens of a run: a small model has them sooner, a large one need not."""
END_SEEN = 0.3
"""Seconds that a page waits for a job to end after Stop, so that it shows the end at once; a token takes far less."""


def follow(slot: str, *, render: Callable[[Snapshot], None] | None = None, stoppable: bool = True) -> Snapshot | None:
    """Show the job whose id is kept under `slot`; returns its snapshot when it has ended, None otherwise.

    While it is live, `render` draws its partial result four times a second. Errors are shown here.
    """
    refused = st.session_state.get(f"{slot}:error")
    if refused is not None:
        show_error(refused)
    job_id = st.session_state.get(slot)
    snapshot = workbench().engine.snapshot(job_id) if job_id else None
    if snapshot is None:
        return None
    if snapshot.live:
        _live(slot, snapshot.job_id, render, stoppable)
        return None
    if snapshot.error is not None:
        show_error(snapshot.error)
    elif snapshot.state == "timeout":
        st.warning("The run reached its time limit and was stopped; what it had is kept.", icon=":material/timer:")
    return snapshot


def await_first(slot: str) -> None:
    """Give the job that has just begun under `slot` a moment, so that its first tokens come with the page."""
    job_id = st.session_state.get(slot)
    engine = workbench().engine
    if job_id and engine.snapshot(job_id) is not None:
        engine.wait_for_partial(job_id, FIRST_SEEN)


def stop(job_id: str) -> None:
    """Ask a job to end, and give it a moment."""
    engine = workbench().engine
    engine.stop(job_id)
    if engine.snapshot(job_id) is not None:
        engine.wait(job_id, END_SEEN)


@st.fragment(run_every=TICK)
def _live(slot: str, job_id: str, render: Callable[[Snapshot], None] | None, stoppable: bool) -> None:
    snapshot = workbench().engine.snapshot(job_id)
    if snapshot is None or not snapshot.live:
        st.rerun()
        return
    bar, button = st.columns([6, 1], vertical_alignment="center")
    with bar:
        share = snapshot.progress.done / snapshot.progress.total if snapshot.progress.total else 0.0
        st.progress(min(max(share, 0.0), 1.0), text=_line(snapshot))
    if stoppable:
        button.button("Stop", key=f"{slot}:stop", on_click=stop, args=(job_id,), width="stretch")
    if render is not None:
        render(snapshot)


def _line(snapshot: Snapshot) -> str:
    if snapshot.state == "queued":
        return f"Waiting; number {snapshot.queue_position} in the queue"
    left = snapshot.seconds_left
    eta = f" · about {seconds(left)} left" if left is not None and snapshot.seconds > 1 else ""
    return f"{plain(snapshot.progress.message).capitalize() or plain(snapshot.title)}{eta}"
