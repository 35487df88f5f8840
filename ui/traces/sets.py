"""The sets of traces: choosing one, its name, its deletion, and its export."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

import streamlit as st

from core.traces.queries import export_lines
from core.traces.set_files import EMBEDDED, TraceSet
from core.traces.sets import UnreadableSet
from ui.components.first_screen import foldable
from ui.components.safe_text import plain
from ui.shell.handoff import INDEX_KEY, SET_KEY
from ui.shell.links import put_instead, say_instead
from ui.shell.notice import attempt, show_failure
from ui.shell.state import workbench
from ui.traces.import_form import BOX_KEY, draw_import

_PLACE = "traces:set"
_OWN = "The set's own parts"
FOLDED = "traces"
"""What a phone folds away: the sets, their list, and the settings of the text."""


def choose_set(sets: list[TraceSet]) -> TraceSet:
    """The set that is shown, with the buttons that act on it."""
    by_id = {found.set_id: found for found in sets}
    asked = st.session_state.get(SET_KEY)
    if asked is None:
        st.session_state[SET_KEY] = sets[0].set_id
    elif asked not in by_id:
        put_instead(
            SET_KEY, sets[0].set_id, "The trace set that was asked for is not on this machine; another is shown."
        )
        st.session_state[INDEX_KEY] = 0
    say_instead(SET_KEY)
    with foldable(FOLDED, "sets"):
        left, add, export, manage = st.columns([5, 2, 2, 2], vertical_alignment="bottom")
    set_id = left.selectbox(
        "Trace set",
        list(by_id),
        format_func=lambda set_id: f"{by_id[set_id].name} · {by_id[set_id].n_traces:,} traces",
        key=SET_KEY,
        on_change=_from_the_first,
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


def draw_unreadable(unreadable: Sequence[UnreadableSet]) -> None:
    """The sets that cannot be read, each with its reason; a damaged one can be deleted, which asks once more."""
    for found in unreadable:
        st.warning(f"{plain(found.error.problem)} {plain(found.error.remedy)}", icon=":material/warning:")
        if found.damaged and found.set_id != EMBEDDED:
            left, button = st.columns([6, 2], vertical_alignment="center")
            key = f"traces:broken:{found.set_id}"
            sure = left.checkbox("Delete it with its corrections and labellings", key=f"{key}:sure")
            delete = _delete(found.set_id)
            button.button(
                "Delete it", key=key, disabled=not sure, on_click=attempt, args=(delete, _PLACE), width="stretch"
            )


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


def _from_the_first() -> None:
    put_instead(INDEX_KEY, 0, "")


def _delete(set_id: str) -> Callable[[], None]:
    def delete() -> None:
        workbench().trace_sets.delete(set_id)
        if st.session_state.get(SET_KEY) == set_id:
            st.session_state[SET_KEY] = None
            _from_the_first()

    return delete


def _joined(lines: Iterable[bytes]) -> bytes:
    return b"".join(lines)


def _file_stem(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.")[:80] or "traces"
