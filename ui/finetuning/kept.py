"""The finetunes of this machine: load a finished one as a pair, go on with a stopped one, delete."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from core.errors import BadInput
from core.finetuning.folder import RunFolder
from core.finetuning.jobs import KIND
from core.finetuning.values import Finetuned
from core.traces.events import digest_of
from core.values import PairSpec, Trace
from ui.components.safe_text import done, plain, seconds
from ui.figures.training import training_html
from ui.finetuning.course import draw_course
from ui.finetuning.emergence import draw_emergence_of, kept_of
from ui.finetuning.form import SLOT
from ui.shell.state import LOAD_SLOT, caller, guarded, workbench

DELETE_KEY = "finetune:delete"


def draw_kept() -> None:
    """A card for each, the latest first."""
    found = workbench().finetunes.list()
    if not found:
        st.caption("Finetunes appear here, finished and stopped ones.")
    running = {job.title for job in workbench().engine.live() if job.kind == KIND}
    for one in found:
        _draw_one(one, is_first=one is found[0], anything_runs=bool(running))


def _draw_one(one: Finetuned, *, is_first: bool, anything_runs: bool) -> None:
    course, steps = one.course, one.spec.recipe.steps
    state = "finished" if one.finished else f"{course.step} of {steps} steps"
    with st.expander(
        f"**{plain(one.spec.name)}** · {plain(one.spec.base.name)} on {plain(one.spec.traces)} · {state}",
        expanded=is_first and not anything_runs,
        icon=":material/check_circle:" if one.finished else ":material/pause_circle:",
    ):
        if not course.n_traces and one.finished:
            st.caption("This adapter was trained elsewhere.")
            _draw_actions(one, anything_runs=anything_runs)
            return
        st.caption(
            f"{course.n_traces:,} traces, {course.n_tokens:,} tokens of reasoning; {course.n_held_out} held out, "
            f"{course.n_left_out} left out · rank {one.spec.recipe.rank}, rate {one.spec.recipe.rate:g}, seed "
            f"{one.spec.recipe.seed} · {seconds(course.seconds)} of training"
        )
        draw_course(course, key=one.folder)
        st.download_button(
            "Report",
            lambda: training_html(one, fingerprint=_fingerprint(one)).encode(),
            file_name=f"{one.spec.name}.html",
            mime="text/html",
            on_click="ignore",
            icon=":material/download:",
            key=f"report:{one.folder}",
            help="Losses, sample texts and the recipe as one page that opens offline.",
        )
        _draw_actions(one, anything_runs=anything_runs)
        if one.finished:
            draw_emergence_of(one, anything_runs=anything_runs)


def _draw_actions(one: Finetuned, *, anything_runs: bool) -> None:
    first, second, _ = st.columns([2, 2, 5])
    if one.finished:
        if first.button("Load this pair", key=f"load:{one.folder}", type="primary", width="stretch"):
            _load(one.pair)
    elif first.button("Go on", key=f"on:{one.folder}", type="primary", disabled=anything_runs, width="stretch"):
        done(lambda: _go_on(one))
    if second.button("Delete", key=f"delete:{one.folder}", disabled=anything_runs, width="stretch"):
        st.session_state[DELETE_KEY] = one.folder
    if st.session_state.get(DELETE_KEY) == one.folder:
        st.warning("Its adapter, checkpoints, losses and curves are deleted for good.", icon=":material/delete:")
        if st.button("Delete for good", key=f"sure:{one.folder}"):
            st.session_state.pop(DELETE_KEY)
            if done(lambda: _delete(one)):
                st.rerun()


def _fingerprint(one: Finetuned) -> str:
    record = RunFolder(Path(one.folder)).record()
    return record.fingerprint if record else ""


def _delete(one: Finetuned) -> None:
    """The finetune with its checkpoints, and what was measured over them."""
    found = kept_of(one)
    workbench().finetunes.delete(one.folder)
    for series_id, _ in found:
        workbench().series.delete(series_id)


def _load(pair: PairSpec) -> None:
    if guarded(lambda: workbench().load_pair(pair, caller()), LOAD_SLOT):
        st.session_state["pair"] = pair
        st.rerun()


def _go_on(one: Finetuned) -> None:
    traces = _traces(one)
    if guarded(lambda: workbench().finetunes.run(one.spec, traces, caller()), SLOT):
        st.rerun()


def _traces(one: Finetuned) -> tuple[Trace, ...]:
    """The set that it learns from, whatever it is called now. Raises BadInput where none holds these traces."""
    sets = workbench().trace_sets
    for found in sorted(sets.list(), key=lambda found: found.name != one.spec.traces):
        traces = sets.load(found.set_id)
        if digest_of(traces) == one.spec.traces_digest:
            return traces
    raise BadInput(
        f"No set of traces is the one that {one.spec.name!r} was begun with.",
        f"Import the traces {one.spec.traces!r} again, unchanged.",
    )
