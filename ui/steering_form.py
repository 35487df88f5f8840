"""The playground's settings: prompt, direction, dose, positions, sampling, lanes. They end in generation specs."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from core.directions import Direction
from core.examples import example_questions
from core.pair import ModelFacts, Role
from core.runs import GenerationSpec, Operator, SteeringSpec
from core.values import MAX_NEW_TOKENS, Positions, Region, SamplingSpec
from ui.coefficient import coefficient_slider, default_coefficient
from ui.links import Field, number, one_of, text
from ui.run_view import Plan, plan_of
from ui.state import workbench

OPERATORS: dict[Operator, str] = {
    "add": "add it",
    "ablate": "project it out",
    "clamp": "set its projection",
    "amplify": "amplify the stream itself",
}
REGIONS: dict[Region, str] = {
    "all": "every position (the paper)",
    "prompt": "the prompt only",
    "completion": "the completion only",
}
DIRECTION_KEY = "pg_direction"
FIRST_EXAMPLE = 9
"""Shown on a first visit: the steered text turns back in it. Most examples do so, not all; Home has the rates."""
FIELDS = {
    field.name: field
    for field in (
        Field(name="prompt", key="pg_prompt", default="", parse=text(4000)),
        Field(name="direction", key=DIRECTION_KEY, default=None, parse=text(64)),
        Field(name="layer", key="pg_layer", default=None, parse=number(0, 999, int)),
        Field(name="coefficient", key="pg_coefficient", default=None, parse=number(-1e6, 1e6)),
        Field(name="operator", key="pg_operator", default="add", parse=one_of(*OPERATORS)),
        Field(name="positions", key="pg_region", default="all", parse=one_of(*REGIONS)),
        Field(name="from", key="pg_from", default=0, parse=number(0, MAX_NEW_TOKENS, int)),
        Field(name="every", key="pg_every", default=1, parse=number(1, 64, int)),
        Field(name="tokens", key="pg_tokens", default=256, parse=number(1, MAX_NEW_TOKENS, int)),
        Field(name="temperature", key="pg_temperature", default=0.0, parse=number(0.0, 2.0)),
        Field(name="seed", key="pg_seed", default=0, parse=number(0, 10**9, int)),
        Field(name="lanes", key="pg_lanes", default="reasoner", parse=one_of("reasoner", "both")),
    )
}


def ask_prompt() -> str:
    """The question, written or taken from the examples."""
    examples = [example.prompt for example in example_questions()]
    if examples and not st.session_state["pg_prompt"] and "pg_example" not in st.session_state:
        st.session_state["pg_prompt"] = examples[min(FIRST_EXAMPLE, len(examples) - 1)]

    def take() -> None:
        if st.session_state["pg_example"]:
            st.session_state["pg_prompt"] = st.session_state["pg_example"]

    question = st.text_area("Question", key="pg_prompt", height=92, max_chars=4000, placeholder="Ask something")
    if examples:
        st.selectbox(
            "Examples",
            examples,
            index=None,
            key="pg_example",
            on_change=take,
            placeholder="…or take an example question",
            label_visibility="collapsed",
        )
    return question


def ask_dose(direction: Direction, reasoner: ModelFacts) -> tuple[float, int]:
    """(coefficient, layer) on two sliders; both follow the direction until the user chooses others."""
    _fit_defaults(direction, reasoner)
    dose, depth = st.columns([7, 3], gap="medium")
    with dose:
        coefficient = coefficient_slider(
            direction, key="pg_coefficient", disabled=st.session_state["pg_operator"] == "ablate"
        )
    with depth:
        layer = st.select_slider(
            "Layer",
            range(reasoner.n_layers),
            key="pg_layer",
            help="The residual stream after this block is edited; layers count from 0.",
        )
    return coefficient, layer


def ask_details() -> tuple[Operator, Positions, SamplingSpec]:
    """Operator, positions and sampling, folded away: the defaults are the paper's."""
    with st.expander("Operator, positions, length and sampling"):
        how, where, start, every = st.columns(4)
        operator = how.selectbox(
            "What to do with it", list(OPERATORS), format_func=OPERATORS.__getitem__, key="pg_operator"
        )
        region = where.selectbox("Where", list(REGIONS), format_func=REGIONS.__getitem__, key="pg_region")
        first = start.number_input("From its token", 0, MAX_NEW_TOKENS, key="pg_from")
        step = every.number_input("Every n-th token", 1, 64, key="pg_every")
        length, heat, dice = st.columns(3)
        tokens = length.slider("New tokens at most", 16, MAX_NEW_TOKENS, step=16, key="pg_tokens")
        temperature = heat.slider(
            "Temperature", 0.0, 2.0, step=0.1, key="pg_temperature", help="0 takes the most likely token each time."
        )
        seed = dice.number_input("Seed", 0, 10**9, key="pg_seed", help="Every lane draws with this seed.")
    positions = Positions(region=region, start=first, every=step)
    return operator, positions, SamplingSpec(max_new_tokens=tokens, temperature=temperature, seed=seed)


def ask_lanes() -> bool:
    """Whether the base model runs beside the reasoning model."""
    st.session_state["pg_both"] = st.session_state["pg_lanes"] == "both"

    def take() -> None:
        st.session_state["pg_lanes"] = "both" if st.session_state["pg_both"] else "reasoner"

    return st.toggle(
        "Base model beside it",
        key="pg_both",
        on_change=take,
        help="The paper's contrast: the same vector does not make the base model backtrack.",
    )


def _fit_defaults(direction: Direction, reasoner: ModelFacts) -> None:
    """Layer and dose follow the direction until the user chooses others, and when the direction changes."""
    before = st.session_state.get("pg_direction_before")
    changed = before is not None and before != direction.digest
    st.session_state["pg_direction_before"] = direction.digest
    if st.session_state["pg_layer"] is None or changed or st.session_state["pg_layer"] >= reasoner.n_layers:
        st.session_state["pg_layer"] = min(direction.layer, reasoner.n_layers - 1)
    if st.session_state["pg_coefficient"] is None or changed:
        st.session_state["pg_coefficient"] = default_coefficient(direction)


def plan_lanes(question: str, steering: SteeringSpec, sampling: SamplingSpec, *, both: bool) -> Plan:
    """The lanes in order: reasoner unsteered, reasoner steered, then the same of the base model.

    Raises BadInput for a question that cannot be read.
    """
    pair = workbench().pair
    roles: tuple[Role, ...] = ("reasoner", "base") if both else ("reasoner",)
    specs = []
    for role in roles:
        facts, prompt = pair.facts(role), pair.encode(role, question)
        unsteered = GenerationSpec(model=facts.spec, fingerprint=facts.fingerprint, prompt=prompt, sampling=sampling)
        specs += [unsteered, replace(unsteered, steering=(steering,))]
    return plan_of(specs)
