"""The playground's settings: prompt, direction, dose, program, sampling, lanes."""

from __future__ import annotations

from typing import Literal

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.directions.direction import Direction
from core.forward.edits import OPERATORS
from core.models.pair import ModelFacts
from core.text.words import KEYWORDS
from core.values import MAX_NEW_TOKENS, SamplingSpec
from ui.directions.choices import pick_direction
from ui.directions.coefficient import COEFFICIENT, coefficient_slider, default_coefficient
from ui.directions.residual_norm import residual_norm
from ui.playground.doses import STRIP_FIELDS
from ui.playground.forks import FORK_FIELDS
from ui.playground.plan import DEFAULT_LANES, KINDS, MAX_LANES, UNSTEERED, LaneKind, read_lanes
from ui.playground.program import DIRECTION_ID, LAYER, PROGRAM_FIELDS, ask_program
from ui.playground.prompt import PROMPT_FIELDS, ask_frame, ask_prompt, offer_first_question
from ui.playground.settings import KEYWORDS_KEY, Settings
from ui.shell.bounds import Number, OneOf, Text
from ui.shell.frame import page_path
from ui.shell.links import Field, put_instead, say_instead

View = Literal["lanes", "strip", "set", "history"]
VIEWS: dict[View, str] = {"lanes": "Lanes", "strip": "Dose strip", "set": "Prompt set", "history": "History"}
LIVE_KEY = "pg_live"
DIRECTION_KEY = "pg_direction"
UNSTEERED_KEY = "pg_unsteered"
"""The lanes that are chosen while no direction is there to steer with."""
TOKENS, SEED = Number(16, MAX_NEW_TOKENS, 1), Number(0, 10**9, 1)
TEMPERATURE, TOP_P = Number(0.0, 2.0, 0.1), Number(0.05, 1.0, 0.05)
COUNTED = Text(200)
VIEW = OneOf(tuple(VIEWS))
LOOKS = frozenset({"view", "open"})
"""Fields that change what is shown, not what is run."""
FIELDS = {
    field.name: field
    for field in (
        *PROMPT_FIELDS,
        Field(name="direction", key=DIRECTION_KEY, default=None, parse=DIRECTION_ID.parse),
        Field(name="layer", key="pg_layer", default=None, parse=LAYER.parse),
        Field(name="coefficient", key="pg_coefficient", default=None, parse=COEFFICIENT.parse),
        *PROGRAM_FIELDS,
        Field(name="tokens", key="pg_tokens", default=256, parse=TOKENS.parse),
        Field(name="temperature", key="pg_temperature", default=0.0, parse=TEMPERATURE.parse),
        Field(name="top_p", key="pg_top_p", default=1.0, parse=TOP_P.parse),
        Field(name="seed", key="pg_seed", default=0, parse=SEED.parse),
        Field(name="control", key="pg_control_seed", default=0, parse=SEED.parse),
        *STRIP_FIELDS,
        *FORK_FIELDS,
        Field(name="keywords", key=KEYWORDS_KEY, default=", ".join(KEYWORDS), parse=COUNTED.parse),
        Field(name="view", key="pg_view", default="lanes", parse=VIEW.parse),
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


def ask_sampling(context_length: int) -> SamplingSpec:
    """Length, sampling, and the words that are counted."""
    length, heat, nucleus, dice = st.columns(4)
    tokens = TOKENS.field(
        length,
        "New tokens at most",
        key="pg_tokens",
        help=f"Question and completion together end at {context_length:,} tokens, the context of the model.",
    )
    temperature = TEMPERATURE.slider(
        heat, "Temperature", key="pg_temperature", help="0 takes the most likely token each time."
    )
    top_p = TOP_P.slider(nucleus, "Top-p", key="pg_top_p", help="1 keeps the whole vocabulary.")
    words, control = st.columns([3, 1])
    words.text_input(
        "Keywords that are counted and marked",
        key=KEYWORDS_KEY,
        max_chars=COUNTED.limit,
        help="Words; the paper counts wait and hmm (Eq. 1).",
    )
    SEED.field(control, "Seed of the random control", key="pg_control_seed", help="Another seed, another direction.")
    seed = SEED.field(dice, "Seed", key="pg_seed", help="Every lane draws with this seed.")
    return SamplingSpec(max_new_tokens=tokens, temperature=temperature, top_p=top_p, seed=seed)


def ask_settings(reasoner: ModelFacts) -> Settings:
    """The whole block; without a direction nothing is steered. Raises BadInput for positions that select nothing."""
    offer_first_question()
    left, right = st.columns([1, 1], gap="large")
    with left:
        question = ask_prompt()
    with right:
        direction = _ask_direction(reasoner)
        if direction is None:
            _say_unsteered()
        ask_frame(question)
    coefficient, layer, place = ask_dose(direction, reasoner) if direction else (0.0, 0, st.empty())
    more = "Operator, layers, positions, more directions, length and sampling" if direction else "Length and sampling"
    with st.expander(more):
        program = ask_program(direction, coefficient, layer, reasoner) if direction else ()
        sampling = ask_sampling(reasoner.context_length)
    return Settings(
        question=question,
        direction=direction,
        norm=residual_norm(reasoner, layer),
        program=program,
        sampling=sampling,
        control_seed=st.session_state["pg_control_seed"],
        dose_note=place,
    )


def _ask_direction(reasoner: ModelFacts) -> Direction | None:
    """The chosen direction; where another takes the place of the one asked for, layer and dose are not taken over."""
    asked = st.session_state[DIRECTION_KEY]
    direction = pick_direction(d_model=reasoner.d_model, key=DIRECTION_KEY)
    if direction is not None and asked not in (None, st.session_state[DIRECTION_KEY]):
        st.session_state["pg_layer"] = st.session_state["pg_coefficient"] = None
    return direction


def _say_unsteered() -> None:
    """What can be done without a direction, and the two ways to one."""
    st.caption("Until then both models can be run unsteered.")
    with st.container(horizontal=True):
        st.page_link(page_path("extraction"), label="Find a direction", icon=":material/explore:")
        st.page_link(page_path("directions"), label="Import a direction", icon=":material/upload_file:")


def ask_view(*, steers: bool) -> tuple[View, bool]:
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
        _ask_lanes(bar, steers=steers)
    if view == "lanes":
        bar.toggle(
            "Live",
            key=LIVE_KEY,
            persist_state="session",
            help="Runs by itself whenever a setting changes; what was run before comes back at once.",
        )
    return view, pressed


def chosen_lanes(*, steers: bool) -> list[LaneKind]:
    """The kinds of lanes, up to four, in their order; without a direction only unsteered ones."""
    chosen = st.session_state["pg_lanes" if steers else UNSTEERED_KEY]
    return [kind for kind in KINDS if kind in chosen][:MAX_LANES]


def _ask_lanes(bar: DeltaGenerator, *, steers: bool) -> None:
    st.session_state.setdefault(UNSTEERED_KEY, UNSTEERED)
    kinds = bar.pills(
        "Lanes",
        list(KINDS) if steers else UNSTEERED,
        selection_mode="multi",
        format_func=KINDS.__getitem__,
        key="pg_lanes" if steers else UNSTEERED_KEY,
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
    asked, own = st.session_state["pg_layer"], min(direction.layer, reasoner.n_layers - 1)
    if asked is None or changed:
        st.session_state["pg_layer"] = own
    elif asked >= reasoner.n_layers:
        put_instead("pg_layer", own, f"The model has no layer {asked}: its layers are 0 to {reasoner.n_layers - 1}.")
    say_instead("pg_layer")
    if st.session_state["pg_coefficient"] is None or changed:
        st.session_state["pg_coefficient"] = default_coefficient(
            direction, residual_norm(reasoner, st.session_state["pg_layer"])
        )
