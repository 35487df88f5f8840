"""How each model reads a trace: what the base model gets for special tokens, the first tokens, the vocabularies."""

from __future__ import annotations

import streamlit as st

from core.models.pair import Role
from core.tokens.frames import ChatFrame
from core.tokens.readers import Readers
from core.values import Trace
from ui.components.roles import NAMES
from ui.components.safe_text import plain, tried, visible
from ui.shell.how_read import ask_template, draw_first_tokens, told_frame
from ui.shell.state import workbench

KEY = "extraction:reads:"
_MAX = 200
_MAX_WORDS = 30


def ask_frames(trace: Trace) -> dict[Role, ChatFrame | None]:
    """The frame of each model where it is not its own; everything lies in an expander."""
    own = workbench().pair.readers()
    differ = f" · their vocabularies differ at {own.n_differences:,} ids" if own.n_differences else ""
    with st.expander(f"How each model reads a trace{differ}", icon=":material/text_fields:"):
        ask_template()
        told = told_frame()
        readers = workbench().pair.readers(told)
        st.caption(
            "The base model gets the same text without special tokens that it never saw; the paper's authors replaced "
            "Llama's ids 128011 to 128014 for this. Write \\\\n for a line break; nothing removes the token."
        )
        frame = _ask_mapping(readers)
        if readers.template_words:
            words = ", ".join(f"“{plain(word, 40)}”" for word in readers.template_words[:_MAX_WORDS])
            st.caption(f"Words of the chat template are no special tokens; the base model reads them as text: {words}.")
        draw_first_tokens(readers, trace.prompt, trace.text, base=frame)
        _say_same(readers, frame, trace)
        _draw_vocabularies(readers)
    return {"base": frame if frame != own.base_frame else None, "reasoner": told}


def _ask_mapping(readers: Readers) -> ChatFrame:
    read_as = {}
    columns = st.columns(max(len(readers.mapped), 1))
    for number, (column, (token, default)) in enumerate(zip(columns, readers.mapped, strict=False)):
        written = column.text_input(
            f"{plain(token)} is read as",
            _escaped(default),
            max_chars=_MAX,
            key=f"{KEY}{number}:{readers.vocabularies[1]}",
            persist_state="session",
        )
        read_as[token] = written.replace("\\n", "\n")
    return readers.frame_read_as(read_as)


def _escaped(text: str) -> str:
    return text.replace("\n", "\\n")


def _say_same(readers: Readers, frame: ChatFrame, trace: Trace) -> None:
    same = tried(lambda: readers.same_text_tokens(frame, trace.prompt, trace.text))
    text = (
        "The text itself becomes the same tokens in both."
        if same
        else ":material/warning: The text becomes different tokens in the two models, so offsets differ a little."
    )
    if same is not None:
        st.caption(f"{text} Tokens before the text belong to neither mean.")


def _draw_vocabularies(readers: Readers) -> None:
    if not readers.n_differences:
        st.caption(f"The two vocabularies are the same (digest {readers.vocabularies[0]}).")
        return
    st.warning(
        f"The vocabularies differ at {readers.n_differences:,} token ids; the base model reads the text with its own.",
        icon=":material/text_fields:",
    )
    st.dataframe(
        {
            "id": [i for i, _, _ in readers.differences],
            NAMES["base"]: [visible(ours) or "no such id" for _, ours, _ in readers.differences],
            NAMES["reasoner"]: [visible(theirs) or "no such id" for _, _, theirs in readers.differences],
        },
        hide_index=True,
    )


def draw_skipped(skipped: tuple[str, ...]) -> None:
    """The traces that a model could not read, with the reasons; nothing when it read them all."""
    if not skipped:
        return
    traces = "One trace was" if len(skipped) == 1 else f"{len(skipped):,} traces were"
    with st.expander(f"{traces} left out, since the model cannot read them", icon=":material/content_cut:"):
        for line in skipped[:_MAX]:
            st.text(line)
        if len(skipped) > _MAX:
            st.caption(f"and {len(skipped) - _MAX:,} more")
