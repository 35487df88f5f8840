"""Steering playground: the same question with and without the direction, written side by side."""

import streamlit as st

from core.embedded import questions_for
from core.forward.edits import OPERATORS
from core.models.pair import ModelFacts
from core.runs.questions import Example
from ui.components.first_screen import TITLE, first_screen
from ui.components.safe_text import done, tried
from ui.playground.bar import draw_bar
from ui.playground.doses import SLOT as STRIP_SLOT
from ui.playground.doses import ask_doses, chosen_doses, draw_strip, run_strip, warn_about_dose
from ui.playground.experiment import offer_experiment
from ui.playground.form import FIELDS, LIVE_KEY, LOOKS, ask_settings, chosen_lanes
from ui.playground.history import draw_history
from ui.playground.interrupted import draw_interrupted
from ui.playground.lanes import RAN, SLOT, draw_results, is_first_look, needs_a_run, start
from ui.playground.plan import plan_lanes, steered_spec
from ui.playground.prompt import prompts_of
from ui.playground.prompt_set import SLOT as SET_SLOT
from ui.playground.prompt_set import draw_set
from ui.playground.recorded import draw_recorded
from ui.playground.settings import Settings
from ui.shell.frame import PURPOSES, require_shell, wait_for_pair
from ui.shell.how_read import say_vocabularies
from ui.shell.jobs import is_live
from ui.shell.links import linked, read_link, write_link
from ui.shell.state import attach, is_recorded, workbench
from ui.talk.current import show_current

SLOTS = {"lanes": SLOT, "strip": STRIP_SLOT, "set": SET_SLOT, "history": SLOT}
KINDS = {"lanes": "generate", "strip": "generate", "set": "generate_set", "history": "generate"}
"""The kind of job that a view follows; a link may name another."""


def draw_lanes_view(asked: Settings, pressed: bool, reasoner: ModelFacts) -> None:
    """Two to four lanes of the question."""
    plan = None
    if asked.question.strip() or pressed:
        prompts, kinds = prompts_of(asked.question), chosen_lanes(steers=bool(asked.program))
        plan = plan_lanes(prompts, asked.program, asked.sampling, kinds=kinds, control_seed=asked.control_seed)
        live = bool(st.session_state.get(LIVE_KEY)) and needs_a_run(plan)
        first = linked("playground") <= LOOKS and is_first_look(plan, reasoner)
        stored = bool(plan.specs) and (pressed or live or first) and start(plan)
        warn_about_dose(steered_spec(prompts["reasoner"], asked.program, asked.sampling), asked)
        if stored:
            words = "These lanes were stored: nothing new was written."
            asked.dose_note.markdown(f":small[:green[:material/inventory_2: {words}]]")
    draw_interrupted(SLOT, RAN)
    draw_results(plan, asked)


def draw_strip_view(asked: Settings, pressed: bool) -> None:
    """The question at a row of doses, and the chosen dose as a lane beside the unsteered one."""
    if asked.direction is None:
        st.info("A strip needs a direction to add: find or import one first.", icon=":material/linear_scale:")
        return
    if not OPERATORS[asked.program[0].operator].takes_coefficient:
        st.info(
            "Projecting a direction out has no dose: choose another operator for the strip.",
            icon=":material/linear_scale:",
        )
        return
    ask_doses(asked.norm)
    prompts = prompts_of(asked.question)
    spec = steered_spec(prompts["reasoner"], asked.program, asked.sampling)
    if pressed:
        run_strip(spec, chosen_doses(asked.norm)[0])
    draw_strip(spec, asked.norm, chosen=asked.program[0].coefficient)
    warn_about_dose(spec, asked)
    offer_experiment(asked, [Example(prompt=asked.question)], chosen_doses(asked.norm)[0], key="pg_strip_experiment")
    plan = plan_lanes(prompts, asked.program, asked.sampling, kinds=["baseline", "steered"])
    if all(map(workbench().cached, plan.specs)):
        draw_results(plan, asked)


def draw_page(reasoner: ModelFacts) -> None:
    """The bar, the settings and the chosen view. Raises BadInput for settings that cannot be run."""
    bar = draw_bar([example.prompt for example in questions_for(reasoner.spec)])
    asked = tried(lambda: ask_settings(bar, reasoner))
    if asked is None:
        return
    steers = bool(asked.program)
    if bar.view == "strip":
        draw_strip_view(asked, bar.pressed)
    elif bar.view == "set":
        draw_set(asked, bar.pressed, chosen_lanes(steers=steers))
    elif bar.view == "history":
        draw_history()
    else:
        draw_lanes_view(asked, bar.pressed, reasoner)


require_shell(for_visitors=True)
read_link(FIELDS, "playground")
show_current(None)
first_screen()
with st.container(horizontal=True, vertical_alignment="center", key=TITLE):
    st.title(
        "Steering playground",
        anchor=False,
        width="content",
        help="The direction is added to the residual stream while a text is written. A random one shows what any does.",
    )
    st.caption(PURPOSES["playground"])
attach(SLOTS[st.session_state["pg_view"]], st.query_params.get("run", ""), kind=KINDS[st.session_state["pg_view"]])
if is_recorded():
    draw_recorded()
    write_link(FIELDS)
    st.stop()
_, reasoner_facts = wait_for_pair()
say_vocabularies()

done(lambda: draw_page(reasoner_facts))

slot = SLOTS[st.session_state["pg_view"]]
write_link(FIELDS, run=st.session_state[slot] if is_live(slot) else "")
