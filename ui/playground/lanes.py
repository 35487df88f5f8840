"""The lanes on the page: running them, what ran last, what the settings have in the store, and per-token KL."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial

import streamlit as st

from core.jobs import Snapshot
from core.models.pair import ModelFacts
from core.runs.history import run_id_of
from core.runs.values import Generation, GenerationSpec, LaneKL, LaneKLSpec
from ui.components.lanes import Badge, pinned_lane_token
from ui.components.safe_text import plain
from ui.directions.first_experiment import answers_at_once
from ui.playground.experiment import draw_anecdote
from ui.playground.forks import OPEN_KEY, ask_fork, compared_with_first, draw_tree, open_runs, opened
from ui.playground.lane_view import draw_lanes, metrics_table
from ui.playground.plan import Plan, plan_of, without_controls
from ui.playground.settings import Settings
from ui.playground.share import NUMBERS, SHARE_KEY, ask_way, draw_share
from ui.shell.frame import page_path
from ui.shell.handoff import open_in_attribution
from ui.shell.jobs import await_first, follow, is_live, obtain
from ui.shell.measured import measured
from ui.shell.state import caller, guarded, workbench

SLOT, RAN = "job:playground", "pg_ran"
KEY, KL_KEY, STORED_KEY = "lanes", "pg_kl", "pg_stored"
BELOW, PART, FORK = 64, 290, 200
"""Pixels that the lanes leave at the window's end: for the row under them, for what that opens, and for a fork."""


def start(plan: Plan) -> bool:
    """Queue the run, unless it is stored or being written; its plan is shown from now on, whatever is set later.

    Whether all of it is stored.
    """
    if is_live(SLOT) and st.session_state.get(RAN) == plan:
        return False
    workbench().comparisons.note(plan.specs)
    stored = all(map(workbench().cached, plan.specs))
    if stored:
        st.session_state.pop(SLOT, None)
    if stored or guarded(lambda: workbench().generate(plan.specs, caller()), SLOT):
        st.session_state[RAN] = plan
        st.session_state[OPEN_KEY] = []
        await_first(SLOT)
    return stored


def is_first_look(plan: Plan, reasoner: ModelFacts) -> bool:
    """Whether this is a first visit to a pair that answers without being asked, and nobody else's work is going on.

    Of the session's own runs it may take the place, as of Home's.
    """
    is_new = SLOT not in st.session_state and not st.session_state[OPEN_KEY]
    others = [job for job in workbench().engine.live() if (job.kind, job.owner) != ("generate", caller().owner)]
    return (
        is_new and not others and answers_at_once(reasoner, plan.specs) and not all(map(workbench().cached, plan.specs))
    )


def needs_a_run(plan: Plan) -> bool:
    """Whether these lanes are neither stored nor what was asked for last: then a live page runs them by itself."""
    return st.session_state.get(RAN) != plan and not all(map(workbench().cached, plan.specs))


def draw_results(plan: Plan | None, settings: Settings) -> None:
    """The runs that were opened, else what the settings have in the store, else what ran last, else what to do."""
    run = follow(SLOT, render=_draw_live, bar_below=True)
    if run is not None and run.live:
        return
    ran = _asked_for(run) if run is not None else None
    if st.session_state[OPEN_KEY] and _draw_opened(settings):
        return
    look_up = cache(_stored)
    found = _kept(plan, look_up)
    earlier = without_controls(plan) if plan is not None else None
    if plan is not None and not plan.specs:
        st.info("Choose at least one lane under **Settings**.", icon=":material/swap_horiz:")
    elif plan is not None and len(found) == len(plan.specs):
        draw_done(plan, found, "LIVE" if run is not None and ran == plan else "CACHED", settings)
    elif earlier is not None and earlier.specs and len(without := _kept(earlier, look_up)) == len(earlier.specs):
        st.caption(":material/edit: These lanes were run without their control: press **Run** to write it beside them.")
        draw_done(earlier, without, "CACHED", settings)
    elif ran is not None and len(written := _kept(ran, look_up, run)) == len(ran.specs):
        st.info("The settings have changed since this run. Press **Run** for new lanes.", icon=":material/edit:")
        draw_done(ran, written, "CACHED", settings, are_asked=False)
    else:
        st.info("Press **Run**: the chosen lanes are written side by side.", icon=":material/play_arrow:")


def _asked_for(run: Snapshot[object]) -> Plan | None:
    """The plan of a run as it was asked for here; after a reload, as the run itself has it once it has begun."""
    partial: Sequence[Generation] = run.progress.partial or ()
    if RAN not in st.session_state and partial:
        st.session_state[RAN] = plan_of([lane.spec for lane in partial])
    plan: Plan | None = st.session_state.get(RAN)
    return plan


def _kept(
    plan: Plan | None,
    look_up: Callable[[GenerationSpec], Generation | None],
    run: Snapshot[Sequence[Generation]] | None = None,
) -> list[Generation]:
    """What a run and the store have of a plan's lanes, finished or not."""
    own = {one.spec: one for one in (run.result if run is not None else None) or ()}
    specs = plan.specs if plan is not None else ()
    return [one for spec in specs if (one := own.get(spec) or look_up(spec))]


def _stored(spec: GenerationSpec) -> Generation | None:
    return workbench().cached(spec) or workbench().unfinished(spec)


def _draw_opened(settings: Settings) -> bool:
    """Runs of the history or of a fork as lanes; False when none of them is there."""
    records = opened()
    if not records:
        return False
    with st.container(horizontal=True, vertical_alignment="center"):
        asked = plain(records[0].generation.spec.prompt.question, 120)
        st.caption(f":material/history: From the history, with settings of their own: {asked}", width="stretch")
        st.button("Back to the lanes of the settings", on_click=open_runs, args=([],), key="pg_close")
    generations = [record.generation for record in records]
    plan = plan_of([generation.spec for generation in generations])
    draw_done(compared_with_first(plan), generations, "CACHED", settings, are_asked=False)
    draw_tree(run_id_of(generations[-1].spec))
    return True


def draw_done(
    plan: Plan, generations: Sequence[Generation], badge: Badge, settings: Settings, *, are_asked: bool = True
) -> None:
    """Finished lanes, what they count above them, and below them where to go from here, which takes of their room.

    `are_asked` tells whether it is the settings that these lanes are of.
    """
    pinned, opened_part = pinned_lane_token(KEY), st.session_state.get(SHARE_KEY)
    room = BELOW + (PART if opened_part else 0) + (FORK if pinned else 0)
    shown = st.container(gap="xxsmall")
    with st.container(horizontal=True, vertical_alignment="center", key="pg_below"):
        way = ask_way()
        chosen = pinned[0] if pinned and pinned[0] < len(generations) else min(1, len(generations) - 1)
        read = st.button(
            "Read it token by token",
            icon=":material/manage_search:",
            help=f"{plan.titles[chosen]}. Pin a token in another lane to read that one.",
        )
    fork = st.container()
    if way == NUMBERS:
        _ask_kl(plan)
    readings = _readings(plan, generations) if st.session_state.get(KL_KEY) else [None] * len(generations)
    if way == NUMBERS:
        _draw_numbers(plan, generations)
    draw_share(way, plan, generations)
    with shown:
        draw_anecdote(generations, plan.specs, settings if are_asked else None)
        pinned = draw_lanes(plan, generations, badge=badge, key=KEY, readings=readings, below=room)
    if pinned:
        with fork:
            ask_fork(generations[pinned[0]], pinned[1], settings, slot=SLOT, ran_key=RAN)
    if read:
        open_in_attribution(generations[chosen])
        st.switch_page(page_path("attribution"))


def _draw_numbers(plan: Plan, generations: Sequence[Generation]) -> None:
    metrics_table(generations, plan.titles)
    for words in dict.fromkeys(measured("generation", generation.spec) for generation in generations):
        if words:
            st.caption(f"{words}.")
    if any(spec.model.precision != "fp32" for spec in plan.specs):
        st.caption(
            "These weights are not in fp32: the text of a lane may depend on which other lanes were written beside it."
        )


def _draw_live(snapshot: Snapshot[object]) -> None:
    """The lanes of a run that is still going, redrawn as tokens come."""
    partial: Sequence[Generation] = snapshot.progress.partial or ()
    plan = _asked_for(snapshot)
    if plan is not None:
        written = _stored_before(snapshot.job_id, plan) | {generation.spec: generation for generation in partial}
        lanes = [written.get(spec) for spec in plan.specs]
        with st.container(gap="xxsmall"):
            draw_anecdote(lanes, plan.specs, None)
            draw_lanes(plan, lanes, badge="LIVE", key=KEY, below=BELOW)


def _stored_before(job_id: str, plan: Plan) -> dict[GenerationSpec, Generation]:
    """The lanes that were stored when a run began, looked up once: nothing but the run adds to them."""
    known: tuple[str, dict[GenerationSpec, Generation]] = st.session_state.get(STORED_KEY, ("", {}))
    if known[0] != job_id:
        found = {spec: workbench().cached(spec) for spec in plan.specs}
        known = job_id, {spec: one for spec, one in found.items() if one is not None}
        st.session_state[STORED_KEY] = known
    return known[1]


def _ask_kl(plan: Plan) -> None:
    if any(reference is not None for reference in plan.references):
        st.toggle(
            "Per-token KL to the lane that each is compared with",
            key=KL_KEY,
            persist_state="session",
            help="Both lanes read the same text, each under its own steering; KL of their next-token distributions, in "
            "nats. The darker a token, the further the two lanes part there. Computed once, then stored.",
        )


def _readings(plan: Plan, generations: Sequence[Generation]) -> list[LaneKL | None]:
    """Per-token KL of each lane to its reference; what is missing is computed, one at a time."""
    wanted = [
        LaneKLSpec(lane=spec, reference=plan.specs[j], token_ids=generation.token_ids)
        if j is not None and generation.token_ids
        else None
        for spec, generation, j in zip(plan.specs, generations, plan.references, strict=True)
    ]
    found = [workbench().cached(spec) if spec else None for spec in wanted]
    for i, spec in enumerate(wanted):
        if spec is not None and found[i] is None:
            found[i] = obtain(spec, "lane_kl", LaneKL, partial(workbench().compare_lanes, spec, caller()))
            if found[i] is None:
                break
    return found
