"""The user's questions: a file, the questions of the traces, or the embedded ones; how many choose, how many report."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from core.embedded import example_questions, fresh_questions, recorded_place
from core.experiments.presets import NOT_FIXED, split
from core.experiments.values import Plan
from core.runs.questions import MAX_QUESTIONS, Example, QuestionList, read_questions
from core.values import Trace
from ui.components.safe_text import plain
from ui.experiments.widgets import kept

_READ = "exp:file:read"
_SOURCES = {
    "plan": "of the plan",
    "embedded": "embedded",
    "traces": "of the traces",
    "upload": "upload",
}
Halves = tuple[tuple[Example, ...], tuple[Example, ...]]


def ask_questions(base: Plan, traces: Sequence[Trace], *, is_given: bool, is_embedded: bool, key: str) -> Halves:
    """(those that choose, those that are reported). Raises BadInput where there are too few, or a file has none."""
    of_traces = tuple(Example(prompt=text) for text in dict.fromkeys(t.prompt for t in traces if t.prompt.strip()))
    is_known = base.fixed != NOT_FIXED and base.fixed == recorded_place(base.pair)
    embedded = fresh_questions() if is_known else example_questions("heldout")
    there = {"plan": is_given, "embedded": bool(embedded), "traces": len(of_traces) >= 4, "upload": True}
    names = {name: title for name, title in _SOURCES.items() if there[name]}
    usual = "plan" if is_given else "embedded" if is_embedded else "traces"
    source = st.segmented_control(
        "Questions",
        list(names),
        format_func=names.__getitem__,
        required=True,
        key=kept(f"{key}questions", usual if usual in names else next(iter(names)), among=names),
        persist_state="session",
        help="Asked of both models, in every arm with the same seeds. Layer, window and dose are chosen on one half "
        "of the questions and reported on the other.",
    )
    if source == "plan":
        st.caption(f"{len(base.choose)} choose layer, window and dose; {len(base.report)} others are reported.")
        return base.choose, base.report
    found = _uploaded() if source == "upload" else embedded if source == "embedded" else of_traces
    return _halves(found, base, key)


def _halves(found: Sequence[Example], base: Plan, key: str) -> Halves:
    n = len({example.prompt for example in found})
    left, right = st.columns(2)
    choose = left.number_input(
        "To choose on", 2, MAX_QUESTIONS, key=kept(f"{key}n_choose", len(base.choose)), persist_state="session"
    )
    report = right.number_input(
        "To report", 2, MAX_QUESTIONS, key=kept(f"{key}n_report", len(base.report)), persist_state="session"
    )
    halves = split(found, int(choose), int(report))
    if choose + report > n:
        st.caption(f"There are {n:,} different ones: {len(halves[0]):,} choose, {len(halves[1]):,} are reported.")
    return halves


def _uploaded() -> tuple[Example, ...]:
    """The questions of the chosen file; it stays chosen while the page is left."""
    file = st.file_uploader(
        "One question a line, JSON Lines or a JSON array, with “prompt” and maybe “answer”",
        type=["txt", "jsonl", "json"],
        key="exp:file",
    )
    if file is not None:
        _read(file)
    known: tuple[str, str, QuestionList] | None = st.session_state.get(_READ)
    if known is None:
        return ()
    _, name, read = known
    left_out = (
        f"; left out, as they hold no question: {len(read.problems):,}. {read.problems[0]}" if read.problems else ""
    )
    st.caption(plain(f"{name}: {len(read.questions):,} questions{left_out}", 400))
    return read.questions


def _read(file: UploadedFile) -> None:
    known = st.session_state.get(_READ)
    if known is None or known[0] != file.file_id:
        st.session_state.pop(_READ, None)
        st.session_state[_READ] = (file.file_id, file.name, read_questions(file.getvalue(), source=file.name))
