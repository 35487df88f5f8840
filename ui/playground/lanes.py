"""The lanes on the page: running them, what ran last, what the settings have in the store, and per-token KL."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import streamlit as st

from core.jobs import Snapshot
from core.models.pair import DEMO_PAIR, ModelFacts
from core.runs.history import run_id_of
from core.runs.values import Generation, LaneKL, LaneKLSpec
from ui.components.lanes import Badge
from ui.playground.forks import OPEN_KEY, ask_fork, compared_with_first, draw_tree, open_runs, opened
from ui.playground.lane_view import draw_lanes, metrics_table
from ui.playground.plan import Plan, plan_of
from ui.playground.settings import Settings
from ui.playground.share import draw_share
from ui.shell.frame import page_path
from ui.shell.handoff import open_in_attribution
from ui.shell.jobs import await_first, follow, is_live, obtain
from ui.shell.measured import measured
from ui.shell.state import caller, guarded, workbench

SLOT, RAN = "job:playground", "pg_ran"
KEY = "lanes"


def start(plan: Plan) -> None:
    """Queue the run, unless it is stored or being written; its plan is shown from now on, whatever is set later."""
    if is_live(SLOT) and st.session_state.get(RAN) == plan:
        return
    stored = all(map(workbench().cached, plan.specs))
    if stored:
        st.session_state.pop(SLOT, None)
    if stored or guarded(lambda: workbench().generate(plan.specs, caller()), SLOT):
        st.session_state[RAN] = plan
        st.session_state[OPEN_KEY] = []
        await_first(SLOT)


def is_first_look(plan: Plan, reasoner: ModelFacts) -> bool:
    """On a first visit the embedded pair, which answers in a second, shows its example without being asked."""
    idle = SLOT not in st.session_state and not st.session_state[OPEN_KEY] and not workbench().engine.live()
    return idle and reasoner.spec == DEMO_PAIR.reasoner and not all(map(workbench().cached, plan.specs))


def needs_a_run(plan: Plan) -> bool:
    """Whether these lanes are neither stored nor what was asked for last: then a live page runs them by itself."""
    return st.session_state.get(RAN) != plan and not all(map(workbench().cached, plan.specs))


def draw_results(plan: Plan | None, settings: Settings) -> None:
    """The runs that were opened, else what the settings have in the store, else what ran last, else what to do."""
    bench, ran = workbench(), st.session_state.get(RAN)
    run = follow(SLOT, render=_draw_live)
    if run is not None and run.live:
        return
    if st.session_state[OPEN_KEY] and _draw_opened(settings):
        return
    found = [kept for spec in plan.specs if (kept := bench.cached(spec) or bench.unfinished(spec))] if plan else []
    if plan is not None and not plan.specs:
        st.info("Choose at least one lane above.", icon=":material/swap_horiz:")
    elif plan is not None and len(found) == len(plan.specs):
        draw_done(plan, found, "LIVE" if run is not None and ran == plan else "CACHED", settings)
    elif ran is not None and run is not None and run.result:
        st.info("The settings have changed since this run. Press **Run** for new lanes.", icon=":material/edit:")
        draw_done(ran, run.result, "CACHED", settings)
    else:
        st.info("Press **Run**: the lanes chosen above are written side by side.", icon=":material/play_arrow:")


def _draw_opened(settings: Settings) -> bool:
    """Runs of the history or of a fork as lanes; False when none of them is there."""
    records = opened()
    if not records:
        return False
    with st.container(horizontal=True, vertical_alignment="center"):
        st.info("These runs come from the history; the settings above are not theirs.", icon=":material/folder_open:")
        st.button("Back to the lanes of the settings", on_click=open_runs, args=([],), key="pg_close")
    generations = [record.generation for record in records]
    plan = plan_of([generation.spec for generation in generations])
    draw_done(compared_with_first(plan), generations, "CACHED", settings)
    draw_tree(run_id_of(generations[-1].spec))
    return True


def draw_done(plan: Plan, generations: Sequence[Generation], badge: Badge, settings: Settings) -> None:
    """Finished lanes with their measurements and where to go from here."""
    readings = _readings(plan, generations)
    pinned = draw_lanes(plan, generations, badge=badge, key=KEY, readings=readings)
    if pinned:
        ask_fork(generations[pinned[0]], pinned[1], settings, slot=SLOT, ran_key=RAN)
    metrics_table(generations, plan.titles)
    for words in dict.fromkeys(measured("generation", generation.spec) for generation in generations):
        if words:
            st.caption(f"{words}.")
    if any(spec.model.precision != "fp32" for spec in plan.specs):
        st.caption(
            "These weights are not in fp32: the text of a lane may depend on which other lanes were written beside it."
        )
    draw_share(plan, generations)
    chosen = pinned[0] if pinned else min(1, len(generations) - 1)
    if st.button(f"Read it token by token: {plan.titles[chosen].lower()}", icon=":material/manage_search:"):
        open_in_attribution(generations[chosen])
        st.switch_page(page_path("attribution"))


def _draw_live(snapshot: Snapshot[object]) -> None:
    """The lanes of a run that is still going, redrawn as tokens come."""
    partial: Sequence[Generation] = snapshot.progress.partial or ()
    plan: Plan | None = st.session_state.get(RAN) or (plan_of([lane.spec for lane in partial]) if partial else None)
    if plan is not None:
        written = {generation.spec: generation for generation in partial}
        lanes = [written.get(spec) or workbench().cached(spec) for spec in plan.specs]
        draw_lanes(plan, lanes, badge="LIVE", key=KEY)


def _readings(plan: Plan, generations: Sequence[Generation]) -> list[LaneKL | None]:
    """Per-token KL of each lane to its reference, once it is asked for; what is missing is computed, one at a time."""
    wanted = [
        LaneKLSpec(lane=spec, reference=plan.specs[j], token_ids=generation.token_ids)
        if j is not None and generation.token_ids
        else None
        for spec, generation, j in zip(plan.specs, generations, plan.references, strict=True)
    ]
    if not any(wanted):
        return [None] * len(wanted)
    asked = st.toggle(
        "Per-token KL to the lane that each is compared with",
        key="pg_kl",
        persist_state="session",
        help="Both lanes read the same text, each under its own steering; KL of their next-token distributions, in "
        "nats. The darker a token, the further the two lanes part there. Computed once, then stored.",
    )
    if not asked:
        return [None] * len(wanted)
    found = [workbench().cached(spec) if spec else None for spec in wanted]
    for i, spec in enumerate(wanted):
        if spec is not None and found[i] is None:
            found[i] = obtain(spec, "lane_kl", LaneKL, partial(workbench().compare_lanes, spec, caller()))
            if found[i] is None:
                break
    return found
