"""The question on the page, and everything that stands around it when a model reads it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.models.pair import ROLES, Role
from core.tokens.frames import ChatFrame
from core.values import Prompt
from ui.components.safe_text import tried
from ui.shell.bounds import OneOf, Text
from ui.shell.how_read import TOLD_FIELD, ask_template, draw_first_tokens, told_frame
from ui.shell.links import Field
from ui.shell.state import workbench

FIRST_EXAMPLE = 1
"""Shown on a first visit: the steered text turns back in it. Most examples do so, not all; Home has the rates."""
MODES = {"chat": "as the template has it", "own": "with your own template", "raw": "raw text, no template"}
MODE = OneOf(tuple(MODES))
QUESTION, FRAME = Text(4000, lines=True), Text(2000, lines=True)
PROMPT_FIELDS = (
    Field(name="prompt", key="pg_prompt", default="", parse=QUESTION.parse),
    Field(name="template", key="pg_mode", default="chat", parse=MODE.parse),
    Field(name="before", key="pg_before", default="", parse=FRAME.parse),
    Field(name="after", key="pg_after", default="", parse=FRAME.parse),
    TOLD_FIELD,
    Field(name="think", key="pg_think", default="", parse=FRAME.parse),
)


def offer_first_question(questions: Sequence[str]) -> None:
    """On a first visit an example is the question."""
    if questions and not st.session_state["pg_prompt"] and "pg_example" not in st.session_state:
        st.session_state["pg_prompt"] = questions[min(FIRST_EXAMPLE, len(questions) - 1)]


def ask_prompt(place: DeltaGenerator, questions: Sequence[str]) -> None:
    """The question, written or taken from the examples; it stays in session_state["pg_prompt"]."""

    def take() -> None:
        if st.session_state["pg_example"]:
            st.session_state["pg_prompt"] = st.session_state["pg_example"]

    place.text_area(
        "Question",
        key="pg_prompt",
        persist_state="session",
        height=68,
        max_chars=QUESTION.limit,
        placeholder="Ask something",
        label_visibility="collapsed",
    )
    place.selectbox(
        "Examples",
        questions,
        index=None,
        key="pg_example",
        on_change=take,
        placeholder="Examples",
        label_visibility="collapsed",
        width=130,
    )


def prompts_of(question: str) -> dict[Role, Prompt]:
    """The question as both models read it with the frame that is set. Raises BadInput for one that cannot be read."""
    frame = chosen_frame()
    return {role: workbench().pair.encode(role, question, frame=frame) for role in ROLES}


def chosen_frame() -> ChatFrame | None:
    """The frame of the settings; None for the reasoning model's own."""
    mode, think = st.session_state["pg_mode"], st.session_state["pg_think"]
    if mode == "raw":
        return ChatFrame(prefix="", suffix="", source="raw")
    told = told_frame() if mode == "chat" else None
    own = told or workbench().pair.frame("reasoner")
    if mode == "own":
        own = replace(own, prefix=st.session_state["pg_before"], suffix=st.session_state["pg_after"], source="template")
    elif not think:
        return told
    return replace(own, suffix=own.suffix + think)


def ask_frame(question: str) -> None:
    """What stands around the question: template, think prefix, and the texts that come of them."""
    mode = st.segmented_control(
        "The question is read",
        list(MODES),
        format_func=MODES.__getitem__,
        required=True,
        key="pg_mode",
        persist_state="session",
        help="The base model always reads the same text without the special tokens that it never saw. Raw text is "
        "the fair way to ask a base model to go on with a text: no chat tokens for either model.",
    )
    if mode == "chat":
        ask_template()
    if mode == "own":
        _ask_own()
    if mode != "raw":
        st.text_area(
            "Think prefix: the first words of every answer",
            key="pg_think",
            persist_state="session",
            height=70,
            max_chars=FRAME.limit,
            placeholder="for example: Okay, let me see",
            help="It belongs to the prompt: it is not counted, and what the model writes begins after it.",
        )
    if question.strip():
        _show_texts(question)


def _ask_own() -> None:
    own = workbench().pair.frame("reasoner")
    if not st.session_state["pg_before"] and not st.session_state["pg_after"]:
        st.session_state["pg_before"], st.session_state["pg_after"] = own.prefix, own.suffix
    before, after = st.columns(2)
    before.text_area("Before the question", key="pg_before", persist_state="session", height=90, max_chars=FRAME.limit)
    after.text_area("After the question", key="pg_after", persist_state="session", height=90, max_chars=FRAME.limit)
    st.caption("Special tokens such as the user mark work here, but not inside the question.")


def _show_texts(question: str) -> None:
    readers = tried(lambda: workbench().pair.readers(chosen_frame()))
    if readers is not None:
        draw_first_tokens(readers, question, "")
