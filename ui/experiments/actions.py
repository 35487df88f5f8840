"""What can be done with one experiment: report, plan file, command, a new one like it, another title, delete."""

from __future__ import annotations

import streamlit as st

from core.bundles.writing import SUFFIX
from core.embedded import FRESH, example_questions, fresh_questions
from core.experiments.command import command_of
from core.experiments.folder import MAX_TITLE
from core.experiments.plans import outcome_json, plan_json
from core.experiments.values import Outcome, Plan
from ui.components.safe_text import plain
from ui.experiments.opened import OPEN_KEY, VIEW_KEY, begin_from, name_of
from ui.figures.report import report_html
from ui.shell.bundle_files import experiment_bytes
from ui.shell.notice import act
from ui.shell.state import workbench


def draw_actions(opened: str, plan: Plan) -> None:
    """Downloads, and what changes the list of experiments."""
    outcome = workbench().experiments.outcome(opened)
    with st.container(horizontal=True, horizontal_alignment="right", gap="small"):
        if outcome is not None:
            st.download_button(
                "Report",
                lambda: report_html(outcome, cells=workbench().cell).encode(),
                file_name=f"experiment-{opened[:8]}.html",
                mime="text/html",
                on_click="ignore",
                icon=":material/description:",
                key=f"exp:report:{opened}",
                help="One HTML file with all figures, numbers and sentences; it needs no network.",
            )
            st.download_button(
                "Bundle",
                lambda: experiment_bytes(opened),
                file_name=f"experiment-{opened[:8]}{SUFFIX}",
                mime="application/octet-stream",
                on_click="ignore",
                icon=":material/inventory_2:",
                key=f"exp:bundle:{opened}",
                help="One file with all results and texts, which opens on any machine without models.",
            )
        with st.popover("Plan", icon=":material/terminal:"):
            _draw_plan(opened, plan, outcome)
        with st.popover("Manage", icon=":material/edit:"):
            draw_manage(opened, plan)


def _draw_plan(opened: str, plan: Plan, outcome: Outcome | None) -> None:
    st.markdown("The same experiment in a shell; it finds what is measured already:")
    st.code(_command_of(plan), language=None, wrap_lines=True)
    with st.container(horizontal=True, gap="small"):
        st.download_button(
            "plan.json",
            lambda: plan_json(plan).encode(),
            file_name="plan.json",
            mime="application/json",
            on_click="ignore",
            icon=":material/download:",
            key=f"exp:plan:{opened}",
        )
        if outcome is not None:
            st.download_button(
                "outcome.json",
                lambda: outcome_json(outcome).encode(),
                file_name="outcome.json",
                mime="application/json",
                on_click="ignore",
                icon=":material/download:",
                key=f"exp:outcome:{opened}",
                help="All counts per question, as numbers for other programs.",
            )
    st.button(
        "New one like this", icon=":material/content_copy:", key=f"exp:like:{opened}", on_click=begin_from, args=(plan,)
    )


def draw_manage(opened: str, plan: Plan) -> None:
    """Another title, and deletion, which asks once more."""
    with st.form(f"exp:rename:{opened}", border=False):
        title = st.text_input("Title", plan.title, max_chars=MAX_TITLE, key=f"exp:title:{opened}")
        if st.form_submit_button("Rename"):
            act(lambda: workbench().experiments.rename(opened, title), "Renamed.")
    st.markdown(f"Delete **{plain(name_of(plan), 80)}**? What was measured stays in the store until it is trimmed.")
    if st.button("Yes, delete it", key=f"exp:delete:{opened}", icon=":material/delete:"):
        st.session_state[OPEN_KEY] = ""
        act(lambda: workbench().experiments.delete(opened), "Deleted.", then=(VIEW_KEY, "Kept"))


def _command_of(plan: Plan) -> str:
    """The command, with the questions named that the embedded pair is asked where they are the plan's."""
    if len(plan.choose) and plan.choose[0] in (asked := fresh_questions()):
        return command_of(plan, questions=asked, prompts=FRESH)
    return command_of(plan, questions=example_questions("heldout"))
