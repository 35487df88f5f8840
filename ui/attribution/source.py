"""Choosing the text that is read: an embedded trace, a stored generation, or pasted text. Knows no tokens."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.disk.store import Stored
from core.forward.edits import OPERATORS
from core.runs.values import Generation
from core.text.lines import shown_line
from core.traces.events import BACKTRACKING
from core.traces.set_files import TraceSet
from core.values import Trace
from ui.components.safe_text import tried
from ui.shell.handoff import OPENED
from ui.shell.state import workbench

Kind = Literal["trace", "generation", "paste"]

KIND_KEY = "attribution_kind"
SET_KEY = "attribution_set"
TRACE_KEY = "attribution_trace"
_KINDS: dict[Kind, str] = {"trace": "Labelled trace", "generation": "Stored generation", "paste": "Your own text"}
_GENERATION_KEY = "attribution_generation"
_AT_HAND = "attribution:at_hand"
_PASTED = "attribution_text"
_LIMIT = 50
_TITLE = 64


@dataclass(frozen=True, kw_only=True)
class Source:
    """A text with its question; a trace brings labelled parts, a generation its own tokens."""

    question: str
    text: str
    trace: Trace | None = None
    generation: Generation | None = None


def choose_source(kind_place: DeltaGenerator, text_place: DeltaGenerator) -> Source | None:
    """Controls for the text; None, with the next step said here, while there is none."""
    _take_opened()
    sets = usable_sets()
    st.session_state.setdefault(KIND_KEY, "trace" if sets else "paste")
    kind = kind_place.selectbox(
        "Text",
        list(_KINDS),
        format_func=_KINDS.__getitem__,
        key=KIND_KEY,
        persist_state="session",
        label_visibility="collapsed",
    )
    if kind == "paste":
        return _paste(text_place)
    return _choose_trace(sets, text_place) if kind == "trace" else _choose_generation(text_place)


def _take_opened() -> None:
    """Turn to the generation that another page handed over, once."""
    generation = st.session_state.pop(OPENED, None)
    if isinstance(generation, Generation):
        st.session_state[_AT_HAND] = generation
        st.session_state[KIND_KEY] = "generation"
        st.session_state[_GENERATION_KEY] = 0


def usable_sets() -> list[TraceSet]:
    """The sets that hold traces, the embedded one first."""
    return [found for found in workbench().trace_sets.list() if found.n_traces]


def _choose_trace(sets: list[TraceSet], place: DeltaGenerator) -> Source | None:
    if not sets:
        st.info(
            "There are no traces yet. Import some on the **Traces** page, or paste a text.",
            icon=":material/description:",
        )
        return None
    by_id = {found.set_id: found for found in sets}
    if st.session_state.get(SET_KEY) not in by_id:
        st.session_state[SET_KEY] = sets[0].set_id
    columns = place.columns([2, 5] if len(sets) > 1 else 1)
    if len(sets) > 1:
        columns[0].selectbox(
            "Trace set",
            list(by_id),
            format_func=lambda set_id: shown_line(by_id[set_id].name, 40),
            key=SET_KEY,
            persist_state="session",
            label_visibility="collapsed",
        )
    set_id = st.session_state[SET_KEY]
    trace = tried(lambda: _pick_trace(set_id, columns[-1]))
    return None if trace is None else Source(question=trace.prompt, text=trace.text, trace=trace)


def _pick_trace(set_id: str, place: DeltaGenerator) -> Trace:
    """The trace chosen from a set. Raises BadInput for a set that cannot be read."""
    rows = workbench().trace_sets.rows(set_id)
    if st.session_state.get(TRACE_KEY, 0) not in range(len(rows)):
        st.session_state[TRACE_KEY] = 0
    picked = place.selectbox(
        "Trace",
        range(len(rows)),
        format_func=lambda i: f"{rows[i].counts.get(BACKTRACKING, 0)}× back · {shown_line(rows[i].title, _TITLE)}",
        key=TRACE_KEY,
        persist_state="session",
        label_visibility="collapsed",
    )
    return workbench().trace_sets.trace(set_id, picked)


def _choose_generation(place: DeltaGenerator) -> Source | None:
    found = [(item.value, _moment(item.stored_at)) for item in _recent()]
    at_hand: Generation | None = st.session_state.get(_AT_HAND)
    if at_hand is not None:
        moment = next((moment for generation, moment in found if generation == at_hand), "just opened")
        found = [(at_hand, moment)] + [item for item in found if item[0] != at_hand]
    if not found:
        st.info(
            "No generation is stored yet. Run one in the **Steering playground**; it then appears here.",
            icon=":material/tune:",
        )
        return None
    picked = place.selectbox(
        "Generation",
        range(len(found)),
        format_func=lambda i: f"{generation_title(found[i][0])} · {found[i][1]}",
        key=_GENERATION_KEY,
        persist_state="session",
        label_visibility="collapsed",
    )
    generation = found[picked][0]
    return Source(question=generation.spec.prompt.question, text=generation.text, generation=generation)


def _recent() -> list[Stored[Generation]]:
    return workbench().store.recent("generation", Generation, _LIMIT)


def generation_title(generation: Generation) -> str:
    """Question, model and steering on one line, for option lists."""
    spec = generation.spec
    edits = " + ".join(
        f"{OPERATORS[edit.operator].lane.format(size=f'{edit.coefficient:+.3g}')} at layer {edit.layer}"
        for edit in spec.steering
    )
    return f"{shown_line(spec.prompt.question, _TITLE)} · {shown_line(spec.model.name, 24)} · {edits or 'unsteered'}"


def _moment(stored_at: float) -> str:
    return datetime.fromtimestamp(stored_at).strftime("%d %b %H:%M")


def _paste(place: DeltaGenerator) -> Source | None:
    """A text of one's own, with or without a question; once there is one, the fields are folded away."""
    kept = str(st.session_state.get(_PASTED) or "").strip()
    with place.popover(shown_line(kept, _TITLE), width="stretch") if kept else st.container():
        left, right = (st.container(), st.container()) if kept else st.columns([3, 2], vertical_alignment="center")
        text = left.text_area(
            "Your text",
            key=_PASTED,
            persist_state="session",
            height=120,
            placeholder="12 times 15 is 170. Wait, let me check that again…",
        )
        right.button("Read this text", type="primary")
        question = right.text_input(
            "Question that it answers, if there is one",
            key="attribution_question",
            persist_state="session",
            placeholder="What is 12 times 15?",
        )
    if not text or not text.strip():
        st.info(
            "Write or paste a text of at least two tokens, and the question that it answers, if there is one; then "
            "press **Read this text**.",
            icon=":material/edit_note:",
        )
        return None
    return Source(question=question or "", text=text)
