"""The playground's settings: prompt, direction, dose, program, sampling, lanes."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.directions.direction import Direction
from core.forward.edits import OPERATORS, SteeringSpec
from core.guests import MOST_LANES, MOST_TOKENS
from core.models.pair import ModelFacts
from core.text.words import KEYWORDS
from core.values import MAX_NEW_TOKENS, SamplingSpec
from ui.directions.choices import choices, direction_box, fit_choice, origin_of
from ui.directions.coefficient import COEFFICIENT, default_coefficient, describe, unit_and_slider
from ui.directions.first_experiment import offer_first
from ui.directions.residual_norm import ResidualNorm, residual_norm
from ui.playground.bar import VIEWS, Bar
from ui.playground.doses import STRIP_FIELDS
from ui.playground.forks import FORK_FIELDS
from ui.playground.plan import DEFAULT_LANES, KINDS, MAX_LANES, UNSTEERED, LaneKind, read_lanes
from ui.playground.program import DIRECTION_ID, LAYER, PROGRAM_FIELDS, ask_program
from ui.playground.prompt import PROMPT_FIELDS, ask_frame
from ui.playground.settings import KEYWORDS_KEY, Settings
from ui.shell.bounds import Number, OneOf, Text
from ui.shell.frame import page_path
from ui.shell.links import Field, put_instead, say_instead
from ui.shell.state import guest, pair_facts

LIVE_KEY = "pg_live"
DIRECTION_KEY = "pg_direction"
UNSTEERED_KEY = "pg_unsteered"
"""The lanes that are chosen while no direction is there to steer with."""
TOKENS, SEED = Number(16, MAX_NEW_TOKENS, 1), Number(0, 10**9, 1)
GUEST_TOKENS = Number(16, MOST_TOKENS, 1)
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


def ask_settings(bar: Bar, reasoner: ModelFacts) -> Settings:
    """What is not in the bar already; without a direction nothing is steered.

    What is set seldom is behind one button. Raises BadInput for positions that select nothing.
    """
    direction = _ask_direction(bar, reasoner)
    norm = residual_norm(reasoner, st.session_state["pg_layer"] or 0)
    coefficient = _ask_dose(bar, direction, norm) if direction else 0.0
    question, layer = st.session_state["pg_prompt"], st.session_state["pg_layer"] or 0
    program: tuple[SteeringSpec, ...] = ()
    steering, writing, reading, lanes = _open_settings(bar)
    with writing:
        sampling = ask_sampling(reasoner.context_length)
    with reading:
        ask_frame(question)
    with lanes:
        _ask_lanes(bar, steers=direction is not None)
    with steering:
        if direction:
            st.caption(origin_of(direction))
            _ask_layer(reasoner)
            program = ask_program(direction, coefficient, layer, reasoner)
        else:
            st.caption("There is no direction to steer with yet.")
    with bar.notices:
        for key in (DIRECTION_KEY, "pg_layer", "pg_layers", "pg_more"):
            say_instead(key)
    return Settings(
        question=question,
        direction=direction,
        norm=norm,
        program=program,
        sampling=sampling,
        control_seed=st.session_state["pg_control_seed"],
        dose_note=bar.dose_note,
    )


def _open_settings(bar: Bar) -> Sequence[DeltaGenerator]:
    """The four parts of what is behind the button."""
    settings = bar.steer.popover("Settings", icon=":material/tune:", key="pg_settings")
    with settings.container(key="pg_parts"):
        return st.tabs(["Steering", "Length and sampling", "Chat template", "Lanes and keywords"])


def _ask_direction(bar: Bar, reasoner: ModelFacts) -> Direction | None:
    """The chosen direction; where another takes the place of the one asked for, layer and dose are not taken over."""
    found = choices(d_model=reasoner.d_model)
    if not found:
        _offer_directions(bar)
        return None
    asked = st.session_state[DIRECTION_KEY]
    fit_choice(found, DIRECTION_KEY)
    if asked not in (None, st.session_state[DIRECTION_KEY]):
        st.session_state["pg_layer"] = st.session_state["pg_coefficient"] = None
    with bar.steer:
        direction = direction_box(found, DIRECTION_KEY, width=280)
    _fit_defaults(direction, reasoner)
    return direction


def _offer_directions(bar: Bar) -> None:
    """What can be done without a direction, and the ways to one; the first of them needs no other choice."""
    bar.steer.info("There is no direction to steer with: both answer unsteered.", icon=":material/explore:")
    pair = pair_facts()
    if guest() or pair is None:
        return
    note = bar.dose_note.container(horizontal=True, vertical_alignment="center")
    offer_first(pair, button=bar.steer, note=note, key="pg_first_direction")
    with note:
        st.page_link(page_path("extraction"), label="Find a direction", icon=":material/explore:")
        st.page_link(page_path("directions"), label="Import a direction", icon=":material/upload_file:")


def _ask_dose(bar: Bar, direction: Direction, norm: ResidualNorm) -> float:
    """The coefficient; it follows the direction until the user chooses another."""
    coefficient = unit_and_slider(
        bar.steer,
        bar.steer,
        direction,
        norm,
        key="pg_coefficient",
        disabled=not OPERATORS[st.session_state["pg_operator"]].takes_coefficient,
    )
    bar.dose_note.caption(describe(coefficient, direction, norm))
    return coefficient


def _ask_layer(reasoner: ModelFacts) -> None:
    st.select_slider(
        "Layer",
        range(reasoner.n_layers),
        key="pg_layer",
        persist_state="session",
        help="The residual stream after this block is edited; layers count from 0.",
    )


def ask_sampling(context_length: int) -> SamplingSpec:
    """Length, sampling, and the words that are counted."""
    length, heat, nucleus, dice = st.columns(4)
    tokens = (GUEST_TOKENS if guest() else TOKENS).field(
        length,
        "New tokens at most",
        key="pg_tokens",
        help=f"Question and completion together end at {context_length:,} tokens, the context of the model.",
    )
    temperature = TEMPERATURE.slider(
        heat, "Temperature", key="pg_temperature", help="0 takes the most likely token each time."
    )
    top_p = TOP_P.slider(nucleus, "Top-p", key="pg_top_p", help="1 keeps the whole vocabulary.")
    seed = SEED.field(dice, "Seed", key="pg_seed", help="Every lane draws with this seed.")
    return SamplingSpec(max_new_tokens=tokens, temperature=temperature, top_p=top_p, seed=seed)


def chosen_lanes(*, steers: bool) -> list[LaneKind]:
    """The kinds of lanes, as many as there may be, in their order; without a direction only unsteered ones."""
    chosen = st.session_state["pg_lanes" if steers else UNSTEERED_KEY]
    return [kind for kind in KINDS if kind in chosen][: most_lanes()]


def most_lanes() -> int:
    """Lanes that this session may have at once."""
    return MOST_LANES if guest() else MAX_LANES


def _ask_lanes(bar: Bar, *, steers: bool) -> None:
    """Which lanes there are, what is marked in them, and how they are shown."""
    st.session_state.setdefault(UNSTEERED_KEY, UNSTEERED)
    kinds = st.pills(
        "Lanes",
        list(KINDS) if steers else UNSTEERED,
        selection_mode="multi",
        format_func=KINDS.__getitem__,
        key="pg_lanes" if steers else UNSTEERED_KEY,
        persist_state="session",
    )
    if len(kinds) > most_lanes():
        bar.notices.warning(
            f"Only the first {most_lanes()} lanes are shown: take one away to see the others.",
            icon=":material/swap_horiz:",
        )
    words, control = st.columns([3, 1])
    words.text_input(
        "Keywords that are counted and marked",
        key=KEYWORDS_KEY,
        persist_state="session",
        max_chars=COUNTED.limit,
        help="Words; the paper counts wait and hmm (Eq. 1).",
    )
    SEED.field(control, "Seed of the random control", key="pg_control_seed", help="Another seed, another direction.")
    st.toggle(
        "Live",
        key=LIVE_KEY,
        persist_state="session",
        help="Runs by itself whenever a setting changes; what was run before comes back at once.",
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
    if st.session_state["pg_coefficient"] is None or changed:
        st.session_state["pg_coefficient"] = default_coefficient(
            direction, residual_norm(reasoner, st.session_state["pg_layer"])
        )
