"""Steering playground: the same question with and without the direction, written side by side."""

from collections.abc import Sequence

import streamlit as st

from core.errors import UserFacingError
from core.jobs import Snapshot
from core.pair import DEMO_PAIR, ModelFacts
from core.runs import Generation, SteeringSpec
from ui.attribution_form import open_in_attribution
from ui.directions import pick_direction
from ui.interrupted import draw_interrupted
from ui.jobs import follow
from ui.lanes import Badge
from ui.links import read_link, write_link
from ui.run_view import Plan, draw_lanes, metrics_table, plan_of
from ui.shell import page_path, require_shell, wait_for_pair
from ui.state import attach, caller, guarded, workbench
from ui.steering_form import DIRECTION_KEY, FIELDS, ask_details, ask_dose, ask_lanes, ask_prompt, plan_lanes
from ui.text import show_error

SLOT = "job:playground"
RAN = "pg_ran"


def settings(reasoner: ModelFacts) -> tuple[Plan | None, bool]:
    """The settings block: the lanes they ask for (None while something is missing), and whether Run was pressed."""
    left, right = st.columns([1, 1], gap="large")
    with left:
        question = ask_prompt()
    with right:
        direction = pick_direction(d_model=reasoner.d_model, key=DIRECTION_KEY)
        if direction is None:
            st.page_link(page_path("extraction"), label="Find a direction", icon="🧭")
            return None, False
    coefficient, layer = ask_dose(direction, reasoner)
    operator, positions, sampling = ask_details()
    steering = SteeringSpec(
        direction=direction, layer=layer, operator=operator, coefficient=coefficient, positions=positions
    )
    button, toggle, _ = st.columns([2, 3, 5], vertical_alignment="center")
    pressed = button.button("Run", type="primary", width="stretch", icon="▶️", shortcut="Ctrl+Enter")
    with toggle:
        both = ask_lanes()
    if not question.strip() and not pressed:
        return None, False
    return plan_lanes(question, steering, sampling, both=both), pressed


def start(plan: Plan) -> None:
    """Queue the run; from now on its own plan is shown, whatever the settings become."""
    if guarded(lambda: workbench().generate(plan.specs, caller()), SLOT):
        st.session_state[RAN] = plan


def is_first_look(plan: Plan, reasoner: ModelFacts) -> bool:
    """On a first visit the embedded pair, which answers in a second, shows its example without being asked."""
    idle = SLOT not in st.session_state and not workbench().engine.live()
    return idle and reasoner.spec == DEMO_PAIR.reasoner and not all(map(workbench().cached, plan.specs))


def draw_live(snapshot: Snapshot) -> None:
    """The lanes of a run that is still going, redrawn as tokens come."""
    partial: Sequence[Generation] = snapshot.progress.partial or ()
    plan: Plan | None = st.session_state.get(RAN) or (plan_of([lane.spec for lane in partial]) if partial else None)
    if plan is not None:
        draw_lanes(plan, partial or [None] * len(plan.specs), badge="LIVE", key="lanes")


def draw_done(plan: Plan, generations: Sequence[Generation], badge: Badge) -> None:
    """Finished lanes with their measurements and where to go from here."""
    pinned = draw_lanes(plan, generations, badge=badge, key="lanes")
    metrics_table(generations, plan.titles)
    chosen = pinned[0] if pinned else min(1, len(generations) - 1)
    if st.button(f"Read it token by token: {plan.titles[chosen].lower()}", icon="🔎"):
        open_in_attribution(generations[chosen])
        st.switch_page(page_path("attribution"))


def results(plan: Plan | None) -> None:
    """What the settings have in the store, else what ran last, else what to do."""
    bench, ran = workbench(), st.session_state.get(RAN)
    ended = follow(SLOT, render=draw_live)
    if ended is None and SLOT in st.session_state and bench.engine.snapshot(st.session_state[SLOT]) is not None:
        return
    found = [kept for spec in plan.specs if (kept := bench.cached(spec) or bench.unfinished(spec))] if plan else []
    if plan is not None and len(found) == len(plan.specs):
        draw_done(plan, found, "LIVE" if ended is not None and ran == plan else "CACHED")
    elif ran is not None and ended is not None and ended.result:
        st.info("The settings have changed since this run. Press **Run** for new lanes.", icon="✏️")
        draw_done(ran, ended.result, "CACHED")
    else:
        st.info("Press **Run**: baseline and steered text are written side by side.", icon="▶️")


require_shell()
st.title("Steering playground")
st.markdown(
    "Add a direction to the residual stream while the model writes, and see the same question answered without it."
)
read_link(FIELDS, "playground")
attach(SLOT, st.query_params.get("run", ""))
_, reasoner_facts = wait_for_pair()

wanted: Plan | None = None
try:
    wanted, pressed = settings(reasoner_facts)
    if wanted is not None and (pressed or is_first_look(wanted, reasoner_facts)):
        start(wanted)
except UserFacingError as error:
    show_error(error)
draw_interrupted(SLOT, RAN)
results(wanted)

job = workbench().engine.snapshot(st.session_state.get(SLOT, ""))
write_link(FIELDS, run=job.job_id if job is not None and job.live else "")
