"""How each model reads a trace: what the base model gets for special tokens, the first tokens, the vocabularies."""

from __future__ import annotations

import streamlit as st

from core.models.frames import ChatFrame
from core.models.pair import ROLES
from core.models.readers import FirstTokens, Readers
from core.values import Trace
from ui.components.safe_text import plain, tried, visible
from ui.shell.roles import NAMES
from ui.shell.state import workbench

KEY = "extraction:reads:"
_MAX = 200
_MAX_WORDS = 30


def ask_frame(trace: Trace) -> ChatFrame | None:
    """The base model's frame where the user changed it, else None; everything lies in an expander."""
    readers = workbench().pair.readers()
    differ = f" · their vocabularies differ at {readers.n_differences:,} ids" if readers.n_differences else ""
    with st.expander(f"How each model reads a trace{differ}", icon=":material/text_fields:"):
        st.caption(
            "The base model gets the same text without special tokens that it never saw; the paper's authors replaced "
            "Llama's ids 128011 to 128014 for this. Write \\\\n for a line break; nothing removes the token."
        )
        frame = _ask_mapping(readers)
        if readers.template_words:
            words = ", ".join(f"“{plain(word, 40)}”" for word in readers.template_words[:_MAX_WORDS])
            st.caption(f"Words of the chat template are no special tokens; the base model reads them as text: {words}.")
        _draw_first_tokens(readers, frame or readers.base_frame, trace)
        _draw_vocabularies(readers)
    return frame


def _ask_mapping(readers: Readers) -> ChatFrame | None:
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
    frame = readers.frame_read_as(read_as)
    return frame if frame != readers.base_frame else None


def _escaped(text: str) -> str:
    return text.replace("\n", "\\n")


def _draw_first_tokens(readers: Readers, frame: ChatFrame, trace: Trace) -> None:
    own = readers.reasoner_frame
    found = tried(
        lambda: (
            readers.first_tokens(base=True, frame=frame, question=trace.prompt, text=trace.text),
            readers.first_tokens(base=False, frame=own, question=trace.prompt, text=trace.text),
            readers.same_text_tokens(frame, trace.prompt, trace.text),
        )
    )
    if found is None:
        return
    base, reasoner, same = found
    for column, role, first in zip(st.columns(2), ROLES, (base, reasoner), strict=True):
        column.caption(f"The first trace as the {NAMES[role]} reads it; the text begins at position {first.text_start}")
        column.code(_tokens(first), language=None, wrap_lines=True)
    starts = [frame.prefix.startswith(readers.base_start) and bool(readers.base_start), bool(readers.reasoner_start)]
    begin = {
        (True, True): "Both readings begin with the model's own start token.",
        (False, False): "Neither reading begins with a start token.",
        (True, False): ":material/warning: Only the base model's reading begins with a start token.",
        (False, True): ":material/warning: Only the reasoning model's reading begins with a start token: the base "
        "model's tokenizer adds none.",
    }[(starts[0], starts[1])]
    text = (
        "The text itself becomes the same tokens in both."
        if same
        else ":material/warning: The text becomes different tokens in the two models, so offsets differ a little."
    )
    st.caption(f"{begin} {text} Tokens before the text belong to neither mean.")


def _tokens(first: FirstTokens) -> str:
    shown = [f"{i} {visible(piece)}" for i, piece in zip(first.token_ids, first.pieces, strict=True)]
    frame, text = shown[: first.text_start], shown[first.text_start :]
    return " · ".join(frame) + "\n── text ──\n" + " · ".join(text) + " · …"


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
