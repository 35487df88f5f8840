"""Choosing the text that is read: an embedded trace, a stored generation, or pasted text. Knows no tokens."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.examples import example_traces
from core.runs import Generation
from core.store import Stored
from core.values import Trace
from ui.state import workbench

Kind = Literal["trace", "generation", "paste"]

OPENED = "attribution_source"
"""Session key of the generation that another page asked to have read."""
KIND_KEY = "attribution_kind"
EVENT_LABEL = "backtracking"
_KINDS: dict[Kind, str] = {"trace": "Labelled trace", "generation": "Stored generation", "paste": "Your own text"}
_GENERATION_KEY = "attribution_generation"
_AT_HAND = "attribution:at_hand"
_LIMIT = 50


@dataclass(frozen=True, kw_only=True)
class Source:
    """A text with its question; a trace brings labelled parts, a generation its own tokens."""

    question: str
    text: str
    trace: Trace | None = None
    generation: Generation | None = None


def choose_source() -> Source | None:
    """Controls for the text; None, with the next step said, while there is none."""
    _take_opened()
    traces = example_traces()
    st.session_state.setdefault(KIND_KEY, "trace" if traces else "paste")
    left, right = st.columns([3, 10])
    kind = left.selectbox("Text", list(_KINDS), format_func=_KINDS.__getitem__, key=KIND_KEY, persist_state="session")
    if kind == "paste":
        return _paste(right)
    with right:
        if kind == "trace":
            return _choose_trace(traces)
        return _choose_generation()


def _take_opened() -> None:
    """Turn to the generation that another page handed over, once."""
    generation = st.session_state.pop(OPENED, None)
    if isinstance(generation, Generation):
        st.session_state[_AT_HAND] = generation
        st.session_state[KIND_KEY] = "generation"
        st.session_state[_GENERATION_KEY] = 0


def _choose_trace(traces: tuple[Trace, ...]) -> Source | None:
    if not traces:
        st.info("This copy has no embedded traces. Choose a stored generation, or paste a text.", icon="📄")
        return None
    picked = st.selectbox(
        "Trace",
        range(len(traces)),
        format_func=lambda i: _trace_title(traces[i]),
        key="attribution_trace",
        persist_state="session",
        help="Written by the embedded reasoning model, every sentence labelled. The number counts its turns back.",
    )
    trace = traces[picked]
    return Source(question=trace.prompt, text=trace.text, trace=trace)


def _trace_title(trace: Trace) -> str:
    events = sum(part.label == EVENT_LABEL for part in trace.parts)
    return f"{events}× back · {clipped(trace.prompt or trace.text)}"


def _choose_generation() -> Source | None:
    found = [(item.value, _moment(item.stored_at)) for item in _recent()]
    at_hand: Generation | None = st.session_state.get(_AT_HAND)
    if at_hand is not None:
        moment = next((moment for generation, moment in found if generation == at_hand), "just opened")
        found = [(at_hand, moment)] + [item for item in found if item[0] != at_hand]
    if not found:
        st.info("No generation is stored yet. Run one in the **Steering playground**; it then appears here.", icon="🎛️")
        return None
    picked = st.selectbox(
        "Generation",
        range(len(found)),
        format_func=lambda i: f"{_generation_title(found[i][0])} · {found[i][1]}",
        key=_GENERATION_KEY,
        persist_state="session",
        help=f"The last {_LIMIT} completed runs on this machine, newest first.",
    )
    generation = found[picked][0]
    return Source(question=generation.spec.prompt.question, text=generation.text, generation=generation)


def _recent() -> list[Stored[Generation]]:
    return workbench().store.recent("generation", Generation, _LIMIT)


def _generation_title(generation: Generation) -> str:
    spec = generation.spec
    edits = " + ".join(f"{edit.operator} {edit.coefficient:+.3g} at layer {edit.layer}" for edit in spec.steering)
    return f"{clipped(spec.prompt.question)} · {clipped(spec.model.name, 24)} · {edits or 'unsteered'}"


def _moment(stored_at: float) -> str:
    return datetime.fromtimestamp(stored_at).strftime("%d %b %H:%M")


def _paste(right: DeltaGenerator) -> Source | None:
    question = right.text_input(
        "Question that it answers",
        key="attribution_question",
        persist_state="session",
        placeholder="What is 12 times 15?",
    )
    text = st.text_area(
        "Your text",
        key="attribution_text",
        persist_state="session",
        height=120,
        placeholder="12 times 15 is 170. Wait, let me check that again…",
    )
    st.button("Read this text", type="primary")
    if not text or not text.strip():
        st.info(
            "Write or paste a text of at least two tokens, and above it the question that it answers; "
            "then press **Read this text**.",
            icon="📝",
        )
        return None
    return Source(question=question or "", text=text)


def clipped(text: str, limit: int = 64) -> str:
    """The text on one line of printable characters, for option lists, which show it literally."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text[: 4 * limit]).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
