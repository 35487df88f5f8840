"""Above the results: the question with Run, the direction with its dose, and the choice of what is shown below."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.guests import MOST_LANES
from ui.components.first_screen import STAYS, WITH_WORDS
from ui.playground.prompt import ask_prompt, offer_first_question
from ui.shell.state import guest

View = Literal["lanes", "strip", "set", "history"]
VIEWS: dict[View, str] = {"lanes": "Lanes", "strip": "Dose strip", "set": "Prompt set", "history": "History"}
_RUN: dict[View, str] = {"lanes": "Run", "strip": "Run the strip", "set": "Run the set", "history": ""}
_SPEAKERS: dict[View, str] = {
    "strip": f"Strips are the speaker's to run: a visitor has {MOST_LANES} lanes. Those that were run are shown.",
    "set": "Prompt sets are the speaker's to run. Those that were run are shown.",
}
"""Runs that a visitor is refused, and why."""


@dataclass(frozen=True, kw_only=True)
class Bar:
    """The rows above the results, some of them still to be filled."""

    view: View
    pressed: bool
    """Whether the Run of this view was."""
    steer: DeltaGenerator
    """Row of the direction, its dose and the other settings."""
    dose_note: DeltaGenerator
    """One place beside the view, for the dose in words or a warning about it."""
    notices: DeltaGenerator
    """For what could not be done as it was asked."""


def draw_bar(questions: Sequence[str]) -> Bar:
    """Question, Run and view."""
    offer_first_question(questions)
    ask = st.container(horizontal=True, vertical_alignment="center", key=STAYS)
    ask_prompt(ask, questions)
    view: View = st.session_state["pg_view"]
    pressed = bool(_RUN[view]) and ask.button(
        _RUN[view],
        type="primary",
        width=210,
        icon=":material/play_arrow:",
        shortcut="Ctrl+Enter",
        key=f"pg_run:{view}",
        disabled=bool(refused_run(view)),
        help=refused_run(view) or None,
    )
    steer = st.container(horizontal=True, vertical_alignment="bottom", key="pg_steer")
    shown = st.container(horizontal=True, vertical_alignment="center", key=WITH_WORDS)
    shown.segmented_control(
        "View",
        list(VIEWS),
        format_func=VIEWS.__getitem__,
        key="pg_view",
        persist_state="session",
        required=True,
        label_visibility="collapsed",
        width="content",
    )
    return Bar(
        view=view,
        pressed=pressed,
        steer=steer,
        dose_note=shown.container(width="stretch").empty(),
        notices=st.container(),
    )


def refused_run(view: View) -> str:
    """Why this session may not press Run of a view; "" where it may."""
    return _SPEAKERS.get(view, "") if guest() else ""
