"""The steering program on the page: operator, layers, positions, ramp, and further directions with their cosines."""

from __future__ import annotations

from dataclasses import dataclass, replace

import streamlit as st

from core.directions.direction import Direction
from core.forward.edits import OPERATORS, Operator, SteeringSpec
from core.models.pair import ModelFacts
from core.text.words import words_of
from core.values import MAX_ENDING_WORDS, MAX_NEW_TOKENS, Positions, Region
from ui.components.safe_text import plain
from ui.directions.choices import Choice, choices
from ui.directions.coefficient import COEFFICIENT, default_coefficient
from ui.directions.residual_norm import residual_norm
from ui.shell.bounds import Number, OneOf, Text
from ui.shell.links import Field, put_instead

REGIONS: dict[Region, str] = {
    "all": "every position (the paper)",
    "prompt": "the prompt only",
    "completion": "the completion only",
    "thinking": "the thinking only",
}
MAX_MORE = 3
LAYER = Number(0, 999, 1)
"""What a link may say; how many layers the loaded model has is known only later."""
DIRECTION_ID = Text(64)
OPERATOR, REGION = OneOf(tuple(OPERATORS)), OneOf(tuple(REGIONS))
START, COUNT = Number(0, MAX_NEW_TOKENS, 1), Number(0, MAX_NEW_TOKENS, 1)
EVERY, RAMP = Number(1, 64, 1), Number(1, MAX_NEW_TOKENS, 1)
UNTIL = Text(200)


@dataclass(frozen=True, kw_only=True)
class Extra:
    """A further direction of the program, as the link keeps it."""

    direction_id: str
    operator: Operator
    coefficient: float
    layer: int


def read_extras(raw: str) -> list[Extra]:
    """Further directions of a link: "id:operator:coefficient:layer", joined by ";". Raises ValueError."""
    extras = []
    for part in raw.split(";")[: MAX_MORE + 1]:
        if part.count(":") != 3:
            raise ValueError("allowed: direction:operator:coefficient:layer")
        direction_id, operator, coefficient, layer = part.split(":")
        extras.append(
            Extra(
                direction_id=DIRECTION_ID.parse(direction_id),
                operator=OPERATOR.parse(operator),
                coefficient=COEFFICIENT.parse(coefficient),
                layer=LAYER.parse(layer),
            )
        )
    if len(extras) > MAX_MORE:
        raise ValueError(f"allowed: {MAX_MORE} directions")
    return extras


def show_extras(extras: list[Extra]) -> str:
    """Inverse of `read_extras`."""
    return ";".join(f"{e.direction_id}:{e.operator}:{e.coefficient:.12g}:{e.layer}" for e in extras)


def read_layers(raw: str) -> list[int]:
    """Layers of a link: "2,3". Raises ValueError."""
    return sorted({LAYER.parse(part) for part in raw.split(",")})


PROGRAM_FIELDS = (
    Field(name="operator", key="pg_operator", default="add", parse=OPERATOR.parse),
    Field(name="also", key="pg_layers", default=[], parse=read_layers, show=lambda layers: ",".join(map(str, layers))),
    Field(name="positions", key="pg_region", default="all", parse=REGION.parse),
    Field(name="from", key="pg_from", default=0, parse=START.parse),
    Field(name="first", key="pg_first", default=0, parse=COUNT.parse),
    Field(name="every", key="pg_every", default=1, parse=EVERY.parse),
    Field(name="until", key="pg_until", default="", parse=UNTIL.parse),
    Field(name="ramp", key="pg_ramp", default=1, parse=RAMP.parse),
    Field(name="more", key="pg_more", default=[], parse=read_extras, show=show_extras),
)


def ask_program(direction: Direction, coefficient: float, layer: int, facts: ModelFacts) -> tuple[SteeringSpec, ...]:
    """The edits that the controls ask for: the direction at its layers, then the further ones, all at one place.

    Raises BadInput for positions that select nothing.
    """
    operator, layers = _ask_operator(layer, facts)
    positions, ramp = _ask_positions()
    first = SteeringSpec(
        direction=direction, layer=layer, operator=operator, coefficient=coefficient, positions=positions, ramp=ramp
    )
    program = [replace(first, layer=each) for each in (layer, *(other for other in layers if other != layer))]
    for extra, found in _ask_extras(direction, facts):
        program.append(
            replace(
                first,
                direction=found,
                layer=extra.layer,
                operator=extra.operator,
                coefficient=extra.coefficient,
            )
        )
    return tuple(program)


def _in_words(operator: Operator) -> str:
    return OPERATORS[operator].choice


def _ask_operator(layer: int, facts: ModelFacts) -> tuple[Operator, list[int]]:
    how, where = st.columns(2)
    operator: Operator = how.selectbox(
        "What to do with it", list(OPERATORS), format_func=_in_words, key="pg_operator", persist_state="session"
    )
    asked = st.session_state["pg_layers"]
    there = [i for i in asked if i < facts.n_layers]
    if len(there) < len(asked):
        put_instead("pg_layers", there, f"Layers that were asked for are left out: the model has {facts.n_layers}.")
    layers = where.multiselect(
        "Also at layers",
        range(facts.n_layers),
        key="pg_layers",
        persist_state="session",
        placeholder=f"only at layer {layer}",
        help="The same edit after more blocks; each adds to what the ones before it did.",
    )
    return operator, layers


def _ask_positions() -> tuple[Positions, int]:
    where, ending = st.columns([2, 3])
    region: Region = where.selectbox(
        "Where", list(REGIONS), format_func=REGIONS.__getitem__, key="pg_region", persist_state="session"
    )
    words = ending.text_input(
        "Until one of these words is written",
        key="pg_until",
        persist_state="session",
        max_chars=UNTIL.limit,
        placeholder="never stops by itself; for example: wait, hmm",
        help="From the token that completes the word on, nothing is steered any more.",
    )
    start, length, every, ramp = st.columns(4)
    first = START.field(start, "From its token", key="pg_from")
    count = COUNT.field(length, "For n tokens", key="pg_first", help="0 goes on to the end.")
    step = EVERY.field(every, "Every n-th token", key="pg_every")
    rise = RAMP.field(
        ramp,
        "Ramp over n",
        key="pg_ramp",
        help="The edit rises linearly to its full size over this many positions; 1 is at once.",
    )
    until = tuple(dict.fromkeys(words_of(words)))[:MAX_ENDING_WORDS]
    stop = first + count if count else None
    return Positions(region=region, start=first, stop=stop, every=step, until=until), rise


def _ask_extras(direction: Direction, facts: ModelFacts) -> list[tuple[Extra, Direction]]:
    """The further directions with what is asked of them; those that are not there are left out, and said so."""
    found = {choice.direction_id: choice for choice in choices(d_model=facts.d_model)}
    wanted: list[Extra] = st.session_state["pg_more"]
    here = [extra for extra in wanted if extra.direction_id in found]
    extras = [replace(extra, layer=min(extra.layer, facts.n_layers - 1)) for extra in here]
    if extras != wanted:
        gone = "one that is not on this machine is left out" if len(here) < len(wanted) else ""
        deep = f"the model's last layer is {facts.n_layers - 1}" if extras != here else ""
        put_instead("pg_more", extras, f"Of the further directions, {' and '.join(filter(None, (gone, deep)))}.")
    kept = []
    for i, extra in enumerate(extras):
        asked = _ask_extra(i, extra, found, facts)
        if asked is not None:
            kept.append(asked)
    if len(kept) < MAX_MORE and st.button("Add another direction", icon=":material/add:", key=f"pg_add:{len(kept)}"):
        newest = next(iter(found.values()))
        layer = min(newest.direction.layer, facts.n_layers - 1)
        size = round(default_coefficient(newest.direction, residual_norm(facts, layer)), 2)
        kept.append(Extra(direction_id=newest.direction_id, operator="add", coefficient=size, layer=layer))
    changed = kept != st.session_state["pg_more"]
    st.session_state["pg_more"] = kept
    if changed:
        st.rerun()
    _show_cosines([direction, *(found[extra.direction_id].direction for extra in kept)])
    return [(extra, found[extra.direction_id].direction) for extra in kept]


def _ask_extra(i: int, extra: Extra, found: dict[str, Choice], facts: ModelFacts) -> Extra | None:
    """One row of controls; None when it was removed."""
    which, how, size, depth, gone = st.columns([5, 3, 2, 2, 1], vertical_alignment="bottom")
    ids, name = list(found), f"pg_more:{i}:{show_extras([extra])}"
    picked = which.selectbox(
        f"Direction {i + 2}",
        ids,
        index=ids.index(extra.direction_id),
        format_func=lambda item: found[item].title,
        key=f"{name}:which",
    )
    operators = list(OPERATORS)
    operator = how.selectbox(
        "Operator",
        operators,
        index=operators.index(extra.operator),
        format_func=_in_words,
        key=f"{name}:how",
    )
    coefficient = size.number_input(
        "× unit", COEFFICIENT.low, COEFFICIENT.high, value=float(extra.coefficient), key=f"{name}:size"
    )
    layer = depth.number_input("Layer", 0, facts.n_layers - 1, extra.layer, key=f"{name}:at")
    if gone.button("✕", key=f"{name}:gone", help="Remove this direction"):
        return None
    return Extra(direction_id=picked, operator=operator, coefficient=float(coefficient), layer=int(layer))


def _show_cosines(directions: list[Direction]) -> None:
    pairs = [
        f"cos({plain(a.name, 40)}, {plain(b.name, 40)}) = **{a.cosine(b):.2f}**"
        for i, a in enumerate(directions)
        for b in directions[i + 1 :]
    ]
    if pairs:
        st.caption(" · ".join(pairs))
