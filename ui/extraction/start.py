"""The button that starts a pass over traces, what it means, and how far the pass is: a fragment, so that it answers a
click before the rest of the page is drawn again.
"""

from __future__ import annotations

import psutil  # type: ignore[import-untyped]
import streamlit as st

from core.errors import BadInput
from core.extraction.moments import Need, bytes_needed, is_large
from core.extraction.values import DirectionSet
from core.values import Window
from ui.components.safe_text import show_error, size
from ui.extraction.form import EXACT, SUBMIT, Request
from ui.extraction.trace_choice import KEY
from ui.shell.jobs import follow
from ui.shell.state import caller, can_run, guarded, workbench

JOB = "extraction:job"
FOUND = "extraction:found"
"""The specs of the sums that are shown, and their badge."""
MAX_EXACT = 4
_AGAIN = "extraction:again"


@st.fragment
def draw_start(request: Request, d_model: int) -> None:
    """The button, and beside it what pressing it means, or the pass that it began."""
    n_models, spec = len(request.roles), request.specs["base"]
    need = bytes_needed(spec, d_model)
    fault = _fault_of(need, n_models, is_large(spec, d_model))
    button, beside = st.columns([1, 4], vertical_alignment="center")
    pressed = button.button("Extract", key=SUBMIT, type="primary", width="stretch", disabled=fault is not None)
    if pressed or st.session_state.pop(_AGAIN, False):
        _start(request)
    with beside:
        snapshot = follow(JOB)
        if snapshot is None or not snapshot.live:
            _draw_meaning(request, need, d_model)
    if fault is not None:
        show_error(fault)


def _draw_meaning(request: Request, need: Need, d_model: int) -> None:
    """How much is read, and what that takes."""
    spec = request.specs["base"]
    each = "both models read" if len(request.roles) == 2 else "the model reads"
    st.caption(
        f"In one pass {each} {len(request.traces):,} traces: {len(spec.layers)} layers × {len(spec.windows)} windows × "
        f"{len(spec.rows)} labels (one of them shuffled) in {spec.folds} groups of traces. It needs "
        f"{size(need.memory)} of memory while it runs and keeps {size(need.kept)} per model."
    )
    if need.kept > workbench().moments.largest_file and not is_large(spec, d_model):
        st.info(
            f"A result of {size(need.kept)} is too large for the store and stays in memory only. Fewer labels, "
            "layers or offsets are kept on disk.",
            icon=":material/save:",
        )


def _start(request: Request) -> None:
    """Show the stored sums of the request, or start the job that gathers them."""
    if any(workbench().moments.get(spec) is None for spec in request.asked):
        guarded(lambda: workbench().record_moments(request.asked, request.traces, caller()), JOB)
        return
    for name in (JOB, f"{JOB}:error"):
        st.session_state.pop(name, None)
    st.session_state[FOUND] = (request.asked, "CACHED")
    st.rerun()


def _fault_of(need: Need, n_models: int, large: bool) -> BadInput | None:
    """Why the pass cannot be made: no room in memory or, for one that is kept layer by layer, on disk."""
    room = psutil.virtual_memory().available
    if need.memory > room:
        return BadInput(
            f"This needs {size(need.memory)} of memory, and {size(room)} are free.",
            "Choose fewer labels, layers or offsets.",
        )
    try:
        if large:
            workbench().moments.check_room(need, n_models=n_models)
    except BadInput as error:
        return error
    return None


def draw_stopped() -> None:
    """What stopped passes keep on disk to go on from, and the way to free it."""
    kept = workbench().moments.unfinished_bytes()
    if not kept:
        return
    text, button = st.columns([4, 1], vertical_alignment="center")
    text.caption(
        f"Stopped passes keep {size(kept)} of sums on disk: **Extract** with the same settings goes on from there."
    )
    with button.popover(f"Free {size(kept)}", icon=":material/delete:", width="stretch"):
        st.markdown("A stopped pass then begins anew. Finished maps and saved directions stay.")
        st.button("Yes, free it", key=f"{KEY}free", type="primary", on_click=workbench().moments.free_unfinished)


def draw_exact(window: Window, found: DirectionSet) -> None:
    """Where a window is a mean over offsets: a button that asks for Eq. 3's mean over the union of its positions."""
    if window not in found.composed or not can_run():
        return

    st.button(
        f"Gather {window.label} exactly",
        key=f"{EXACT}:button",
        on_click=gather_exactly,
        args=(window,),
        icon=":material/replay:",
    )


def gather_exactly(window: Window) -> None:
    """Let the next drawing of the page start a pass that takes the union of this window's positions too."""
    st.session_state[EXACT] = tuple(dict.fromkeys((*st.session_state.get(EXACT, ()), window)))[-MAX_EXACT:]
    st.session_state[_AGAIN] = True
