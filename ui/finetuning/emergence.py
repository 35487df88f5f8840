"""When the base model's direction begins to act: measured over the checkpoints of a finetune, drawn, exported."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import streamlit as st

from core.embedded import example_questions
from core.experiments.values import TraceSource
from core.finetuning.folder import RunFolder
from core.finetuning.values import Finetuned
from core.models.pair import DEMO_PAIR
from core.runs.questions import Example
from core.series.checkpoints import LEAST, checkpoint_plan, checkpoint_series
from core.series.jobs import KIND, SeriesCost
from core.series.values import Series, SeriesPlan
from core.series.words import emergence_sentence
from core.traces.events import BACKTRACKING, digest_of
from core.traces.set_files import TraceSet
from core.values import Trace
from ui.components.safe_text import done, plain, seconds, size, tried
from ui.finetuning.curves import MAX_SENTENCE, draw_curves, draw_files
from ui.shell.jobs import take_ended
from ui.shell.state import caller, guarded, guest, take_over, workbench

SLOT = "job:emergence"
LIVE_EVERY = 2.0
"""Seconds after which the curves of a running series are drawn again."""
QUICK, FULL = "Quick look", "Full"


def draw_running() -> None:
    """The series that is being measured, if any, or how the last one ended."""
    take_over(SLOT, KIND)
    ended = take_ended(SLOT)
    if ended is not None and ended.state == "done":
        st.success("The checkpoints are measured; the curves stand with their finetune below.", icon=":material/check:")
    if ended is not None and ended.state == "cancelled":
        st.info("Stopped; what is measured is kept. **Measure** below goes on from there.", icon=":material/pause:")
    job_id = st.session_state.get(SLOT, "")
    if job_id:
        _draw_live(job_id)


@st.fragment(run_every=LIVE_EVERY)
def _draw_live(job_id: str) -> None:
    snapshot = workbench().engine.snapshot(job_id)
    found = snapshot.progress.partial if snapshot is not None else None
    if isinstance(found, Series):
        st.caption(f"The checkpoints of {plain(found.plan.title)}. You can close the browser meanwhile.")
        draw_curves(found, key="live")


def draw_emergence_of(one: Finetuned, *, anything_runs: bool) -> None:
    """Of a finetune with checkpoints: the curves that are kept, and the button that measures them."""
    n = len(RunFolder(Path(one.folder)).checkpoints())
    if n < LEAST:
        return
    kept = kept_of(one)
    title = "When does the base model's direction begin to act?"
    if not st.toggle(title, value=bool(kept), key=f"emergence:{one.folder}"):
        return
    form = st.container()
    if kept:
        _draw_kept(one, kept)
    if not guest():
        with form:
            done(lambda: _draw_form(one, n, anything_runs=anything_runs))


def kept_of(one: Finetuned) -> list[tuple[str, SeriesPlan]]:
    """Id and plan of the series on this finetune's checkpoints, the newest first."""
    own = f"{one.folder}/"
    return [
        (found.series_id, found.plan)
        for found in workbench().series.list()
        if found.plan.one_place and (found.plan.members[0].pair.reasoner.adapter or "").startswith(own)
    ]


def _draw_form(one: Finetuned, n: int, *, anything_runs: bool) -> None:
    st.caption(
        f"One experiment on each of the {n} checkpoints, the first of which has learned nothing yet: the direction is "
        "extracted from the base model once, its layer, window and dose are chosen once, on the last checkpoint, and "
        "it is held against the unsteered text and the controls at every one."
    )
    left, middle, right = st.columns([3, 2, 2], vertical_alignment="bottom")
    with left:
        shown = _ask_traces(one)
    form = middle.segmented_control(
        "How much", [QUICK, FULL], default=QUICK, required=True, key=f"emergence:form:{one.folder}"
    )
    if shown is None:
        st.caption("It needs traces with labels: the events at whose place the direction is read.")
        return
    asked = tried(lambda: _asked(one, shown, quick=form == QUICK, n=n))
    if asked is None:
        return
    series, cost = asked
    running = anything_runs or any(job.kind == KIND for job in workbench().engine.live())
    begun = right.button(
        "Measure",
        type="primary",
        icon=":material/timeline:",
        width="stretch",
        disabled=running,
        key=f"emergence:go:{one.folder}",
    )
    st.caption(_cost_line(cost))
    if begun and guarded(lambda: workbench().series.run(series, caller()), SLOT):
        st.rerun()


def _ask_traces(one: Finetuned) -> TraceSet | None:
    """A labelled set, by default the one that was learned from."""
    sets = {found.set_id: found for found in workbench().trace_sets.list() if found.counts.get(BACKTRACKING)}
    order = sorted(sets, key=lambda set_id: sets[set_id].name != one.spec.traces)
    if not order:
        return None
    chosen = st.selectbox(
        "Traces that the direction is read from",
        order,
        format_func=lambda set_id: f"{sets[set_id].name} · {sets[set_id].counts[BACKTRACKING]:,} events",
        key=f"emergence:set:{one.folder}",
    )
    return sets.get(str(chosen))


def _asked(one: Finetuned, shown: TraceSet, *, quick: bool, n: int) -> tuple[SeriesPlan, SeriesCost]:
    """The series of this form and what it takes; found once. Raises UserFacingError."""
    key, asked = f"emergence:asked:{one.folder}", (shown.set_id, shown.digest, quick, n)
    known, found = st.session_state.get(key, (None, None))
    if known != asked or found is None:
        traces = workbench().trace_sets.load(shown.set_id)
        labels = sorted(shown.counts)
        source = TraceSource(kind="embedded" if shown.embedded else "set", name=shown.set_id, digest=digest_of(traces))
        run = RunFolder(Path(one.folder))
        plan = checkpoint_plan(run, source, _questions(one, traces), quick=quick, labels=labels)
        found = checkpoint_series(run, plan)
        st.session_state[key] = (asked, found)
    return found, workbench().series.cost(found, n_labels=len(shown.counts))


def _questions(one: Finetuned, traces: Sequence[Trace]) -> tuple[Example, ...]:
    """Of the embedded base model those held out of its training; of others those of the traces."""
    if one.spec.base.repo_id == DEMO_PAIR.base.repo_id:
        return example_questions("heldout")
    return tuple(Example(prompt=prompt) for prompt in dict.fromkeys(t.prompt for t in traces if t.prompt.strip()))


def _cost_line(cost: SeriesCost) -> str:
    time = f" · about {seconds(cost.seconds)} on this machine" if cost.seconds else ""
    unknown = "" if cost.seconds else "; how long is measured by the first block"
    return (
        f"At most {cost.points:,} points · {cost.tokens:,} new tokens{time} · {size(cost.disk_bytes)} on disk{unknown}."
        " What is measured is kept; Stop loses at most one block."
    )


def _draw_kept(one: Finetuned, kept: Sequence[tuple[str, SeriesPlan]]) -> None:
    plans = dict(kept)
    ids = list(plans)
    chosen = ids[0]
    if len(ids) > 1:
        chosen = st.selectbox(
            "Measured", ids, format_func=lambda found: _name(plans[found]), key=f"emergence:kept:{one.folder}"
        )
    found = workbench().series.load(plans[chosen])
    st.markdown(plain(emergence_sentence(found), MAX_SENTENCE))
    draw_curves(found, key=chosen)
    with draw_files(found, key=chosen):
        if not guest():
            key = f"emergence:delete:{chosen}"
            st.button("Delete", icon=":material/delete:", key=key, on_click=_delete, args=(chosen,))


def _name(series: SeriesPlan) -> str:
    plan = series.plan
    return f"{len(series.members)} checkpoints, {len(plan.report)} questions, {plan.sampling.max_new_tokens} tokens"


def _delete(series_id: str) -> None:
    done(lambda: workbench().series.delete(series_id))
