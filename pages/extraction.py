"""Extraction: traces in, a layer × offset map of directions out; choose a window, read one direction, save it."""

from __future__ import annotations

from functools import partial

import streamlit as st

from core.extraction.moments import Gathered, MomentsSpec
from core.extraction.shelf import KIND
from core.extraction.values import DirectionSet
from core.models.pair import ROLES, ModelFacts, Role
from ui.components.safe_text import plain, tried
from ui.directions.saved import draw_list
from ui.extraction.card import draw_facts, draw_lens, draw_resemblance, draw_save
from ui.extraction.contrast import Choice, ask_contrast, made_of
from ui.extraction.controls import draw_controls
from ui.extraction.form import Request, draw_exact, draw_form, draw_stopped
from ui.extraction.how_read import draw_skipped
from ui.extraction.layer_map import draw_map, draw_selectors, paper_note
from ui.extraction.reliability import draw_reliability
from ui.extraction.stored import choose_stored
from ui.shell.frame import require_shell
from ui.shell.how_read import say_vocabularies
from ui.shell.jobs import follow
from ui.shell.measured import said_of
from ui.shell.state import caller, guarded, is_recorded, opened_bundle, pair_facts, take_over, workbench

JOB = "extraction:job"
FOUND = "extraction:found"
Facts = tuple[ModelFacts, ModelFacts]
Have = dict[Role, Gathered]


def start(request: Request) -> None:
    """Show the stored sums of the request, or start the job that gathers them."""
    if any(workbench().moments.get(spec) is None for spec in request.asked):
        guarded(lambda: workbench().record_moments(request.asked, request.traces, caller()), JOB)
        return
    for name in (JOB, f"{JOB}:error"):
        st.session_state.pop(name, None)
    st.session_state[FOUND] = (request.asked, "CACHED")


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
    snapshot = follow(JOB)
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


def draw_result(have: Have, badge: str, facts: Facts) -> None:
    """The choice of window and label, the map beside the chosen direction's card, and its readings below."""
    title, mark = st.columns([9, 1], vertical_alignment="center")
    title.subheader("Directions by layer and offset", anchor=False)
    mark.badge(badge, color="green" if badge == "LIVE" else "blue")
    choice = ask_contrast(have)
    made = tried(lambda: {role: made_of(moments, choice) for role, moments in have.items()})
    if made is None:
        return
    found, twins = made[choice.role], [directions for role, directions in made.items() if role != choice.role]
    st.caption(
        f"{found.n_events:,} {plain(found.spec.label)} events in {found.n_traces:,} traces, read by "
        f"{plain(found.spec.model.name)} ({found.spec.model.precision}){said_of(KIND, have[choice.role].spec)}."
    )
    draw_skipped(have[choice.role].skipped)
    draw_found(have[choice.role], found, twins[0] if twins else None, choice, facts)


def draw_found(moments: Gathered, found: DirectionSet, twin: DirectionSet | None, choice: Choice, facts: Facts) -> None:
    """The map and the card of one model's directions."""
    chart, card = st.columns([3, 2], gap="large")
    with chart:
        cell = draw_map(found, twin, n_layers=facts[0].n_layers)
        st.caption(paper_note(found, n_layers=facts[0].n_layers))
        draw_reliability(moments, choice, cell)
    with card, st.container(border=True):
        draw_selectors(found)
        direction = tried(lambda: found.at(cell.layer, cell.window))
        if direction is None:
            return
        draw_facts(direction, found, cell=cell)
        draw_exact(cell.window, found)
        draw_save(direction)
        draw_controls(moments, found, direction, cell)
    lens, others = st.columns([3, 2], gap="large")
    with others:
        draw_resemblance(direction)
    with lens:
        draw_lens(direction, facts)


require_shell()
st.title("Extraction", anchor=False)
st.write(
    "What a model has in mind just before it turns back, less its average over everything: for each layer and offset."
)

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
request = tried(partial(draw_form, loaded))
if request is not None and request.submitted:
    start(request)
shown = result(loaded, request)
if shown:
    draw_result(*shown, loaded)
elif JOB not in st.session_state and request is not None:
    st.info(
        f"Press **Extract**: the {len(request.traces):,} traces are read once for all layers, offsets and labels. "
        "Window and label can then be changed without reading them again.",
        icon=":material/explore:",
    )
draw_stopped()
draw_list(loaded[0])
