"""The traces of a set as a list with filters; the chosen one is kept by its index."""

from __future__ import annotations

from typing import Any

import streamlit as st

from core.traces.queries import TraceFilter, filter_rows
from core.traces.set_files import TraceRow, TraceSet
from ui.components.first_screen import foldable
from ui.shell.bounds import put
from ui.shell.handoff import INDEX_KEY
from ui.shell.links import put_instead, say_instead
from ui.shell.state import workbench
from ui.traces.sets import FOLDED

EVENT_LABEL_KEY = "traces_label"
TEXT_KEY, LABELS_KEY, SOURCE_KEY = "traces:text", "traces:labels", "traces:source"
MAX_ROWS = 2000
_FOUND = "traces:found"
_JUMPS = "traces:jumps"
_ALL = "All sources"


def choose_trace(shown: TraceSet) -> int | None:
    """Filters and list; the index of the chosen trace, or None, with the next step said, when none is left."""
    if st.session_state.get(INDEX_KEY, 0) not in range(shown.n_traces):
        asked = st.session_state[INDEX_KEY]
        put_instead(INDEX_KEY, 0, f"This set has no trace {asked + 1:,}; it has {shown.n_traces:,}.")
    say_instead(INDEX_KEY)
    with foldable(FOLDED, "filter"):
        wanted = _ask_filter(shown)
    rows = _filtered(shown, wanted)
    if not rows:
        st.info("No trace of this set has all that. Empty a filter above to see more.", icon=":material/search:")
        st.button("Empty all filters", on_click=_empty_filters)
        return None
    places = {row.index: place for place, row in enumerate(rows)}
    if st.session_state.get(INDEX_KEY) not in places:
        st.session_state[INDEX_KEY] = rows[0].index
    place = places[st.session_state[INDEX_KEY]]
    _draw_steps(rows, place)
    with foldable(FOLDED, "list"):
        _draw_table(rows, place, (shown.set_id, wanted))
    index: int = st.session_state[INDEX_KEY]
    return index


def _ask_filter(shown: TraceSet) -> TraceFilter:
    rows = workbench().trace_sets.rows(shown.set_id)
    text = st.text_input(
        "Search", key=TEXT_KEY, persist_state="session", placeholder="In question and text", icon=":material/search:"
    )
    put(LABELS_KEY, [name for name in st.session_state.get(LABELS_KEY, []) if name in shown.counts])
    labels = st.multiselect(
        "With parts labelled",
        list(shown.counts),
        key=LABELS_KEY,
        persist_state="session",
        placeholder="Any label",
        help="Traces that have at least one part of each. Choose backtracking to see those with such events.",
    )
    sources = sorted({row.source for row in rows})
    source = _ALL
    if len(sources) > 1:
        if st.session_state.get(SOURCE_KEY) not in sources:
            st.session_state.pop(SOURCE_KEY, None)
        source = st.selectbox("Source", [_ALL, *sources], key=SOURCE_KEY)
    return TraceFilter(text=text or "", labels=tuple(labels), source="" if source == _ALL else source)


def _filtered(shown: TraceSet, wanted: TraceFilter) -> tuple[TraceRow, ...]:
    """The rows that the filter keeps; a search is done once, not at every redraw."""
    asked = (shown.set_id, shown.digest, wanted)
    kept: tuple[object, tuple[TraceRow, ...]] | None = st.session_state.get(_FOUND)
    if kept is None or kept[0] != asked:
        with st.spinner("Searching the set…", show_time=True):
            kept = (asked, filter_rows(workbench().trace_sets, shown.set_id, wanted))
        st.session_state[_FOUND] = kept
    return kept[1]


def _draw_steps(rows: tuple[TraceRow, ...], place: int) -> None:
    steps = (("‹ Previous", place - 1), ("Next ›", place + 1))
    row = st.container(horizontal=True)
    for label, at in steps:
        there = 0 <= at < len(rows)
        row.button(
            label,
            key=f"traces:step:{label}",
            disabled=not there,
            on_click=_go,
            args=(rows[at].index if there else None,),
            width="stretch",
        )


def _draw_table(rows: tuple[TraceRow, ...], place: int, asked: tuple[str, TraceFilter]) -> None:
    first = max(0, min(place - MAX_ROWS // 2, len(rows) - MAX_ROWS))
    listed = rows[first : first + MAX_ROWS]
    label = str(st.session_state.get(EVENT_LABEL_KEY))
    marked: Any = {"selection": {"rows": [place - first], "columns": [], "cells": []}}
    key = f"traces_table:{hash(asked)}:{st.session_state.get(_JUMPS, 0)}"
    st.dataframe(
        {
            "events": [row.counts.get(label, 0) for row in listed],
            "question": [row.title for row in listed],
            "parts": [sum(row.counts.values()) for row in listed],
            "characters": [row.n_characters for row in listed],
            "id": [row.trace_id for row in listed],
        },
        hide_index=True,
        height=420 if len(listed) > 10 else "content",
        key=key,
        on_select=lambda: _take(key, listed),
        selection_mode="single-row-required",
        selection_default=marked,
        column_config={
            "question": st.column_config.TextColumn(width="medium"),
            "events": st.column_config.NumberColumn(width=58, help="Parts with the event label of the reader."),
            "parts": st.column_config.NumberColumn(width=55),
            "characters": st.column_config.NumberColumn(format="localized", width=85),
        },
        alt="The traces that the filters keep; a click on a row shows it",
    )
    some = f"; rows {first + 1:,} to {first + len(listed):,} are listed" if len(rows) > len(listed) else ""
    st.caption(f"Trace {place + 1:,} of {len(rows):,}{some}")


def _take(key: str, listed: tuple[TraceRow, ...]) -> None:
    chosen = st.session_state[key]["selection"]["rows"]
    if chosen and chosen[0] < len(listed):
        st.session_state[INDEX_KEY] = listed[chosen[0]].index


def _go(index: int) -> None:
    """Show another trace; the table is drawn anew, with its row marked."""
    st.session_state[INDEX_KEY] = index
    st.session_state[_JUMPS] = st.session_state.get(_JUMPS, 0) + 1


def _empty_filters() -> None:
    st.session_state.update({TEXT_KEY: "", LABELS_KEY: []})
    st.session_state.pop(SOURCE_KEY, None)
