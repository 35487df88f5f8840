"""The sets of traces: choosing one, its name, its deletion, and its export."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import datetime

import streamlit as st

from core.traces.queries import export_lines
from core.traces.set_files import TraceSet
from ui.components.safe_text import plain
from ui.shell.handoff import SET_KEY
from ui.shell.notice import attempt, show_failure
from ui.shell.state import workbench
from ui.traces.import_form import BOX_KEY, draw_import

_PLACE = "traces:set"
_OWN = "The set's own parts"


def choose_set(sets: list[TraceSet]) -> TraceSet:
    """The set that is shown, with the buttons that act on it."""
    by_id = {found.set_id: found for found in sets}
    if st.session_state.get(SET_KEY) not in by_id:
        st.session_state[SET_KEY] = sets[0].set_id
    left, add, export, manage = st.columns([5, 2, 2, 2], vertical_alignment="bottom")
    set_id = left.selectbox(
        "Trace set",
        list(by_id),
        format_func=lambda set_id: f"{by_id[set_id].name} · {by_id[set_id].n_traces:,} traces",
        key=SET_KEY,
        persist_state="session",
    )
    shown = by_id[set_id]
    box = f"{BOX_KEY}:{st.session_state.get(BOX_KEY, 0)}"
    with add.popover("Import", icon=":material/upload_file:", width="stretch", key=box):
        draw_import()
    with export.popover("Export", icon=":material/download:", width="stretch"):
        _draw_export(shown)
    with manage.popover("Manage", icon=":material/edit:", width="stretch"):
        _draw_manage(shown)
    show_failure(_PLACE)
    return shown


def draw_summary(shown: TraceSet) -> None:
    """One line: how much is in the set, and where it came from."""
    counts = ", ".join(f"{n:,} {plain(label, 40)}" for label, n in list(shown.counts.items())[:8])
    more = f" and {len(shown.counts) - 8} more labels" if len(shown.counts) > 8 else ""
    parts = f"{sum(shown.counts.values()):,} parts: {counts}{more}" if shown.counts else "no labelled parts yet"
    facts = [f"{shown.n_traces:,} traces", f"{shown.n_characters:,} characters", parts]
    if shown.n_edits:
        facts.append(f"{shown.n_edits:,} corrections")
    if not shown.embedded:
        moment = datetime.fromtimestamp(shown.saved_at).strftime("%d %b %Y %H:%M")
        facts.append(f"{plain(shown.form)} from {plain(shown.source, 60)}, {moment}")
    st.caption(" · ".join(facts))


def draw_broken(broken: list[str]) -> None:
    """The sets that cannot be read, each with the way to delete it."""
    for set_id in broken:
        text, button = st.columns([6, 2], vertical_alignment="center")
        text.warning(
            f"The saved set {set_id} is damaged. Delete it, and import its file again.", icon=":material/warning:"
        )
        button.button("Delete it", key=f"traces:broken:{set_id}", on_click=attempt, args=(_delete(set_id), _PLACE))


def _draw_export(shown: TraceSet) -> None:
    bench = workbench()
    names = [labelling.name for labelling in bench.trace_sets.labellings(shown.set_id)]
    choice = _OWN
    if names:
        choice = st.selectbox("Labels", [_OWN, *names], key=f"traces:export:{shown.set_id}")
    st.download_button(
        "Download JSON Lines",
        lambda: _joined(export_lines(bench.trace_sets, shown.set_id, labelling="" if choice == _OWN else choice)),
        file_name=f"{_file_stem(shown.name)}.jsonl",
        mime="application/jsonl",
        key=f"traces:download:{shown.set_id}",
        icon=":material/download:",
        on_click="ignore",
    )
    st.caption("One trace per line with its parts, corrections included. It can be imported again anywhere.")


def _draw_manage(shown: TraceSet) -> None:
    if shown.embedded:
        st.caption("The embedded traces stay, under this name. You can label and correct them all the same.")
        return
    key = f"traces:rename:{shown.set_id}"
    st.text_input("Name", value=shown.name, key=key, max_chars=120)
    rename = lambda: workbench().trace_sets.rename(shown.set_id, st.session_state[key])  # noqa: E731
    st.button("Rename", key=f"{key}:go", on_click=attempt, args=(rename, _PLACE), width="stretch")
    sure = st.checkbox("Delete it with its corrections and labellings", key=f"traces:sure:{shown.set_id}")
    st.button(
        "Delete the set",
        key=f"traces:delete:{shown.set_id}",
        disabled=not sure,
        on_click=attempt,
        args=(_delete(shown.set_id), _PLACE),
        width="stretch",
    )


def _delete(set_id: str) -> Callable[[], None]:
    return lambda: workbench().trace_sets.delete(set_id)


def _joined(lines: Iterable[bytes]) -> bytes:
    return b"".join(lines)


def _file_stem(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.")[:80] or "traces"
