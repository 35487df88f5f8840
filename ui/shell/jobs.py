"""Asking for a result and following its job: progress, time left, Stop, errors, "Try again".

The job lives in the engine; a page only keeps its id. So a slider move, a page switch or a reload does not harm it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import streamlit as st

from core.errors import NotAllowed
from core.jobs import JobId, Snapshot
from core.models.pair import ModelFacts
from core.sharing.door import sharing
from core.values import Spec, T
from ui.components.safe_text import plain, seconds, show_error
from ui.shell.state import guarded, guest, is_recorded, workbench
from ui.shell.turns import TURNS

TICK, DRAWN_PER_SECOND = 0.25, 8
"""Seconds between two redraws of a job, and how many redraws of all jobs there are in a second: with many jobs each is
drawn less often. The speaker's own are not: they are what the room looks at."""
AUTO_RUN_MACS = 3e11
"""What costs less is computed without asking: a few seconds on a laptop's CPU."""
GRACE_SECONDS = 0.8
"""A result that comes this soon is drawn at once, without a progress bar in between."""
FIRST_SEEN = 0.2
"""Seconds that a page waits for the first tokens of a run: a small model has them sooner, a large one need not."""
END_SEEN = 0.3
"""Seconds that a page waits for a job to end after Stop, so that it shows the end at once; a token takes far less."""


def follow(
    slot: str,
    *,
    render: Callable[[Snapshot[Any]], None] | None = None,
    stoppable: bool = True,
    narrow: bool = False,
    bar_below: bool = False,
) -> Snapshot[Any] | None:
    """Show the job whose id is kept under `slot`; returns it as it was drawn, None where there is none.

    While it is live, `render` draws its partial result every `tick`: the page draws that result no second time, even if
    the job ends meanwhile. Errors are shown here. Where the place is `narrow`, Stop stands below the bar; with
    `bar_below` both stand below what `render` draws.
    """
    refused = st.session_state.get(f"{slot}:error")
    if refused is not None:
        show_error(refused)
    job_id = st.session_state.get(slot)
    snapshot = workbench().engine.snapshot(job_id) if job_id else None
    if snapshot is None:
        return None
    if snapshot.live:
        st.fragment(_live, run_every=tick())(slot, snapshot.job_id, render, stoppable, narrow, bar_below)
    elif snapshot.error is not None:
        show_error(snapshot.error)
    elif snapshot.state == "timeout":
        st.warning("The run reached its time limit and was stopped; what it had is kept.", icon=":material/timer:")
    return snapshot


def await_first(slot: str) -> None:
    """Give the job that has just begun under `slot` a moment, so that its first tokens come with the page."""
    job_id = st.session_state.get(slot)
    engine = workbench().engine
    if job_id and engine.snapshot(job_id) is not None:
        with TURNS.lent():
            engine.wait_for_partial(job_id, FIRST_SEEN)


def await_soon(slot: str) -> None:
    """Give the job that has just begun under `slot` a moment to end, so that no progress bar comes in between."""
    with TURNS.lent():
        workbench().engine.wait(st.session_state[slot], GRACE_SECONDS)


def stop(job_id: str) -> None:
    """Ask a job to end, and give it a moment."""
    engine = workbench().engine
    engine.stop(job_id)
    if engine.snapshot(job_id) is not None:
        with TURNS.lent():
            engine.wait(job_id, END_SEEN)


def forward_macs(facts: ModelFacts, n_tokens: int) -> float:
    """Multiply-adds of one pass over the text."""
    return n_tokens * (12 * facts.n_layers * facts.d_model**2 + facts.d_model * facts.d_vocab)


def is_live(slot: str) -> bool:
    """Whether the job under `slot` is queued or running."""
    snapshot = workbench().engine.snapshot(st.session_state.get(slot, ""))
    return snapshot is not None and snapshot.live


def take_ended(slot: str, *, render: Callable[[Snapshot[Any]], None] | None = None) -> Snapshot[Any] | None:
    """As `follow`, for a job that a button started: once it has ended it is handed out and forgotten.

    None as long as it runs. An error stays on the page until the next start.
    """
    snapshot = follow(slot, render=render)
    if snapshot is None or snapshot.live:
        return None
    st.session_state.pop(slot, None)
    if snapshot.error is not None:
        st.session_state[f"{slot}:error"] = snapshot.error
    return snapshot


@dataclass(frozen=True, kw_only=True)
class Offer:
    """What stands on the page before a costly job: a sentence and its button."""

    button: str
    words: str = ""
    macs: float = math.inf
    """Multiply-adds of the job; up to AUTO_RUN_MACS nothing is offered and the job begins by itself."""


def at_hand(asked: object, name: str, kind: type[T], *, in_store: bool = True) -> T | None:
    """What is asked for if this session or the store has it; nothing is started."""
    known, found = st.session_state.get(f"{name}:shown", (None, None))
    if known != asked:
        found = workbench().cached(asked) if isinstance(asked, Spec) and in_store else None
    if not isinstance(found, kind):
        return None
    st.session_state[f"{name}:shown"] = (asked, found)
    return found


def obtain(
    asked: object,
    name: str,
    kind: type[T],
    start: Callable[[], JobId[T]],
    *,
    offer: Offer | None = None,
    in_store: bool = True,
) -> T | None:
    """What is asked for; None while its job runs, was stopped, failed, or waits for the button of `offer`.

    `start` begins the job, once for each `asked`: a redraw only follows it, and after a stop or a fault it begins anew
    when the user presses "Try again". `name` keeps one kind of value apart from others in this session. With
    `in_store`, `asked` is the spec under which the workbench keeps the result.
    """
    found = at_hand(asked, name, kind, in_store=in_store)
    if found is not None:
        return found
    if is_recorded():
        st.caption(":material/inventory_2: This reading is not among the stored results, and no model is loaded.")
        return None
    slot, begun = f"job:{name}", f"{name}:asked"
    if st.session_state.get(begun) != asked:
        if offer is not None and offer.macs > AUTO_RUN_MACS and not _agrees(name, offer):
            return None
        st.session_state[begun] = asked
        st.session_state.pop(slot, None)
        if guarded(start, slot):
            await_soon(slot)
    snapshot = follow(slot)
    if snapshot is not None and snapshot.state == "done" and isinstance(snapshot.result, kind):
        st.session_state[f"{name}:shown"] = (asked, snapshot.result)
        return snapshot.result
    is_refused = isinstance(st.session_state.get(f"{slot}:error"), NotAllowed)
    if (snapshot is None or not snapshot.live) and not is_refused:
        again = partial(st.session_state.pop, begun, None)
        st.button("Try again", icon=":material/refresh:", key=f"{name}:again", on_click=again)
    return None


def _agrees(name: str, offer: Offer) -> bool:
    if offer.words:
        st.info(offer.words, icon=":material/hourglass_top:")
    return st.button(offer.button, type="primary", key=f"{name}:go")


def tick() -> float:
    """Seconds between two redraws of a job of this session."""
    if sharing() is not None and not guest():
        return TICK
    return max(TICK, len(workbench().engine.live()) / DRAWN_PER_SECOND)


def _live(
    slot: str,
    job_id: str,
    render: Callable[[Snapshot[Any]], None] | None,
    stoppable: bool,
    narrow: bool,
    bar_below: bool,
) -> None:
    snapshot = workbench().engine.snapshot(job_id)
    if snapshot is None or not snapshot.live:
        st.rerun()
        return
    with TURNS.taken():
        _draw_live(snapshot, slot, render, stoppable, narrow, bar_below)


def _draw_live(
    snapshot: Snapshot[Any],
    slot: str,
    render: Callable[[Snapshot[Any]], None] | None,
    stoppable: bool,
    narrow: bool,
    bar_below: bool,
) -> None:
    if render is not None and bar_below:
        render(snapshot)
    bar, button = (st.container(), st.container()) if narrow else st.columns([6, 1], vertical_alignment="center")
    with bar:
        share = snapshot.progress.done / snapshot.progress.total if snapshot.progress.total else 0.0
        st.progress(min(max(share, 0.0), 1.0), text=_line(snapshot))
    if stoppable:
        button.button("Stop", key=f"{slot}:stop", on_click=stop, args=(snapshot.job_id,), width="stretch")
    if render is not None and not bar_below:
        render(snapshot)


def _line(snapshot: Snapshot[Any]) -> str:
    first = "; the speaker's run comes first" if snapshot.gives_way else ""
    if snapshot.state == "queued":
        return f"Waiting; number {snapshot.queue_position} in the queue{first}"
    if first:
        return f"Waiting{first}, then yours goes on"
    left = snapshot.seconds_left
    eta = f" · about {seconds(left)} left" if left is not None and snapshot.seconds > 1 else ""
    return f"{plain(snapshot.progress.message).capitalize() or plain(snapshot.title)}{eta}"
