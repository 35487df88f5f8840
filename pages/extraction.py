"""Extraction: traces and a window in, a layer × offset map of directions out; read one, save it."""

from __future__ import annotations

import streamlit as st

from core.directions import DirectionSet, ExtractionSpec
from core.errors import UserFacingError
from core.pair import ModelFacts
from ui.direction_card import draw_facts, draw_lens, draw_resemblance, draw_save
from ui.direction_list import draw_list
from ui.extraction_form import Request, draw_form
from ui.jobs import follow
from ui.layer_map import draw_map, draw_selectors, paper_note
from ui.shell import require_shell
from ui.state import caller, guarded, pair_facts, workbench
from ui.text import plain, show_error

JOB = "extraction:job"
FOUND = "extraction:found"
Facts = tuple[ModelFacts, ModelFacts]


def ask(facts: Facts) -> Request | None:
    """The form's request, or None with the reason shown."""
    try:
        return draw_form(facts)
    except UserFacingError as error:
        show_error(error)
        return None


def start(request: Request) -> None:
    """Show the stored result of the request, or start the job that computes it."""
    stored = workbench().cached(request.spec)
    if stored is None:
        guarded(lambda: workbench().extract(request.spec, request.traces, caller()), JOB)
        return
    for name in (JOB, f"{JOB}:error"):
        st.session_state.pop(name, None)
    st.session_state[FOUND] = (stored, "CACHED")


def result(facts: Facts, spec: ExtractionSpec | None) -> tuple[DirectionSet, str] | None:
    """What to show, with its badge: the run just ended, the last one shown, or a stored result of the form."""
    snapshot = follow(JOB)
    if JOB in st.session_state and snapshot is None and f"{JOB}:error" not in st.session_state:
        return None
    if snapshot is not None and snapshot.state == "done":
        st.session_state.pop(JOB)
        st.session_state[FOUND] = (snapshot.result, "LIVE")
    elif snapshot is not None and snapshot.state == "cancelled":
        st.info("The extraction was stopped before its end. Press **Extract** to run it again.", icon="⏹️")
    shown: tuple[DirectionSet, str] | None = st.session_state.get(FOUND)
    if shown and shown[0].spec.fingerprint in {fact.fingerprint for fact in facts}:
        return shown
    stored = workbench().cached(spec) if spec else None
    return (stored, "CACHED") if stored else None


def draw_result(found: DirectionSet, badge: str, facts: Facts) -> None:
    """The map beside the chosen direction's card, and its readings below."""
    n_layers = facts[0].n_layers
    title, mark = st.columns([9, 1], vertical_alignment="center")
    title.subheader("Directions by layer and offset", anchor=False)
    mark.badge(badge, color="green" if badge == "LIVE" else "blue")
    role = "base model" if found.spec.fingerprint == facts[0].fingerprint else "reasoning model"
    minus = "all tokens" if found.spec.negatives == "all" else "tokens outside the window"
    st.caption(
        f"{found.n_events:,} {plain(found.spec.label)} events in {found.n_traces:,} traces, read by the {role} "
        f"({plain(found.spec.model.name)}, {found.spec.model.precision}), minus the mean over {minus}."
    )
    chart, card = st.columns([3, 2], gap="large")
    with chart:
        cell = draw_map(found, n_layers=n_layers)
        st.caption(paper_note(found, n_layers=n_layers))
    with card, st.container(border=True):
        draw_selectors(found)
        try:
            direction = found.at(cell.layer, cell.window)
        except UserFacingError as error:
            show_error(error)
            return
        draw_facts(direction, found, cell=cell)
        draw_save(direction)
    lens, others = st.columns([3, 2], gap="large")
    with others:
        draw_resemblance(direction)
    with lens:
        draw_lens(direction, facts)


require_shell()
st.title("Extraction", anchor=False)
st.write(
    "Average what a model has in mind just before a reasoning trace turns back, subtract its average over everything, "
    "and a direction is left: one for each layer and offset."
)

facts = pair_facts()
if facts is None:
    st.info("The model pair is still loading; the sidebar shows how far it is. The form appears here after that.")
    draw_list(None)
    st.stop()

request = ask(facts)
if request is not None and request.submitted:
    start(request)
shown = result(facts, request.spec if request else None)
if shown:
    draw_result(*shown, facts)
elif JOB not in st.session_state and request is not None:
    st.info(
        f"Press **Extract**: the model reads {len(request.traces):,} traces once, for all layers and offsets, and the "
        "map appears here. Then click a cell to see its direction.",
        icon="🧭",
    )
draw_list(facts[0])
