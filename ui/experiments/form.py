"""A new experiment: its settings become a plan; what the plan takes and what is wrong with it stand beside Run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.embedded import recorded_place
from core.errors import UserFacingError
from core.experiments.check import Cost, check_directions, check_plan, check_prompts
from core.experiments.folder import MAX_TITLE
from core.experiments.plans import plan_id
from core.experiments.presets import ALL_FIGURES, BEYOND, NOT_FIXED, paper_plan
from core.experiments.values import Figure, Plan, TraceSource
from core.experiments.words import TITLES
from core.models.pair import DEMO_PAIR, Role
from core.runs.questions import Example
from core.text.lines import kept_line
from core.traces.events import BACKTRACKING
from core.values import PairSpec, Trace
from ui.components.safe_text import plain, seconds, size
from ui.experiments.cluster import ask_cluster
from ui.experiments.details import ask_details
from ui.experiments.opened import live_job, name_of, run, running_id
from ui.experiments.questions import ask_questions
from ui.experiments.source import Pair, Source, ask_source, keep_recorded
from ui.experiments.widgets import kept
from ui.shell.handoff import PLANNED, open_experiment
from ui.shell.state import workbench

QUICK, PAPER, GIVEN = "quick", "paper", "given"
START_KEY = "exp:start"
RUN_KEY = "exp:run"
_STARTS = {QUICK: "Quick look", PAPER: "Whole paper"}
_QUICK_FIGURES: tuple[Figure, ...] = ("fig3", "fig4")
_SAMPLE = tuple(Example(prompt=f"{i}") for i in range(400))
"""Stands for questions while the defaults are looked up, in the numbers that the presets take."""


def draw_form(facts: Pair) -> None:
    """The presets and Run on top, the choices that matter below, all others in an expander."""
    _say_running()
    bar = st.container(horizontal=True, vertical_alignment="center", gap="medium")
    line = st.container()
    start = _ask_start(bar)
    try:
        plan, traces = _ask_plan(start, facts)
        cost = look_at(plan, traces, facts)
        ask_cluster()
    except UserFacingError as error:
        _draw_run(bar, None)
        line.error(f"{plain(error.problem)} {plain(error.remedy)}", icon=":material/block:")
        return
    _draw_run(bar, plan)
    line.caption(f"{cost_line(cost)}. What is measured is kept; Stop loses at most one block.")


def _ask_start(bar: DeltaGenerator) -> str:
    given: Plan | None = st.session_state.get(PLANNED)
    names = dict(_STARTS) | ({GIVEN: f"As “{plain(name_of(given), 40)}”"} if given is not None else {})
    if st.session_state.get(f"{START_KEY}:of") != given:
        st.session_state[f"{START_KEY}:of"] = given
        st.session_state[START_KEY] = QUICK if given is None else GIVEN
    return str(
        bar.segmented_control(
            "Begin as",
            list(names),
            format_func=names.__getitem__,
            required=True,
            key=kept(START_KEY, QUICK, among=names),
            label_visibility="collapsed",
            persist_state="session",
        )
    )


def _ask_plan(start: str, facts: Pair) -> tuple[Plan, tuple[Trace, ...]]:
    """What the form says now. Raises BadInput where it says nothing that could be run."""
    given: Plan | None = st.session_state.get(PLANNED) if start == GIVEN else None
    is_embedded = facts[1].spec.repo_id == DEMO_PAIR.reasoner.repo_id
    key = f"exp:{start}:{plan_id(given)[:8]}:" if given is not None else f"exp:{start}:"
    with st.container(border=True):
        left, right = st.columns(2, gap="large")
        with left:
            source = ask_source(facts, given, is_embedded=is_embedded)
        base = _base_of(start, given, source, facts)
        with right:
            halves = ask_questions(base, source.read, is_given=given is not None, is_embedded=is_embedded, key=key)
            title = st.text_input(
                "Title (optional)", key=kept(f"{key}title", base.title), max_chars=MAX_TITLE, persist_state="session"
            )
        figures = _ask_figures(base, key, from_traces=source.saved is None)
    plan = replace(
        base,
        title=kept_line(title, MAX_TITLE),
        figures=figures,
        traces=source.traces,
        label=source.label,
        saved=source.saved,
        choose=halves[0],
        report=halves[1],
    )
    with st.expander("Windows, layers, doses, sampling and controls", icon=":material/tune:"):
        return ask_details(plan, facts[1], key), source.read


def _base_of(start: str, given: Plan | None, source: Source, facts: Pair) -> Plan:
    """The plan that all settings begin as."""
    if given is not None:
        return replace(given, fingerprints=(facts[0].fingerprint, facts[1].fingerprint))
    figures = _QUICK_FIGURES if start == QUICK else ALL_FIGURES
    pair = PairSpec(base=facts[0].spec, reasoner=facts[1].spec)
    is_known = start == QUICK and source.traces.kind == "embedded" and source.label == BACKTRACKING
    return paper_plan(
        facts,
        source.traces,
        _SAMPLE,
        quick=start == QUICK,
        figures=figures,
        labels=source.labels or (),
        fixed=recorded_place(pair) if is_known else NOT_FIXED,
    )


def _ask_figures(base: Plan, key: str, *, from_traces: bool) -> tuple[Figure, ...]:
    known = (*ALL_FIGURES, *BEYOND)
    offered = [figure for figure in known if from_traces or figure in ("fig3", "fig4", "fig5")]
    picked: Sequence[Figure] = st.pills(
        "Figures",
        offered,
        selection_mode="multi",
        format_func=lambda figure: TITLES[figure],
        key=kept(f"{key}figures:{from_traces}", [figure for figure in base.figures if figure in offered]),
        persist_state="session",
    )
    return tuple(figure for figure in known if figure in picked)


def look_at(plan: Plan, traces: Sequence[Trace], facts: Pair) -> Cost:
    """What the plan takes, looked at once for each plan. Raises what is wrong with it."""
    asked = (plan_id(plan), facts[0].fingerprint, facts[1].fingerprint)
    known: tuple[object, Cost | UserFacingError] | None = st.session_state.get("exp:looked")
    if known is None or known[0] != asked:
        known = st.session_state["exp:looked"] = (asked, _looked(plan, traces, facts))
    found = known[1]
    if isinstance(found, UserFacingError):
        raise found
    return found


def _looked(plan: Plan, traces: Sequence[Trace], facts: Pair) -> Cost | UserFacingError:
    bench = workbench()
    try:
        check_plan(plan, facts)
        check_prompts(plan, bench.pair.encode)
        keep_recorded(plan.saved, facts)
        ids: dict[Role, str] = {"base": plan.saved.base, "reasoner": plan.saved.reasoner} if plan.saved else {}
        check_directions(plan, {role: bench.directions.load(i) for role, i in ids.items() if i}, traces, facts)
        return bench.cost(plan, traces)
    except UserFacingError as error:
        return error


def cost_line(cost: Cost) -> str:
    """What a plan takes at most, in one line."""
    time = f" · about {seconds(sum(cost.seconds.values()))}" if cost.seconds else ""
    unknown = "" if cost.seconds else "; how long is measured by the first of them"
    memory = f" · up to {size(cost.memory_bytes)} of memory for a block" if cost.memory_bytes else ""
    return (
        f"At most {cost.points:,} points in {cost.cells:,} blocks of questions · {cost.tokens:,} new tokens{time} · "
        f"{size(cost.disk_bytes)} on disk{memory}{unknown}"
    )


def _say_running() -> None:
    """That an experiment is being measured, which Run would stop, and the way to it."""
    if live_job() is None:
        return
    text, button = st.columns([5, 1], vertical_alignment="center")
    text.info(
        "An experiment is being measured. **Run** would stop it; what it has is kept.", icon=":material/hourglass_top:"
    )
    button.button("Show it", key="exp:show", width="stretch", on_click=open_experiment, args=(running_id(),))


def _draw_run(bar: DeltaGenerator, plan: Plan | None) -> None:
    bar.button(
        "Run",
        type="primary",
        icon=":material/play_arrow:",
        width=180,
        key=RUN_KEY,
        disabled=plan is None,
        on_click=run,
        args=(plan,),
    )


def traces_of(source: TraceSource) -> tuple[Trace, ...]:
    """The traces of a kept plan, for what it takes; () where they are not there any more."""
    try:
        return workbench().trace_sets.load(source.name) if source.kind in ("embedded", "set") else ()
    except UserFacingError:
        return ()
