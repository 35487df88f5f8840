"""Which labelled traces an extraction reads: a set of the Traces page, or a file in the project's own form."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from core.errors import BadInput, UserFacingError
from core.traces.records import TraceReport, parse_traces
from core.traces.set_files import EMBEDDED, TraceSet
from core.values import Trace
from ui.components.safe_text import plain, show_error, size, tried
from ui.shell.frame import page_path
from ui.shell.state import workbench

MAX_TRACE_FILE_MB = 50
KEY = "extraction:"
_EMBEDDED, _SAVED, _UPLOAD = "Embedded traces", "A saved set", "Upload a file"


def ask_traces() -> tuple[Trace, ...]:
    """The chosen traces; none, with the next step said, while there is nothing to extract from."""
    sets = [found for found in workbench().trace_sets.list() if not found.embedded]
    choices = [_EMBEDDED, _SAVED, _UPLOAD] if sets else [_EMBEDDED, _UPLOAD]
    if st.session_state.get(f"{KEY}traces") not in choices:
        st.session_state[f"{KEY}traces"] = _EMBEDDED
    choice = st.segmented_control(
        "Labelled traces",
        choices,
        required=True,
        key=f"{KEY}traces",
        persist_state="session",
        label_visibility="collapsed",
    )
    if choice == _UPLOAD:
        return _uploaded()
    return _load(EMBEDDED) if choice == _EMBEDDED else _saved(sets)


def _load(set_id: str) -> tuple[Trace, ...]:
    try:
        found = workbench().trace_sets.load(set_id)
        if found:
            return found
    except UserFacingError as error:
        if set_id != EMBEDDED:
            show_error(error)
            return ()
    st.info("No traces come with this copy of Retrace. Choose **Upload a file** above.", icon=":material/description:")
    return ()


def _saved(sets: Sequence[TraceSet]) -> tuple[Trace, ...]:
    by_id = {found.set_id: found for found in sets}
    if st.session_state.get(f"{KEY}set") not in by_id:
        st.session_state[f"{KEY}set"] = sets[0].set_id
    picked, link = st.columns([4, 1], vertical_alignment="bottom")
    set_id = picked.selectbox(
        "Trace set",
        list(by_id),
        format_func=lambda i: f"{by_id[i].name} · {by_id[i].n_traces:,} traces",
        key=f"{KEY}set",
        persist_state="session",
    )
    with link:
        st.page_link(page_path("traces"), label="Read and label them", icon=":material/edit_note:")
    return _load(set_id)


def _uploaded() -> tuple[Trace, ...]:
    file = st.file_uploader(
        "Traces as JSON Lines",
        type=["jsonl", "json", "txt"],
        key=f"{KEY}file",
        max_upload_size=MAX_TRACE_FILE_MB,
        help='One object per line: {"prompt": …, "text": …, "parts": [{"label": …, "start": …, "end": …}]}, where '
        "start and end count characters of the text, end not included. Other forms are imported on the Traces page.",
    )
    kept: tuple[str, TraceReport] | None = st.session_state.get(f"{KEY}report")
    if file is not None and (kept is None or kept[0] != file.file_id):
        report = _parse(file.getvalue(), file.name)
        kept = (file.file_id, report) if report else kept
        if kept and report:
            st.session_state[f"{KEY}report"] = kept
    if kept is None:
        st.info(
            "Upload a file with one trace per line. An example of a line is below; start and end count characters.",
            icon=":material/description:",
        )
        st.code(
            '{"prompt": "What is 2 + 3?", "text": "It is 6. Wait, that is wrong.", '
            '"parts": [{"label": "backtracking", "start": 9, "end": 29}]}',
            language=None,
            wrap_lines=True,
        )
        return ()
    _report(kept[1])
    return kept[1].traces


def _parse(data: bytes, name: str) -> TraceReport | None:
    if len(data) > MAX_TRACE_FILE_MB << 20:
        show_error(
            BadInput(f"The file is {size(len(data))} large.", f"Split it: {MAX_TRACE_FILE_MB} MB are read at once.")
        )
        return None
    return tried(lambda: parse_traces(data, source=name))


def _report(report: TraceReport) -> None:
    source = report.traces[0].source
    st.caption(f"{len(report.traces):,} traces of {plain(source, 80)} are in use.")
    if report.problems or report.bad_parts:
        _list_problems(report.problems, report.bad_parts)


def _list_problems(lines: Sequence[str], parts: Sequence[str]) -> None:
    with st.expander(f"Lines left out: {len(lines):,}, parts left out: {len(parts):,}", icon=":material/warning:"):
        st.dataframe({"line and reason": [*lines, *parts]}, hide_index=True)
