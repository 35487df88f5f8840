"""What the pages of one server share (the workbench) and what belongs to one browser session (who is calling)."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping
from typing import get_args

import streamlit as st
from streamlit.runtime import exists, get_instance
from streamlit.runtime.scriptrunner import get_script_run_ctx

from core import settings
from core.errors import UserFacingError
from core.jobs import Caller
from core.models.naming import read_merged
from core.models.pair import DEMO_PAIR, ModelFacts
from core.values import PairSpec, Precision
from core.workbench import Workbench
from ui.shell.ending import close_at_end

TURN_SECONDS = 0.001
"""How long one of the server's threads may hold the interpreter while others wait, a fifth of Python's own default:
with thirty sessions the thread that answers the browsers waits behind that many pages and the engine."""

log = logging.getLogger("retrace")


@st.cache_resource(show_spinner=False)
def workbench() -> Workbench:
    """The one workbench of this server; its cache folder is `cache/` or what RETRACE_CACHE names."""
    sys.setswitchinterval(TURN_SECONDS)
    bench = Workbench(settings.cache_folder())
    close_at_end(bench.close)
    return bench


def caller() -> Caller:
    """This browser session; it is watching as long as its connection is open."""
    context = get_script_run_ctx()
    session = context.session_id if context else ""

    def is_watching() -> bool:
        return not exists() or get_instance().is_active_session(session)

    return Caller(owner=session, is_watching=is_watching)


def chosen_pair() -> PairSpec:
    """The pair this session asked for; until it asks, the loaded one or that of the start."""
    pair: PairSpec = st.session_state.setdefault("pair", workbench().pair.spec or first_pair())
    return pair


def first_pair() -> PairSpec:
    """The pair RETRACE_PAIR names as "base,reasoner" (RETRACE_PRECISION, RETRACE_DEVICE apply), else the embedded."""
    named = settings.first_pair()
    if named is None:
        return DEMO_PAIR
    known: tuple[Precision, ...] = get_args(Precision)
    asked, device = settings.first_precision(), settings.first_device()
    if asked not in known:
        log.warning(settings.PRECISION + " is not one of %s; bf16 is used", known)
    precision: Precision = next((one for one in known if one == asked), "bf16")
    base, reasoner = (read_merged(text, precision=precision, device=device) for text in named)
    return PairSpec(base=base, reasoner=reasoner)


def pair_facts() -> tuple[ModelFacts, ModelFacts] | None:
    """(base, reasoner) facts of the loaded pair, or None while it is not loaded."""
    pair = workbench().pair
    return (pair.facts("base"), pair.facts("reasoner")) if pair.spec else None


def guarded(action: Callable[[], str], slot: str) -> bool:
    """Run an action that starts a job, and keep its id under `slot`. Shows what stopped it; True when it started."""
    try:
        st.session_state[slot] = action()
    except UserFacingError as error:
        st.session_state[f"{slot}:error"] = error
        return False
    st.session_state.pop(f"{slot}:error", None)
    return True


def attach(slot: str, job_id: str, *, kind: str) -> None:
    """After a reload or in a second tab: keep watching the live job of this kind that the address names."""
    if slot in st.session_state or not job_id:
        return
    snapshot = workbench().engine.snapshot(job_id[:32])
    if snapshot is not None and snapshot.live and snapshot.kind == kind:
        workbench().engine.watch(snapshot.job_id, caller())
        st.session_state[slot] = snapshot.job_id


def take_over(slot: str, kind: str) -> None:
    """Follow a job of this kind whose tab was closed, where this session has none of its own."""
    if slot not in st.session_state:
        left = [job for job in workbench().engine.left() if job.kind == kind]
        if left:
            workbench().engine.watch(left[0].job_id, caller())
            st.session_state[slot] = left[0].job_id


def set_anew(defaults: Mapping[str, object], *, unless: str) -> None:
    """Write the kept or default value of widgets that were not on the page just before, as the key `unless` tells.

    A value that Streamlit keeps for a widget that was away does not reach the browser: it would show its own default.
    """
    if unless not in st.session_state:
        for key, value in defaults.items():
            st.session_state[key] = st.session_state.get(key, value)
