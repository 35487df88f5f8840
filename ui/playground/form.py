"""The playground's settings: prompt, direction, dose, program, sampling, lanes."""

from __future__ import annotations

from typing import Literal

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.directions.direction import Direction
from core.forward.edits import OPERATORS, SteeringSpec
from core.models.pair import ModelFacts
from core.text.words import KEYWORDS
from core.values import MAX_NEW_TOKENS, SamplingSpec
from ui.components.safe_text import plain
from ui.directions.choices import pick_direction
from ui.directions.coefficient import coefficient_slider, default_coefficient
from ui.directions.residual_norm import residual_norm
from ui.playground.doses import STRIP_FIELDS
from ui.playground.forks import FORK_FIELDS
from ui.playground.plan import DEFAULT_LANES, KINDS, MAX_LANES, LaneKind, read_lanes
from ui.playground.program import PROGRAM_FIELDS, ask_program
from ui.playground.prompt import PROMPT_FIELDS, ask_frame, ask_prompt, offer_first_question
from ui.playground.settings import KEYWORDS_KEY, STAGE_KEY, Settings, on_stage
from ui.shell.frame import page_path
from ui.shell.links import Field, number, one_of, text

View = Literal["lanes", "strip", "set", "history"]
VIEWS: dict[View, str] = {"lanes": "Lanes", "strip": "Dose strip", "set": "Prompt set", "history": "History"}
LIVE_KEY = "pg_live"
DIRECTION_KEY = "pg_direction"
FIELDS = {
    field.name: field
    for field in (
        *PROMPT_FIELDS,
        Field(name="direction", key=DIRECTION_KEY, default=None, parse=text(64)),
        Field(name="layer", key="pg_layer", default=None, parse=number(0, 999, int)),
        Field(name="coefficient", key="pg_coefficient", default=None, parse=number(-1e6, 1e6)),
        *PROGRAM_FIELDS,
        Field(name="tokens", key="pg_tokens", default=256, parse=number(1, MAX_NEW_TOKENS, int)),
        Field(name="temperature", key="pg_temperature", default=0.0, parse=number(0.0, 2.0)),
        Field(name="top_p", key="pg_top_p", default=1.0, parse=number(0.05, 1.0)),
        Field(name="seed", key="pg_seed", default=0, parse=number(0, 10**9, int)),
        Field(name="control", key="pg_control_seed", default=0, parse=number(0, 10**9, int)),
        *STRIP_FIELDS,
        *FORK_FIELDS,
        Field(name="keywords", key=KEYWORDS_KEY, default=", ".join(KEYWORDS), parse=text(200)),
        Field(name="stage", key=STAGE_KEY, default=False, parse=lambda raw: bool(one_of("1")(raw)), show=lambda _: "1"),
        Field(name="view", key="pg_view", default="lanes", parse=one_of(*VIEWS)),
        Field(name="lanes", key="pg_lanes", default=DEFAULT_LANES, parse=read_lanes, show=",".join),
    )
}


def ask_dose(direction: Direction, reasoner: ModelFacts) -> tuple[float, int, DeltaGenerator]:
    """(coefficient, layer) on two sliders that follow the direction until the user chooses others, and the place for
    a warning about the dose."""
    _fit_defaults(direction, reasoner)
    dose, depth = st.columns([7, 3], gap="medium")
    with dose:
        coefficient = coefficient_slider(
            direction,
            residual_norm(reasoner, st.session_state["pg_layer"]),
            key="pg_coefficient",
            disabled=not OPERATORS[st.session_state["pg_operator"]].takes_coefficient,
        )
        place = st.empty()
    with depth:
        layer = st.select_slider(
            "Layer",
            range(reasoner.n_layers),
            key="pg_layer",
            help="The residual stream after this block is edited; layers count from 0.",
        )
    return coefficient, layer, place


def ask_details(
    direction: Direction, coefficient: float, layer: int, facts: ModelFacts
) -> tuple[tuple[SteeringSpec, ...], SamplingSpec]:
    """The program and the sampling, folded away: the defaults are the paper's."""
    with st.expander("Operator, layers, positions, more directions, length and sampling"):
        program = ask_program(direction, coefficient, layer, facts)
        length, heat, nucleus, dice = st.columns(4)
        tokens = length.slider("New tokens at most", 16, MAX_NEW_TOKENS, step=16, key="pg_tokens")
        temperature = heat.slider(
            "Temperature", 0.0, 2.0, step=0.1, key="pg_temperature", help="0 takes the most likely token each time."
        )
        top_p = nucleus.slider("Top-p", 0.05, 1.0, step=0.05, key="pg_top_p", help="1 keeps the whole vocabulary.")
        words, control = st.columns([3, 1])
        words.text_input(
            "Keywords that are counted and marked",
            key=KEYWORDS_KEY,
            max_chars=200,
            help="Words; the paper counts wait and hmm (Eq. 1).",
        )
        control.number_input(
            "Seed of the random control",
            0,
            10**9,
            key="pg_control_seed",
            help="Another seed, another direction.",
        )
        seed = dice.number_input("Seed", 0, 10**9, key="pg_seed", help="Every lane draws with this seed.")
    return program, SamplingSpec(max_new_tokens=tokens, temperature=temperature, top_p=top_p, seed=seed)


def ask_settings(reasoner: ModelFacts) -> Settings | None:
    """The whole block; None while there is no direction. Raises BadInput for positions that select nothing.

    On stage only question and dose are in sight; the rest is in one popover.
    """
    offer_first_question()
    stage = on_stage()
    if stage:
        st.markdown(f"#### {plain(st.session_state['pg_prompt'], 400)}")
    upper = (
        st.popover("Question, direction and program", icon=":material/tune:", width="content")
        if stage
        else st.container()
    )
    with upper:
        left, right = st.columns([1, 1], gap="large")
    with left:
        question = ask_prompt()
    with right:
        direction = pick_direction(d_model=reasoner.d_model, key=DIRECTION_KEY)
        if direction is None:
            st.page_link(page_path("extraction"), label="Find a direction", icon=":material/explore:")
            return None
        ask_frame(question)
    coefficient, layer, place = ask_dose(direction, reasoner)
    with upper if stage else st.container():
        program, sampling = ask_details(direction, coefficient, layer, reasoner)
    return Settings(
        question=question,
        direction=direction,
        norm=residual_norm(reasoner, layer),
        program=program,
        sampling=sampling,
        control_seed=st.session_state["pg_control_seed"],
        dose_note=place,
    )


def ask_view() -> tuple[View, bool]:
    """What is shown below, and whether its Run was pressed; the lanes are chosen beside it where they matter."""
    bar = st.container(horizontal=True, vertical_alignment="center", gap="medium")
    view: View = st.session_state["pg_view"]
    label = {"lanes": "Run", "strip": "Run the strip", "set": "Run the set", "history": ""}[view]
    pressed = bool(label) and bar.button(
        label, type="primary", width=220, icon=":material/play_arrow:", shortcut="Ctrl+Enter", key=f"pg_run:{view}"
    )
    bar.segmented_control(
        "View",
        list(VIEWS),
        format_func=VIEWS.__getitem__,
        key="pg_view",
        required=True,
        label_visibility="collapsed",
        width="content",
    )
    if view in ("lanes", "set"):
        _ask_lanes(bar)
    if view == "lanes":
        bar.toggle(
            "Live",
            key=LIVE_KEY,
            persist_state="session",
            help="Runs by itself whenever a setting changes; what was run before comes back at once.",
        )
    bar.toggle("Stage", key=STAGE_KEY, help="Large letters, and only question and dose in sight.")
    return view, pressed


def chosen_lanes() -> list[LaneKind]:
    """The kinds of lanes, up to four, in their order."""
    return [kind for kind in KINDS if kind in st.session_state["pg_lanes"]][:MAX_LANES]


def _ask_lanes(bar: DeltaGenerator) -> None:
    kinds = bar.pills(
        "Lanes",
        list(KINDS),
        selection_mode="multi",
        format_func=KINDS.__getitem__,
        key="pg_lanes",
        label_visibility="collapsed",
        width="content",
    )
    if len(kinds) > MAX_LANES:
        st.warning(
            f"Only the first {MAX_LANES} lanes are shown: take one away to see the others.",
            icon=":material/swap_horiz:",
        )


def _fit_defaults(direction: Direction, reasoner: ModelFacts) -> None:
    """Layer and dose follow the direction until the user chooses others, and when the direction changes."""
    before = st.session_state.get("pg_direction_before")
    changed = before is not None and before != direction.digest
    st.session_state["pg_direction_before"] = direction.digest
    if st.session_state["pg_layer"] is None or changed or st.session_state["pg_layer"] >= reasoner.n_layers:
        st.session_state["pg_layer"] = min(direction.layer, reasoner.n_layers - 1)
    if st.session_state["pg_coefficient"] is None or changed:
        st.session_state["pg_coefficient"] = default_coefficient(
            direction, residual_norm(reasoner, st.session_state["pg_layer"])
        )
