"""Extraction: traces in, a layer × offset map of directions out; choose a window, read one direction, save it."""

from __future__ import annotations

from functools import partial

import streamlit as st

from core.extraction.moments import MomentsSpec
from core.models.pair import ROLES
from ui.components.safe_text import tried
from ui.directions.saved import draw_list
from ui.extraction.form import Request, draw_form
from ui.extraction.result import Facts, Have, draw_result
from ui.extraction.start import FOUND, JOB, draw_start, draw_stopped
from ui.extraction.stored import choose_stored
from ui.shell.frame import PURPOSES, require_shell
from ui.shell.how_read import say_vocabularies
from ui.shell.state import is_recorded, opened_bundle, pair_facts, take_over, workbench


def on_hand(specs: tuple[MomentsSpec, ...], facts: Facts) -> Have:
    """The sums of these specs that belong to the loaded pair and are still kept."""
    have: Have = {}
    for role, fact in zip(ROLES, facts, strict=True):
        for spec in specs:
            found = workbench().moments.get(spec) if spec.fingerprint == fact.fingerprint else None
            if found is not None:
                have[role] = found
    return have


def result(facts: Facts, request: Request | None) -> tuple[Have, str] | None:
    """What to show, with its badge: the run just ended, the last one shown, or stored sums of the form."""
    snapshot = workbench().engine.snapshot(st.session_state.get(JOB, ""))
    if snapshot is not None and snapshot.live:
        return None
    if snapshot is not None and snapshot.state == "done":
        st.session_state.pop(JOB)
        st.session_state[FOUND] = (snapshot.result, "LIVE")
    elif snapshot is not None and snapshot.state == "cancelled":
        st.info("The extraction was stopped. Press **Extract** to go on from there.", icon=":material/stop_circle:")
    specs, badge = st.session_state.get(FOUND, ((), ""))
    have = on_hand(specs, facts)
    if have:
        return have, badge
    have = on_hand(tuple(request.specs.values()), facts) if request else {}
    return (have, "CACHED") if have else None


require_shell()
page = st.container(gap="xsmall")
with page:
    st.subheader("Extraction", anchor=False)
    st.caption(PURPOSES["extraction"])

loaded = pair_facts()
if loaded is None:
    loading = "The model pair is still loading; the sidebar shows how far it is. The form appears here after that."
    st.info("No pass over traces is stored here." if is_recorded() else loading)
    draw_list(None)
    st.stop()

if is_recorded():
    passes = on_hand(choose_stored(loaded), loaded)
    if passes:
        draw_result(passes, "CACHED" if opened_bundle() is None else "RECORDED", loaded)
    draw_list(loaded[0])
    st.stop()

say_vocabularies()
take_over(JOB, "moments")
with page:
    traces, settings = st.columns([1, 1], vertical_alignment="center")
    with traces:
        request = tried(partial(draw_form, loaded, settings))
    if request is not None:
        draw_start(request, loaded[0].d_model)
    shown = result(loaded, request)
    if shown:
        have, badge = shown
        same = request is not None and next(iter(have.values())).spec.traces_digest == request.asked[0].traces_digest
        draw_result(have, badge, loaded, request.traces if request is not None and same else ())
    elif JOB not in st.session_state and request is not None:
        st.info(
            f"**Extract** reads the {len(request.traces):,} traces once for all layers, offsets and labels. The map "
            "appears here; window and label can then be changed without reading them again.",
            icon=":material/explore:",
        )
draw_stopped()
draw_list(loaded[0])
