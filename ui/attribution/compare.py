"""The chosen text beside another reading: the other model's, or that of another generation, token by token."""

from __future__ import annotations

from dataclasses import dataclass, replace

import altair as alt
import numpy as np
import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.attribution.cross_check import rank_correlation
from core.attribution.readouts import SteeredSpec, StreamLensSpec
from core.attribution.token_diff import Pair, align_tokens, runs
from core.attribution.values import Attribution, AttributionSpec
from core.models.pair import ROLES, ModelFacts
from core.runs.values import Generation
from core.values import Floats
from ui.attribution.catalogue import BY_KEY, METHODS
from ui.attribution.choice import choose_layer
from ui.attribution.form import Request
from ui.attribution.further import lens_offer, obtain_further, steered_offer
from ui.attribution.methods import Method, Readings, rounded_range
from ui.attribution.source import generation_title
from ui.components.colours import BLUE, ORANGE
from ui.components.safe_text import plain, tried, visible
from ui.components.token_strip import Strip, token_strip
from ui.shell.how_read import told_frame
from ui.shell.jobs import Offer, forward_macs, obtain
from ui.shell.state import caller, pair_facts, workbench

_MODEL, _TEXT = "The other model", "A stored generation"
_ONLY = "only here"
_HEIGHT = 240


@dataclass(frozen=True, kw_only=True)
class Side:
    """One of the two readings."""

    name: str
    readings: Readings

    def values(self, method: Method, layer: int) -> Floats:
        return method.values(self.readings, layer)


@st.fragment
def draw_compare(attribution: Attribution, request: Request, facts: ModelFacts) -> None:
    """Controls, both texts, and their values over the shared tokens."""
    left, middle, right = st.columns([4, 4, 4], gap="medium", vertical_alignment="bottom")
    against = _ask_against(left)
    options = [method.key for method in METHODS if method.needs in ("", "steered", "lens")]
    with middle:
        key = st.selectbox(
            "Reading", options, format_func=lambda k: BY_KEY[k].title, key="compare_method", persist_state="session"
        )
    method = BY_KEY[key or options[0]]
    with right:
        layer = choose_layer(attribution, disabled=not method.per_layer)
    other = _other_model(request) if against == _MODEL else _other_text(request, facts)
    if other is None:
        return
    name, spec, reader = other
    offer = Offer(
        macs=forward_macs(reader, len(spec.token_ids)),
        words=f"Reading {len(spec.token_ids):,} tokens with {plain(reader.name)} takes a while.",
        button="Read it for comparison",
    )
    found = obtain(spec, "compare", Attribution, lambda: workbench().attribute(spec, caller()), offer=offer)
    if found is None:
        return
    ours = _with_needs(Readings(attribution=attribution), method, layer, facts, method.needs)
    theirs = _with_needs(Readings(attribution=found), method, layer, reader, f"compare:{method.needs}")
    if ours is None or theirs is None:
        return
    sides = (Side(name=facts.name, readings=ours), Side(name=name, readings=theirs))
    if not all(method.available(side.readings) for side in sides):
        st.info(method.missing(sides[0].readings) or method.missing(sides[1].readings), icon=":material/block:")
        return
    _draw(sides, method, layer)


def _with_needs(readings: Readings, method: Method, layer: int, facts: ModelFacts, name: str) -> Readings | None:
    """The readings with what the method needs; None while that is computed or offered."""
    reading = readings.attribution.spec
    layer = min(layer, readings.n_layers - 1)
    if method.needs == "steered":
        return obtain_further(
            readings, SteeredSpec(reading=reading), "steered", steered_offer(readings, facts), name=name
        )
    if method.needs == "lens":
        spec = StreamLensSpec.of(reading, layer)
        return obtain_further(readings, spec, "lens", lens_offer(readings, facts, layer), name=f"{name}:{layer}")
    return readings


def _ask_against(column: DeltaGenerator) -> str | None:
    chosen: str | None = column.segmented_control(
        "Compare with",
        (_MODEL, _TEXT),
        default=_MODEL,
        required=True,
        key="compare_with",
        persist_state="session",
        wrap=True,
    )
    return chosen


def _other_model(request: Request) -> tuple[str, AttributionSpec, ModelFacts] | None:
    """(name, what is read, facts of who reads) of the same text by the other model of the pair."""
    facts = dict(zip(ROLES, pair_facts() or (), strict=False))
    role = next(role for role in ROLES if role != request.role)
    return _spec(request, request.question, request.text, facts[role], plain(facts[role].name))


def _other_text(request: Request, facts: ModelFacts) -> tuple[str, AttributionSpec, ModelFacts] | None:
    """(name, what is read, who reads) of a stored generation, by the model that reads the chosen text."""
    stored = [item.value for item in workbench().store.recent("generation", Generation, 50)]
    texts = [generation for generation in stored if generation.text != request.text and generation.text.strip()]
    same = [generation for generation in texts if generation.spec.prompt.question == request.question]
    texts = same + [generation for generation in texts if generation not in same]
    if not texts:
        st.info(
            "There is no other generation to compare with. Run one in the **Steering playground**, baseline and "
            "steered, choose one of them as the text above, and the other here.",
            icon=":material/tune:",
        )
        return None
    picked = st.selectbox(
        "Generation",
        range(len(texts)),
        format_func=lambda i: generation_title(texts[i]),
        key="compare_generation",
        help="Those that answer the same question come first.",
    )
    chosen = texts[picked]
    return _spec(request, chosen.spec.prompt.question, chosen.text, facts, generation_title(chosen))


def _spec(
    request: Request, question: str, text: str, facts: ModelFacts, name: str
) -> tuple[str, AttributionSpec, ModelFacts] | None:
    role = next(role for role in ROLES if workbench().pair.facts(role).fingerprint == facts.fingerprint)
    reading = tried(lambda: workbench().pair.read(role, question, text, frame=told_frame()))
    if reading is None:
        return None
    spec = replace(
        request.spec,
        model=facts.spec,
        fingerprint=facts.fingerprint,
        token_ids=reading.token_ids,
        text_start=reading.text_start,
    )
    return name, spec, facts


def _body(side: Side) -> tuple[int, ...]:
    return side.readings.attribution.spec.token_ids[side.readings.start :]


def _draw(sides: tuple[Side, Side], method: Method, layer: int) -> None:
    columns = align_tokens(_body(sides[0]), _body(sides[1]))
    reach = max(method.value_range(side.readings, layer)[1] for side in sides)
    only = [[pair[k] for pair in columns if pair[1 - k] is None] for k in (0, 1)]
    for k, side in enumerate(sides):
        start = side.readings.start
        st.markdown(f"**{plain(side.name, 120)}**")
        token_strip(
            Strip(
                pieces=side.readings.attribution.pieces[start:],
                values=side.values(method, layer)[start:],
                value_range=rounded_range((-reach if method.signed else 0.0, reach)),
                value_name=method.titled(layer),
                unit=method.unit,
                parts=tuple((a, b, _ONLY) for a, b in runs([i for i in only[k] if i is not None])),
            ),
            key=f"compare_strip_{k}",
            height=_HEIGHT,
            label=f"Tokens of {side.name}",
            search=k == 0,
        )
    _draw_values(sides, columns, method, layer)


def _draw_values(sides: tuple[Side, Side], columns: list[Pair], method: Method, layer: int) -> None:
    a, b = (side.values(method, layer)[side.readings.start :].astype(float) for side in sides)
    shared = [(i, j) for i, j in columns if i is not None and j is not None]
    first = next((k for k, (i, j) in enumerate(columns) if i is None or j is None), None)
    x, y = (np.asarray([row[pair[k]] for pair in shared]) for k, row in enumerate((a, b)))
    rho = rank_correlation(x, y)
    where = "nowhere" if first is None else f"from token {first} on"
    st.caption(
        f"{len(shared):,} tokens are shared, {len(columns) - len(shared):,} stand in one text only; they part {where}. "
        f"Over the shared tokens the mean difference (second less first) is {method.format(float(np.mean(y - x)))}"
        f", the ranks correlate with ρ = {rho:+.2f}."
        if shared
        else "The two texts share no token."
    )
    pieces = [side.readings.attribution.pieces[side.readings.start :] for side in sides]
    names = ("first: " + sides[0].name, "second: " + sides[1].name)
    rows = [
        {"column": k, "value": row[index], "reading": names[s], "token": visible(pieces[s][index])}
        for k, pair in enumerate(columns)
        for s, row in enumerate((a, b))
        if (index := pair[s]) is not None
    ]
    chart = (
        alt.Chart(pd.DataFrame(rows))
        .mark_line(strokeWidth=1.4)
        .encode(
            x=alt.X("column:Q", title="aligned token", axis=alt.Axis(grid=False)),
            y=alt.Y("value:Q", title=method.unit or None, axis=alt.Axis(tickCount=4)),
            color=alt.Color(
                "reading:N",
                title=None,
                sort=list(names),
                scale=alt.Scale(domain=list(names), range=[BLUE, ORANGE]),
                legend=alt.Legend(orient="top", labelLimit=420),
            ),
            tooltip=["column:Q", "reading:N", "token:N", alt.Tooltip("value:Q", format=".3g")],
        )
    )
    st.altair_chart(chart.properties(height=220), width="stretch", alt=f"{method.titled(layer)} of both, aligned")
