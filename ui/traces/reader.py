"""One trace, token by token: parts underlined, events outlined, the D+ window around them as in the paper's Fig. 1.

A fragment: moving the window redraws this part alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import partial

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from core.models.pair import ROLES, Role
from core.traces.coverage import Coverage, EventTable, cover
from core.traces.events import BACKTRACKING
from core.traces.set_files import TraceSet
from core.values import PAPER_WINDOW, Trace, Window
from ui.components.first_screen import foldable
from ui.components.roles import REASONER_FIRST, TITLES
from ui.components.safe_text import done, literal, plain
from ui.components.token_strip import Strip, select_token, selected_token, token_strip
from ui.shell.bounds import Number, OneOf, Text, put
from ui.shell.handoff import INDEX_KEY, SET_KEY
from ui.shell.jobs import Offer, obtain
from ui.shell.links import Field, put_instead, say_instead, write_link
from ui.shell.state import caller, can_run, is_recorded, pair_facts, workbench
from ui.traces.listing import EVENT_LABEL_KEY
from ui.traces.parts import draw_parts
from ui.traces.sets import FOLDED
from ui.traces.tokens import TokenTrace, read_tokens

STRIP_KEY = "traces_strip"
FIRST_KEY, LAST_KEY, RANGE_KEY = "traces_first", "traces_last", "traces:range"
ROLE_KEY, LABELLING_KEY = "traces_role", "traces:labelling"
OFFSET = Number(-40, 20, 1)
COUNTED_AT_ONCE = 3_000_000
"""Characters of a set that is tokenised without being asked for."""
_PINNED_FOR, _LABEL_FOR = "traces:pinned_for", "traces:label_for"
_OWN = "The set's own"
FIELDS = {
    field.name: field
    for field in (
        Field(name="set", key=SET_KEY, default=None, parse=Text(20).parse),
        Field(name="trace", key=INDEX_KEY, default=0, parse=Number(0, 10**7, 1).parse),
        Field(name="event", key=EVENT_LABEL_KEY, default=BACKTRACKING, parse=Text(80).parse),
        Field(name="first", key=FIRST_KEY, default=PAPER_WINDOW.start, parse=OFFSET.parse),
        Field(name="last", key=LAST_KEY, default=PAPER_WINDOW.stop - 1, parse=OFFSET.parse),
        Field(name="model", key=ROLE_KEY, default="reasoner", parse=OneOf(ROLES).parse),
    )
}


@st.fragment
def draw_reader(shown: TraceSet, index: int) -> None:
    """The chosen trace of a set, and what can be done with it."""
    done(lambda: _draw(shown, index))


def _draw(shown: TraceSet, index: int) -> None:
    trace, is_own = _labelled_trace(shown, index)
    label, role = _ask_events(shown, trace)
    window = _ask_window()
    tokens = read_tokens(trace, role)
    if not tokens.pieces:
        return
    events = tokens.events(trace, label)
    _pin_something(shown, index, events)
    _draw_question(trace)
    pinned = token_strip(strip_of(trace, tokens, events, window), key=STRIP_KEY, height=430)
    _draw_jumps(events)
    _explain_reading(tokens, role)
    if not tokens.is_words:
        _draw_coverage(shown, events, window, tokens, label=label, role=role)
    if is_own:
        draw_parts(shown, index, trace, tokens, pinned)
    else:
        st.caption("These labels are another labeller's. Turn to the set's own to correct parts by hand.")
    write_link(FIELDS)


def strip_of(trace: Trace, tokens: TokenTrace, events: NDArray[np.int64], window: Window) -> Strip:
    """The strip of a trace: parts, events, and, in a model's tokens, the window."""
    return Strip(
        pieces=tokens.pieces,
        parts=tuple((first, stop, part.label) for first, stop, part in tokens.placed(trace)),
        events=tuple(int(event) for event in events),
        window=frozenset() if tokens.is_words else tokens.window(events, window),
    )


def _labelled_trace(shown: TraceSet, index: int) -> tuple[Trace, bool]:
    """The trace with the chosen labels, and whether these are the set's own."""
    sets = workbench().trace_sets
    trace = sets.trace(shown.set_id, index)
    names = [labelling.name for labelling in sets.labellings(shown.set_id)]
    if not names:
        return trace, True
    with foldable(FOLDED, "labels"):
        choice = st.selectbox("Labels", [_OWN, *names], key=f"{LABELLING_KEY}:{shown.set_id}")
    if choice == _OWN:
        return trace, True
    return dataclasses.replace(trace, parts=sets.load_labels(shown.set_id, choice)[index]), False


def _ask_events(shown: TraceSet, trace: Trace) -> tuple[str, Role]:
    _fit_label(shown)
    chosen = st.session_state[EVENT_LABEL_KEY]
    labels = list(dict.fromkeys([*shown.counts, *(part.label for part in trace.parts), chosen]))
    with foldable(FOLDED, "events"):
        left, right = st.columns(2, vertical_alignment="bottom")
    label = left.selectbox(
        "Label of the events",
        labels,
        key=EVENT_LABEL_KEY,
        persist_state="session",
        help="An event is the first token of a part with this label; the window is placed around it.",
    )
    role: Role = right.selectbox(
        "Tokens of",
        REASONER_FIRST,
        format_func=TITLES.__getitem__,
        key=ROLE_KEY,
        persist_state="session",
        disabled=not can_run(),
        help="Both models' tokenizers can cut the text; offsets of the window count tokens.",
    )
    return label, role


def _fit_label(shown: TraceSet) -> None:
    """A set that is shown anew has events of a label that it holds; a correction may then take the last one away."""
    chosen = st.session_state.get(EVENT_LABEL_KEY)
    if chosen is None or (st.session_state.get(_LABEL_FOR) != shown.set_id and chosen not in shown.counts):
        held = BACKTRACKING in shown.counts or not shown.counts
        label = BACKTRACKING if held else next(iter(shown.counts))
        absent = f"No part of this set is labelled “{plain(chosen or '', 60)}”; “{plain(label, 60)}” is shown instead."
        put_instead(EVENT_LABEL_KEY, label, absent if chosen not in (None, BACKTRACKING) else "")
    st.session_state[_LABEL_FOR] = shown.set_id
    say_instead(EVENT_LABEL_KEY)


def _ask_window() -> Window:
    """The D+ window, dragged on a slider or typed; each follows the other."""
    OFFSET.hold(FIRST_KEY)
    OFFSET.hold(LAST_KEY)
    first, last = st.session_state[FIRST_KEY], st.session_state[LAST_KEY]
    if first > last:
        first, last = st.session_state[FIRST_KEY], st.session_state[LAST_KEY] = last, first
    put(RANGE_KEY, (first, last))
    with foldable(FOLDED, "window"):
        slide, left, right, paper = st.columns([5, 2, 2, 2], vertical_alignment="bottom")
    slide.slider(
        "D+ window, in tokens from the event",
        OFFSET.low,
        OFFSET.high,
        key=RANGE_KEY,
        on_change=_take_range,
        help="Offset 0 is the event's first token. The paper's window is "
        f"{PAPER_WINDOW.label}: usually the start of the sentence before.",
    )
    OFFSET.field(left, "First", key=FIRST_KEY)
    OFFSET.field(right, "Last", key=LAST_KEY)
    paper.button("Paper's", on_click=_take_papers, width="stretch", help=f"Offsets {PAPER_WINDOW.label}.")
    return Window(start=first, stop=last + 1)


def _take_range() -> None:
    st.session_state[FIRST_KEY], st.session_state[LAST_KEY] = st.session_state[RANGE_KEY]


def _take_papers() -> None:
    st.session_state[FIRST_KEY], st.session_state[LAST_KEY] = PAPER_WINDOW.start, PAPER_WINDOW.stop - 1


def _pin_something(shown: TraceSet, index: int, events: NDArray[np.int64]) -> None:
    """A trace that is shown for the first time has its first event pinned, so that it opens there."""
    identity = (shown.set_id, index)
    if st.session_state.get(_PINNED_FOR) != identity:
        st.session_state[_PINNED_FOR] = identity
        select_token(STRIP_KEY, int(events[0]) if len(events) else None)


def _draw_question(trace: Trace) -> None:
    if not trace.prompt.strip():
        st.caption(f"{plain(trace.trace_id, 80)} · no question is kept with this text; models read it without one.")
        return
    st.caption(f"{plain(trace.trace_id, 80)} · question:")
    with st.container(height=96 if len(trace.prompt) > 300 else "content", border=False):
        st.text(literal(trace.prompt))


def _draw_jumps(events: NDArray[np.int64]) -> None:
    if not len(events):
        st.caption("No event of this label is in this trace.")
        return
    at = selected_token(STRIP_KEY)
    before = [int(event) for event in events if at is not None and event < at]
    after = [int(event) for event in events if at is None or event > at]
    jump = partial(select_token, STRIP_KEY)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button("‹ Previous event", disabled=not before, on_click=jump, args=before[-1:] or (None,))
        st.button("Next event ›", disabled=not after, on_click=jump, args=after[:1] or (None,))


def _explain_reading(tokens: TokenTrace, role: Role) -> None:
    """Why a model cannot read the text, or not as it is shown."""
    facts = pair_facts()
    if is_recorded():
        st.caption("The text is shown by words: its tokens and the D+ window need a loaded model.")
        return
    if tokens.is_words or facts is None:
        st.info(
            "The text is shown by words. Its tokens and the D+ window appear once a model is loaded.",
            icon=":material/hourglass_top:",
        )
        return
    limit = facts[ROLES.index(role)].context_length
    if tokens.n_read > limit:
        st.caption(
            f":material/warning: With its question this text takes {tokens.n_read:,} tokens; the loaded model reads "
            f"{limit:,}, so it cannot take activations from it. Load a model with a longer context for that."
        )


def _draw_coverage(
    shown: TraceSet, events: NDArray[np.int64], window: Window, tokens: TokenTrace, *, label: str, role: Role
) -> None:
    """How many windows fall off the trace: of this one, and of the set."""
    rows = [("this trace", cover(events, window, len(tokens.pieces)))]
    table = _table_of(shown, label, role)
    if table is not None:
        rows.append(("whole set", table.coverage(window)))
    _draw_table(rows)
    if table is not None and table.n_too_long:
        st.caption(f"{table.n_too_long:,} of {shown.n_traces:,} traces are longer than the loaded model's context.")


def _draw_table(rows: Sequence[tuple[str, Coverage]]) -> None:
    lines = [
        f"| {name} | {c.n_events:,} | {c.n_whole:,} | {c.n_partly:,} | {c.n_off:,} | {c.n_positions:,} |"
        for name, c in rows
    ]
    head = "| windows | events | whole | partly off | off | tokens |\n|---|--:|--:|--:|--:|--:|\n"
    st.markdown(head + "\n".join(lines))


def _table_of(shown: TraceSet, label: str, role: Role) -> EventTable | None:
    """The events of the whole set: at hand, or by a job that is started here (large sets: when asked) and followed."""
    facts = pair_facts()
    if facts is None:
        return None
    asked = (shown.digest, label, facts[ROLES.index(role)].fingerprint)
    large = shown.n_characters > COUNTED_AT_ONCE
    return obtain(
        asked,
        "traces:events",
        EventTable,
        lambda: workbench().table_events(shown.set_id, label, role, caller()),
        offer=Offer(button=f"Count the windows of all {shown.n_traces:,} traces") if large else None,
        in_store=False,
    )
