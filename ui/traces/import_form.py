"""Importing a file of traces: where it is, how far the import is, and what became of its parts."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import PurePath
from typing import BinaryIO

import streamlit as st

from core.errors import BadInput
from core.importing.data_folders import list_data_files, open_data_file
from core.importing.report import KINDS, MAX_LISTED, ImportReport
from core.settings import DATA_ROOTS, data_roots
from ui.components.safe_text import plain, size
from ui.shell.jobs import take_ended
from ui.shell.state import caller, guarded, workbench

SLOT = "traces:import"
FILE_KEY, PATH_KEY, NAME_KEY, WAY_KEY = "traces:file", "traces:path", "traces:name", "traces:way"
SUFFIXES = (".json", ".jsonl", ".ndjson", ".txt", ".md", ".log")
BOX_KEY = "traces:import_box"
"""Session key of a count that changes when the form is to be folded away."""
_UPLOAD, _PATH = "Upload a file", "From a data folder"
_HELP = (
    "A text between marks of reasoning such as `<think>` is the trace; without marks, a field named as reasoning, else "
    "the longest that reads so. A reference answer is none. Read as well: chat logs, stored answers of APIs, spans of "
    'annotation tools, annotated chains (`["label"]…["end-section"]` beside the original text), chunks with tags, this '
    "page's own export, and plain text, which is one trace unless lines of five or more = signs divide it. The report "
    "says which fields were read."
)


def finish_import() -> str | None:
    """The id of the set that an import has just made, once; while it runs, how far it is, with Stop."""
    snapshot = take_ended(SLOT)
    if snapshot is None:
        return None
    if snapshot.state == "cancelled":
        st.info("The import was stopped. Nothing of it was kept.", icon=":material/stop_circle:")
    return snapshot.result if snapshot.state == "done" else None


def draw_import() -> None:
    """The form."""
    way = st.segmented_control(
        "Where the file is",
        [_UPLOAD, _PATH],
        default=_UPLOAD,
        required=True,
        key=WAY_KEY,
        persist_state="session",
        label_visibility="collapsed",
    )
    if way == _PATH:
        _ask_path()
    else:
        _ask_upload()
    st.caption(_HELP)


def _ask_upload() -> None:
    file = st.file_uploader(
        f"A text file (JSON, JSON Lines or plain) of up to {st.get_option('server.maxUploadSize')} MB; larger ones can "
        "be read from a data folder",
        key=FILE_KEY,
    )
    if _ask_name(file.name if file else ""):
        _try_start(lambda: _start(io.BytesIO(file.getvalue()) if file else None, file.name if file else ""))


def _ask_path() -> None:
    if not data_roots():
        st.info(
            f"No data folder is set. Start Retrace with the environment variable {DATA_ROOTS} naming the folders, "
            "separated by colons, that files may be read from; or upload the file.",
            icon=":material/folder:",
        )
        return
    path = st.selectbox(
        "A file below a data folder, of up to 500 MB",
        list_data_files(SUFFIXES),
        index=None,
        format_func=_below_root,
        key=PATH_KEY,
        persist_state="session",
        accept_new_options=True,
        placeholder="Choose a file or type its path",
    )
    if _ask_name(path or ""):
        _try_start(lambda: _start(open_data_file(path) if path else None, path or ""))


def _below_root(path: str) -> str:
    """The path without its data root, for the list."""
    roots = (root for root in data_roots() if PurePath(path).is_relative_to(root))
    return next((str(PurePath(path).relative_to(root)) for root in roots), path)


def _ask_name(file_name: str) -> bool:
    """The set's name and the button; whether it was pressed."""
    left, right = st.columns([3, 1], vertical_alignment="bottom")
    left.text_input(
        "Name of the set", key=NAME_KEY, max_chars=120, placeholder=PurePath(file_name).stem or "The file's name"
    )
    return right.button("Import", key="traces:start", type="primary", width="stretch")


def _try_start(start: Callable[[], str]) -> None:
    """Start the import; its progress, or what prevented it, is shown above, so the form is folded away."""
    guarded(start, SLOT)
    st.session_state[BOX_KEY] = st.session_state.get(BOX_KEY, 0) + 1
    st.rerun()


def _start(file: BinaryIO | None, path: str) -> str:
    """Start the import job. Raises BadInput where no file was chosen."""
    if file is None:
        raise BadInput("No file was chosen.", "Choose one first, then press Import.")
    source = PurePath(path).name
    name = st.session_state.get(NAME_KEY) or PurePath(path).stem
    return workbench().import_traces(file, source=source, name=name, caller=caller())


def draw_report(report: ImportReport) -> None:
    """What became of a file, folded away: counts by kind, then the places."""
    n_left_out = sum(n for kind, n in report.kinds.items() if KINDS[kind][0] == "left out")
    title = f"Import report: {_counted(report.n_traces, 'trace')} from {_counted(report.n_records, 'record')}"
    if report.n_parts:
        title += f", {report.n_aligned:,} of {report.n_parts:,} parts placed"
    if report.n_cut:
        title += f"; {_counted(report.n_cut, 'character')} beside the reasoning left out"
    if report.n_answers:
        title += f"; {_counted(report.n_answers, 'answer')} without reasoning left out"
    with st.expander(title, icon=":material/fact_check:" if not n_left_out else ":material/report:"):
        forms = ", ".join(f"{n:,} as {form}" for form, n in report.forms.items())
        st.caption(f"{plain(report.source, 80)} · {size(report.n_bytes)} · {report.layout} · {forms}")
        _draw_fields(report)
        if not report.kinds:
            st.success(
                "Every record gave a trace, and every part has its place in the original.",
                icon=":material/check_circle:",
            )
            return
        st.dataframe(
            {
                "what": [KINDS[kind][1] for kind in report.kinds],
                "how many": list(report.kinds.values()),
                "result": [KINDS[kind][0] for kind in report.kinds],
            },
            hide_index=True,
            height="content",
            column_config={
                "what": st.column_config.TextColumn(width="large"),
                "how many": st.column_config.NumberColumn(format="localized", width="small"),
                "result": st.column_config.TextColumn(width="small"),
            },
            alt="What the import found, by kind",
        )
        _draw_places(report)


def _draw_fields(report: ImportReport) -> None:
    """Which field was read as what, for every record."""
    if not report.fields:
        return
    st.dataframe(
        {
            "question": [row.question or "–" for row in report.fields],
            "reasoning": [row.reasoning for row in report.fields],
            "labels": [row.labels or "–" for row in report.fields],
            "not read": [row.unread or "–" for row in report.fields],
            "traces": [row.n_traces for row in report.fields],
            "records": [row.records for row in report.fields],
        },
        hide_index=True,
        height="content" if len(report.fields) <= 6 else 260,
        column_config={"traces": st.column_config.NumberColumn(format="localized", width="small")},
        alt="The fields that were read, and of which records",
    )


def _counted(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def _draw_places(report: ImportReport) -> None:
    kinds = [kind for kind in report.kinds if any(problem.kind == kind for problem in report.problems)]
    kind = st.selectbox(
        "Places",
        kinds,
        format_func=lambda kind: f"{kind} · {report.kinds[kind]:,}",
        key="traces:places",
        help="Records count from 1, in a JSON Lines file by lines.",
    )
    places = [problem for problem in report.problems if problem.kind == kind]
    st.dataframe(
        {"record": [p.record for p in places], "reason": [p.reason for p in places]},
        hide_index=True,
        height="content" if len(places) <= 6 else 260,
        column_config={"record": st.column_config.NumberColumn(format="%d", width=70)},
        alt="Where it was found",
    )
    if report.kinds[kind] > len(places):
        st.caption(f"The first {MAX_LISTED} of {report.kinds[kind]:,} places.")
