"""The history on the page: search, open, pin, note and delete comparisons and single runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import streamlit as st

from core.disk import codec
from core.runs.history import MAX_NOTE, ComparisonEntry, HistoryEntry, RunRecord, holds, run_id_of, search
from core.runs.values import GenerationSpec
from ui.components.safe_text import done, plain, seconds
from ui.playground.forks import MAX_OPEN, open_runs
from ui.playground.plan import subtitle_of, title_of
from ui.shell.recorded import came_from
from ui.shell.state import guest, workbench

PER_PAGE = 10
SHOWN = 120
COMPARISONS, RUNS = "comparisons", "runs"
LISTED = {COMPARISONS: "Comparisons", RUNS: "Single runs"}


def draw_history() -> None:
    """What was run side by side, and every single run; pinned ones first. What is chosen opens as lanes."""
    entries = workbench().history.entries()
    if not entries:
        st.info(
            "The speaker has pinned no run yet."
            if guest()
            else "No run has been kept yet. Press **Run** under Lanes: every finished run appears here.",
            icon=":material/folder_open:",
        )
        return
    asked = workbench().comparisons.entries()
    with st.container(horizontal=True, vertical_alignment="center"):
        listed = st.segmented_control(
            "Listed",
            list(LISTED),
            default=COMPARISONS if asked else RUNS,
            format_func=LISTED.__getitem__,
            required=True,
            key="pg_listed",
            persist_state="session",
            label_visibility="collapsed",
            width="content",
            help="A comparison is what one press on Run wrote side by side. Single runs are those of strips, prompt "
            "sets, forks and Home too.",
        )
        words = st.text_input(
            "Search",
            key="pg_search",
            placeholder="words of a question, a text, a note or a direction",
            label_visibility="collapsed",
        )
    if listed == RUNS:
        _draw_runs(entries, words)
    else:
        _draw_comparisons(asked, words)


def _draw_comparisons(asked: Sequence[ComparisonEntry], words: str) -> None:
    there = [(entry, records) for entry in asked if (records := workbench().comparisons.records(entry.comparison))]
    found = [(entry, records) for entry, records in there if _holds(records, words)]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        page = _ask_page(len(found), "pg_comparisons_page")
        st.caption(f"{len(found)} of {len(there)} comparisons")
    if not found:
        st.info(
            "No comparison holds all of these words. Search for fewer."
            if there
            else "No lanes have been run side by side yet; what was run alone is under **Single runs**.",
            icon=":material/manage_search:",
        )
    for entry, records in found[page * PER_PAGE : (page + 1) * PER_PAGE]:
        _draw_comparison(entry, records)


def _holds(records: Sequence[RunRecord], words: str) -> bool:
    """Whether one of the runs holds all of the words."""
    return any(holds(record, words) for record in records)


def _draw_comparison(entry: ComparisonEntry, records: Sequence[RunRecord]) -> None:
    comparison, generations = entry.comparison, [record.generation for record in records]
    name = comparison.comparison_id
    with st.container(border=True):
        words, acts = st.columns([10, 5], vertical_alignment="center")
        mark = ":material/push_pin: " if entry.pinned else ""
        lanes = [f"{plain(title_of(one.spec))} ({plain(subtitle_of(one.spec))})" for one in generations]
        words.markdown(f"{mark}**{plain(comparison.question, SHOWN)}**  \n{' · '.join(lanes)}")
        notes = dict.fromkeys(record.note for record in records if record.note)
        gone = len(comparison.run_ids) - len(records)
        facts = [
            f"{len(records)} lane{'s' if len(records) > 1 else ''}",
            *([f"{gone} not finished or deleted"] if gone else []),
            f"{seconds(time.time() - entry.asked_at)} ago",
            *(f":material/edit_note: {plain(note, SHOWN)}" for note in notes),
        ]
        words.caption(" · ".join(facts))
        with acts, st.container(horizontal=True, horizontal_alignment="right", gap="small"):
            ids = [run_id_of(one.spec) for one in generations]
            st.button("Open", key=f"pg_compare:{name}", on_click=open_runs, args=(ids,), type="primary")
            if guest():
                return
            if st.button("Unpin" if entry.pinned else "Pin", key=f"pg_pin_all:{name}"):
                _change(lambda: workbench().comparisons.pin(generations, 0.0 if entry.pinned else time.time()))
            with st.popover("Delete"):
                st.markdown("The comparison leaves this list; its runs stay under **Single runs**.")
                if st.button("Delete this comparison", key=f"pg_forget:{name}", type="primary"):
                    _change(lambda: workbench().comparisons.delete(comparison))


def _ask_page(n: int, key: str) -> int:
    """Which page of n entries is shown, from 0."""
    n_pages = max(1, -(-n // PER_PAGE))
    return int(st.number_input(f"Page of {n_pages}", 1, n_pages, key=key, width=140)) - 1 if n_pages > 1 else 0


def _draw_runs(entries: list[HistoryEntry], words: str) -> None:
    found = search(entries, words)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        page = _ask_page(len(found), "pg_history_page")
        chosen = [entry for entry in found if st.session_state.get(f"pg_pick:{entry.run_id}")]
        st.button(
            f"Open {len(chosen)} side by side" if len(chosen) > 1 else "Open the chosen run",
            disabled=not 1 <= len(chosen) <= MAX_OPEN,
            on_click=open_runs,
            args=([entry.run_id for entry in chosen],),
            type="primary",
            key="pg_open_chosen",
            help=f"Choose one to {MAX_OPEN} runs, in the order of the list.",
        )
        st.caption(f"{len(found)} of {len(entries)} runs")
    if not found:
        st.info("No run holds all of these words. Search for fewer.", icon=":material/manage_search:")
    for entry in found[page * PER_PAGE : (page + 1) * PER_PAGE]:
        _draw_entry(entry)


def _draw_entry(entry: HistoryEntry) -> None:
    record, spec = entry.record, entry.record.generation.spec
    with st.container(border=True):
        pick, words, acts = st.columns([1, 10, 4], vertical_alignment="center")
        pick.checkbox("Choose", key=f"pg_pick:{entry.run_id}", label_visibility="collapsed")
        mark = ":material/push_pin: " if record.pinned_at else ""
        words.markdown(
            f"{mark}**{plain(title_of(spec))}** · {plain(subtitle_of(spec))}  \n"
            f"{plain(spec.prompt.question, SHOWN)}  \n:gray[{plain(record.generation.text, SHOWN)}]"
        )
        if record.note:
            words.caption(f":material/edit_note: {plain(record.note, SHOWN)}")
        origin = came_from("run", entry.run_id) or came_from("value", codec.key_of("generation", spec))
        facts = [f"{len(record.generation.token_ids)} tokens", f"{seconds(time.time() - entry.stored_at)} ago"]
        words.caption(" · ".join([*facts, *([plain(origin, 120)] if origin else [])]))
        with acts:
            _draw_acts(entry)


def _draw_acts(entry: HistoryEntry) -> None:
    generation, run_id, pinned = entry.record.generation, entry.run_id, entry.record.pinned_at > 0
    with st.container(horizontal=True, horizontal_alignment="right", gap="small"):
        st.button("Open", key=f"pg_show:{run_id}", on_click=open_runs, args=([run_id],))
        if guest():
            return
        if st.button("Unpin" if pinned else "Pin", key=f"pg_pin:{run_id}"):
            _change(lambda: workbench().history.pin(generation, 0.0 if pinned else time.time()))
        with st.popover("Note"):
            note = st.text_area("Note", entry.record.note, key=f"pg_note:{run_id}", max_chars=MAX_NOTE)
            if st.button("Save", key=f"pg_save:{run_id}"):
                _change(lambda: workbench().history.annotate(generation, note))
        with st.popover("Delete"):
            st.markdown("The run and its note are deleted; forks of it stay.")
            if st.button("Delete this run", key=f"pg_delete:{run_id}", type="primary"):
                _change(lambda: _forget(generation.spec, run_id))


def _forget(spec: GenerationSpec, run_id: str) -> None:
    workbench().history.delete(spec)
    st.session_state["pg_open"] = [other for other in st.session_state["pg_open"] if other != run_id]


def _change(action: Callable[[], None]) -> None:
    if done(action):
        st.rerun()
