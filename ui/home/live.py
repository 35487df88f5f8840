"""The claim on one question, live: the direction in either model, and a random push of the same size beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from core.directions.direction import Direction
from core.embedded import LOOK_SAMPLING, example_questions, questions_for, recorded_look
from core.experiments.arms import three_ways
from core.extraction.controls import CONTROL
from core.jobs import Snapshot
from core.models.pair import ROLES, ModelFacts
from core.runs.questions import MAX_QUESTION_CHARACTERS, Example
from core.runs.values import Generation, GenerationSpec
from ui.components.safe_text import plain, tried
from ui.components.stage import CACHED, LIVE
from ui.directions.choices import choices
from ui.directions.coefficient import default_coefficient
from ui.directions.first_experiment import answers_at_once, offer_first
from ui.directions.residual_norm import residual_norm
from ui.home.columns import MODELS, WAYS, draw_columns, verdict
from ui.shell.jobs import await_first, follow, is_live
from ui.shell.state import caller, guarded, workbench
from ui.talk.current import Current, show_current

SLOT = "job:home"
STRENGTHS = {"off": 0.0, "gentle": 0.5, "strong": 1.0, "too much": 2.0}
"""In words, as multiples of the dose that the direction was recorded at."""
FIRST_STRENGTH = "strong"


@dataclass(frozen=True, kw_only=True)
class Look:
    """What is asked, and the runs that answer it."""

    question: Example
    specs: tuple[GenerationSpec, ...]


def draw_live(pair: tuple[ModelFacts, ModelFacts]) -> None:
    """Question and strength in one line, the three answers below it, and what they show in one sentence."""
    direction = direction_of(pair)
    look = tried(lambda: _ask(pair, direction))
    if look is None:
        return
    titles = WAYS if len(look.specs) == len(WAYS) else MODELS
    stored = _stored(look)
    if not all(stored) and not is_live(SLOT) and (_pressed() or _is_asked_at_once(pair, look, direction)):
        guarded(lambda: workbench().generate(look.specs, caller()), SLOT)
        await_first(SLOT)
    show_current(Current.of(look.specs, titles, badge=LIVE if is_live(SLOT) else CACHED))
    place = st.container()
    run = follow(SLOT, render=lambda snapshot: _draw_growing(look, snapshot))
    if run is not None and run.live:
        return
    found = _stored(look)
    with place:
        draw_columns(
            found, look.question, badge="LIVE" if run is not None else "CACHED", is_pushed=len(found) == len(WAYS)
        )
        if all(found):
            st.markdown(verdict([one for one in found if one is not None], has_push=len(found) == len(WAYS)))
        else:
            st.caption("Press **Run**: the answers are written side by side.")
        if direction is None:
            row = st.container(horizontal=True, vertical_alignment="center")
            offer_first(pair, button=row, note=row, key="home_first")


def draw_replay() -> None:
    """What was recorded of the embedded pair, while it is being loaded or where it cannot be."""
    found, questions = recorded_look(), example_questions()
    if not found or not questions:
        return
    st.markdown(f"**{plain(questions[0].prompt, 300)}**")
    draw_columns(found, questions[0], badge="RECORDED", is_pushed=True, key="home_replay")
    st.markdown(verdict(found, has_push=True))


def direction_of(pair: tuple[ModelFacts, ModelFacts]) -> Direction | None:
    """The recorded direction of this base model, else the one that was saved last; None where there is none."""
    base = pair[0]
    real = [
        choice
        for choice in choices(d_model=base.d_model)
        if base.has_weights(choice.direction.fingerprint) and CONTROL not in dict(choice.direction.provenance)
    ]
    return next((one.direction for one in sorted(real, key=lambda one: one.origin != "recorded")), None)


def _ask(pair: tuple[ModelFacts, ModelFacts], direction: Direction | None) -> Look:
    offered = {example.prompt: example for example in questions_for(pair[1].spec)}
    question, strength, run = st.columns([11, 8, 3], vertical_alignment="bottom")
    text = question.selectbox(
        "Question", list(offered), key="home_question", accept_new_options=True, persist_state="session"
    )
    text = (text or next(iter(offered)))[:MAX_QUESTION_CHARACTERS]
    names = list(STRENGTHS) if direction is not None else ["off"]
    picked = strength.segmented_control(
        "How strongly the direction is added",
        names,
        default=FIRST_STRENGTH if direction is not None else "off",
        required=True,
        key="home_strength" if direction is not None else "home_strength:off",
        help="“strong” is the dose that the direction was recorded at; “too much” is twice as much, and breaks texts.",
    )
    run.button("Run", type="primary", icon=":material/play_arrow:", key="home_run", width="stretch")
    name = str(picked or FIRST_STRENGTH)
    return Look(question=offered.get(text, Example(prompt=text)), specs=specs_of(pair, text, direction, name))


def specs_of(
    pair: tuple[ModelFacts, ModelFacts], text: str, direction: Direction | None, strength: str
) -> tuple[GenerationSpec, ...]:
    """The runs behind the columns: three, or the two models alone where nothing is added."""
    facts = dict(zip(ROLES, pair, strict=True))
    prompts = {role: workbench().pair.encode(role, text) for role in ROLES}
    if direction is None or not STRENGTHS[strength]:
        return tuple(
            GenerationSpec(
                model=facts[role].spec,
                fingerprint=facts[role].fingerprint,
                prompt=prompts[role],
                sampling=LOOK_SAMPLING,
            )
            for role in reversed(ROLES)
        )
    dose = default_coefficient(direction, residual_norm(facts["reasoner"], direction.layer)) * STRENGTHS[strength]
    return three_ways(facts, prompts, direction, round(dose, 2), LOOK_SAMPLING)


def _stored(look: Look) -> list[Generation | None]:
    return [workbench().cached(spec) for spec in look.specs]


def _pressed() -> bool:
    return bool(st.session_state.get("home_run"))


def _is_asked_at_once(pair: tuple[ModelFacts, ModelFacts], look: Look, direction: Direction | None) -> bool:
    """Without a click: every question where there is a direction, else the first one, so that both models are heard."""
    is_first = SLOT not in st.session_state
    is_idle = not workbench().engine.live()
    return is_idle and (direction is not None or is_first) and answers_at_once(pair[1], look.specs)


def _draw_growing(look: Look, snapshot: Snapshot[object]) -> None:
    partial: Sequence[Generation] = snapshot.progress.partial or ()
    written = {generation.spec: generation for generation in partial}
    lanes = [written.get(spec) or workbench().cached(spec) for spec in look.specs]
    draw_columns(lanes, look.question, badge="LIVE", is_pushed=len(look.specs) == len(WAYS))
