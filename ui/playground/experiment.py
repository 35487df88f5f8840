"""From an anecdote to an experiment: what one text can say, and the playground's settings as a plan with controls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import streamlit as st

from core.directions.direction import Direction
from core.embedded import example_questions
from core.errors import BadInput
from core.experiments.presets import paper_plan
from core.experiments.values import Doses, Fixed, Plan, SavedPair, TraceSource
from core.extraction.controls import CONTROL
from core.models.pair import ROLES, Role
from core.runs.questions import Example
from core.runs.values import Generation, GenerationSpec
from core.text.words import measure_text
from ui.components.roles import NAMES
from ui.components.safe_text import plain, tried
from ui.directions.choices import choices
from ui.playground.plan import RANDOM, title_of, what_is_done
from ui.playground.settings import Settings, keywords
from ui.shell.frame import is_offered, page_path
from ui.shell.handoff import PLANNED
from ui.shell.state import pair_facts, workbench

FEWEST = 16
"""Questions below which the held-out ones are asked too."""
SHOWN_KEYWORDS = 40


def draw_anecdote(
    generations: Sequence[Generation | None], specs: Sequence[GenerationSpec], asked: Settings | None
) -> None:
    """Above the lanes: what they count, and the way to what can be said. `asked` are the settings that made them."""
    with st.container(horizontal=True, vertical_alignment="center", key="pg_anecdote"):
        st.markdown(f":small[{anecdote(generations, specs)}]", width="stretch")
        if not is_offered("experiments"):
            st.page_link(page_path("home"), label="Over many questions", icon=":material/science:")
        elif asked is None or asked.direction is None:
            st.page_link(page_path("experiments"), label="Over many questions", icon=":material/science:")
        elif st.button(
            "Make it an experiment",
            icon=":material/science:",
            type="tertiary",
            key="pg_experiment",
            help="The same direction and dose, on many questions, in both models, and against controls.",
        ):
            _open(asked, [Example(prompt=asked.question)], [asked.program[0].coefficient])


def anecdote(generations: Sequence[Generation | None], specs: Sequence[GenerationSpec]) -> str:
    """Markdown: how often each lane has the keywords in how many tokens, and what that proves; short, for one line."""
    lanes = [one for one in generations if one is not None]
    is_one_model = len({spec.fingerprint for spec in specs}) == 1
    told = [_count(one, unit=" tokens" * (one is lanes[0]), is_one_model=is_one_model) for one in lanes]
    counts = ", ".join(told) or "nothing is written yet"
    kinds = set(map(what_is_done, specs))
    missing = " No control stands beside it." if "steered" in kinds and RANDOM not in kinds else ""
    said = _as_many(lanes) or missing or " One text proves nothing."
    return f"**{plain(' / '.join(keywords()), SHOWN_KEYWORDS)}**: {counts}.{said}"


def _count(lane: Generation, *, unit: str, is_one_model: bool) -> str:
    name = what_is_done(lane.spec) if is_one_model else plain(title_of(lane.spec), 60)
    fault = " (no evidence)" if lane.stop_reason != "running" and measure_text(lane.text).no_evidence else ""
    return f"{name} **{_hits(lane)}** in {len(lane.token_ids):,}{unit}{fault}"


def _as_many(lanes: Sequence[Generation]) -> str:
    """Which lanes have as many keywords as the steered one of their model, as a sentence; "" for none."""
    steered = {lane.spec.fingerprint: lane for lane in lanes if what_is_done(lane.spec) == "steered" and _hits(lane)}
    found = {
        what_is_done(lane.spec)
        for lane in lanes
        if (other := steered.get(lane.spec.fingerprint)) and lane is not other and _hits(lane) >= _hits(other)
    }
    names = [words for kind, words in _OTHERS.items() if kind in found]
    if not names:
        return ""
    return f" **{' and '.join(names).capitalize()} {'has' if len(names) == 1 else 'have'} as many or more.**"


_OTHERS = {RANDOM: "the random direction", "unsteered": "the unsteered text"}


def _hits(lane: Generation) -> int:
    return measure_text(lane.text, keywords()).n_keywords


def offer_experiment(asked: Settings, questions: Sequence[Example], doses: Sequence[float], *, key: str) -> None:
    """The button that opens the Experiments page with these settings; nothing for who may not open that page."""
    if not is_offered("experiments"):
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
        pressed = st.button("Make it an experiment", icon=":material/science:", key=key)
        st.caption("The same direction and doses, on more questions, in both models, and against controls.")
    if pressed:
        _open(asked, questions, doses)


def _open(asked: Settings, questions: Sequence[Example], doses: Sequence[float]) -> None:
    plan = tried(lambda: plan_of_settings(asked, questions, doses))
    if plan is not None:
        st.session_state[PLANNED] = plan
        st.switch_page(page_path("experiments"))


def plan_of_settings(asked: Settings, questions: Sequence[Example], doses: Sequence[float]) -> Plan:
    """The plan. Raises BadInput for a program that an experiment does not know."""
    facts = pair_facts()
    assert facts is not None
    assert asked.direction is not None
    edit = asked.program[0]
    if len(asked.program) > 1 or edit.operator != "add" or edit.ramp > 1:
        raise BadInput(
            "An experiment adds one direction at one layer, at its full size from the beginning.",
            "Choose the operator add, one layer and no further direction.",
        )
    if edit.layer != asked.direction.layer:
        raise BadInput(
            f"An experiment adds a saved direction at its own layer, {asked.direction.layer}; here layer {edit.layer} "
            "is steered.",
            "Set the layer back, or find the direction of that layer.",
        )
    steered = tuple(sorted({abs(dose) for dose in doses if dose})) or (abs(edit.coefficient) or 1.0,)
    every = questions if len(questions) >= FEWEST else (*questions, *example_questions("heldout"))
    plan = paper_plan(facts, TraceSource(kind="none"), every, quick=True, figures=("fig3", "fig4"))
    return replace(
        plan,
        title=f"{asked.direction.name} in the playground",
        saved=_both_of(asked.direction),
        doses=Doses(unit="unit", values=steered),
        fixed=Fixed(dose=steered[0] if len(steered) == 1 else None),
        sampling=asked.sampling,
        positions=edit.positions,
        keywords=keywords(),
    )


def _both_of(direction: Direction) -> SavedPair:
    """The direction and its twin, of the same place in the other model; both are put into the user's folder."""
    facts = pair_facts()
    assert facts is not None
    found: dict[Role, Direction] = {}
    for role, fact in zip(ROLES, facts, strict=True):
        mine = [c.direction for c in choices(d_model=fact.d_model) if fact.has_weights(c.direction.fingerprint)]
        real = [one for one in mine if CONTROL not in dict(one.provenance)]
        twin = [one for one in real if _place(one) == _place(direction)]
        if direction in mine or twin:
            found[role] = direction if direction in mine else twin[0]
    if CONTROL in dict(direction.provenance) or "base" not in found:
        raise BadInput(
            f"An experiment tests a direction that was found in the {NAMES['base']}, and {direction.name!r} is none.",
            "Choose one that was found there, or make the plan on the Experiments page.",
        )
    ids = {role: workbench().directions.save(one) for role, one in found.items()}
    return SavedPair(base=ids["base"], reasoner=ids.get("reasoner", ""))


def _place(direction: Direction) -> tuple[str, str, int]:
    notes = dict(direction.provenance)
    return notes.get("label", ""), notes.get("window", ""), direction.layer
