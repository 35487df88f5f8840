"""Everything about one token of an attribution: where it is, what it reads, what would come next. Draws in place."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import altair as alt
import numpy as np
import pandas as pd
import streamlit as st

from core.attribution.values import Attribution
from core.values import PAPER_WINDOW
from ui.attribution.catalogue import METHODS
from ui.attribution.further import explain_token, may_compute
from ui.attribution.methods import Method, Readings
from ui.attribution.reader.opening import opened_at
from ui.components.colours import BLUE, GRAY, ORANGE
from ui.components.fixed_chart import Data, fixed_chart
from ui.components.safe_text import plain, visible

_MAX_SENTENCE = 120
"""Tokens of a sentence that are shown."""


@dataclass(frozen=True, kw_only=True)
class Marks:
    """What is known of the text beside its values."""

    labels: tuple[str, ...]
    """(seq,) label of the part that holds each token, "" outside."""
    events: tuple[int, ...]
    keywords: frozenset[int]
    sentences: tuple[int, ...] = ()
    """First tokens of the sentences, in order."""


def draw_pinned(readings: Readings, token: int | None, *, method: Method, layer: int, marks: Marks) -> None:
    """The panel of the pinned token, or how to pin one."""
    if token is None:
        st.info(
            "No token is pinned. Click or tap one in the text, or press Tab until the text has the focus, move with "
            "the arrow keys and press Enter. Its values and likely next tokens are then listed here.",
            icon=":material/push_pin:",
        )
        return
    attribution = readings.attribution
    st.markdown("**Pinned token**")
    st.code(visible(attribution.pieces[token]) or "(no text of its own)", language=None, wrap_lines=True)
    st.markdown(_place(attribution, token, marks))
    st.metric(method.titled(layer), method.format(float(method.values(readings, layer)[token])))
    _draw_profile(readings, token, method=method, layer=layer)
    if token + 1 < len(attribution.pieces) and may_compute("gradients"):
        st.button(
            "Explain what comes next",
            help="Make the prediction after this token the target of gradients and exact effects.",
            on_click=explain_token,
            args=(token,),
            key="attribution_explain",
        )
    _draw_next(readings, token)
    _draw_direct(readings, token)
    _draw_readings(readings, token, layer)
    st.markdown("**Its sentence**")
    st.code(visible(sentence_of(attribution, token, marks.sentences)), language=None, wrap_lines=True)


def sentence_of(attribution: Attribution, token: int, starts: Sequence[int]) -> str:
    """The text of the sentence that holds a token, of a long one its first tokens."""
    k = bisect_right(starts, token)
    first = starts[k - 1] if k else 0
    stop = starts[k] if k < len(starts) else len(attribution.pieces)
    return "".join(attribution.pieces[first : min(stop, max(token + 1, first + _MAX_SENTENCE))])


def _place(attribution: Attribution, token: int, marks: Marks) -> str:
    start = attribution.spec.text_start
    lines = [f"Position **{token}**, " + (f"{token - start} of the text" if token >= start else "in the prompt")]
    if marks.labels[token]:
        lines.append(f"Label **{plain(marks.labels[token], 60)}**")
    if token in marks.events:
        lines.append("**Event**: here the text turns back")
    lines.append(_offset(token, marks.events))
    if token in marks.keywords:
        lines.append("Part of a keyword")
    lines.append(opened_at(token))
    return "  \n".join(line for line in lines if line)


def _offset(token: int, events: tuple[int, ...]) -> str:
    """How far the next event is, in the paper's offsets: negative before it."""
    if not events:
        return "This text has no labelled events"
    following = next((event for event in events if event > token), None)
    if following is None:
        return "No event follows"
    offset = token - following
    inside = PAPER_WINDOW.start <= offset < PAPER_WINDOW.stop
    window = f", inside the paper's window {PAPER_WINDOW.label}" if inside else ""
    return f"Offset **−{-offset}** to the next event, at {following}{window}"


def _draw_profile(readings: Readings, token: int, *, method: Method, layer: int) -> None:
    profile = method.profile(readings, token)
    if profile is None:
        st.caption("This reading has no profile over layers.")
        return
    layers = np.flatnonzero(np.isfinite(profile))
    fixed_chart(
        profile_chart,
        pd.DataFrame({"layer": layers, "value": profile[layers].astype(float), "shown": layers == layer}),
        alt=f"{method.title} of the pinned token over the layers, layer {layer} marked",
    )


def profile_chart(rows: Data) -> alt.LayerChart:
    """One token's reading over the layers, with the layer that is shown."""
    x = alt.X("layer:Q", title="Layer", axis=alt.Axis(tickMinStep=1, format="d", grid=False))
    y = alt.Y("value:Q", title=None, axis=alt.Axis(tickCount=3, format="~g"))
    chart = alt.Chart()
    line = chart.mark_line(point={"size": 40}, color=BLUE, strokeWidth=1.6)
    return alt.layer(
        chart.mark_rule(color=GRAY, opacity=0.5).encode(y=alt.datum(0)),
        chart.transform_filter("datum.shown").mark_rule(color=GRAY, strokeWidth=2).encode(x=x),
        line.encode(x=x, y=y, tooltip=[alt.Tooltip("layer:Q"), alt.Tooltip("value:Q", format=".3g")]),
        data=rows,
    ).properties(height=130)


def _draw_next(readings: Readings, token: int) -> None:
    attribution = readings.attribution
    spec = attribution.spec
    both = f", and with {spec.coefficient:+.3g} of it after layer {spec.layer}"
    st.markdown(f"**Most likely next**  \nwithout the direction{both if readings.steered is not None else ''}")
    frame = next_tokens(readings, token)
    percent = {name: st.column_config.NumberColumn("%", format="%.1f", width=48) for name in ("p", "p steered")}
    st.dataframe(
        frame,
        hide_index=True,
        height="content",
        row_height=28,
        column_config={
            "without": st.column_config.TextColumn("Without", width=70),
            "with": st.column_config.TextColumn("With", width=70),
            **percent,
        },
        alt="Most likely next tokens without and with the direction",
    )
    if token + 1 < len(attribution.pieces):
        st.caption("In the text, the next token is")
        st.code(visible(attribution.pieces[token + 1]) or "(no text of its own)", language=None, wrap_lines=True)


def next_tokens(readings: Readings, token: int) -> pd.DataFrame:
    """The k most likely next tokens in both readings, with probabilities in percent and white space made visible."""
    columns: dict[str, list[object]] = {}
    for found, name, p in ((readings.attribution, "without", "p"), (readings.steered, "with", "p steered")):
        if found is None:
            continue
        k = found.top_ids.shape[1]
        columns[name] = [visible(piece) for piece in found.top_pieces[token * k : (token + 1) * k]]
        columns[p] = [100 * float(value) for value in found.top_probs[token]]
    return pd.DataFrame(columns)


def _draw_direct(readings: Readings, token: int) -> None:
    """Direct logit attribution of this token's own prediction, part by part, where gradients are at hand."""
    gradients = readings.gradients
    if gradients is None or len(gradients.direct) == 0:
        return
    rows = gradients.direct[:, token].astype(float)
    n_layers = readings.n_layers
    frame = pd.DataFrame(
        {
            "layer": ["in", *np.repeat(np.arange(n_layers), 2).astype(str), "out"],
            "part": ["embedding", *["attention", "MLP"] * n_layers, "norm and W_U"],
            "value": rows,
        }
    )
    st.markdown(
        f"**What wrote this prediction**  \nkeywords less likeliest others: {_signed(rows.sum())} logits in all"
    )
    fixed_chart(direct_chart, frame, alt="Direct logit attribution by layer and part")


def direct_chart(rows: Data) -> alt.Chart:
    """What each part of each layer adds to a logit difference."""
    colour = alt.Color("part:N", title=None, scale=alt.Scale(range=[GRAY, BLUE, ORANGE, "#8a63d2"]), sort=None)
    chart = alt.Chart(rows).mark_bar()
    return chart.encode(
        x=alt.X("layer:N", sort=None, title="Layer", axis=alt.Axis(labelAngle=0, labelOverlap="greedy")),
        xOffset=alt.XOffset("part:N", sort=None),
        y=alt.Y("value:Q", title=None, axis=alt.Axis(tickCount=4)),
        color=colour.legend(alt.Legend(orient="top", columns=2)),
        tooltip=["layer:N", "part:N", alt.Tooltip("value:Q", format="+.3g")],
    ).properties(height=230)


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "−")


def _draw_readings(readings: Readings, token: int, layer: int) -> None:
    """Every reading of the token that is at hand, at the layer that is shown."""
    rows = [
        (method.title, method.format(float(method.values(readings, layer)[token])))
        for method in METHODS
        if method.available(readings)
    ]
    st.markdown(f"**All readings so far**  \nthose with layers at layer {layer}")
    st.dataframe(
        pd.DataFrame(rows, columns=["Reading", "Value"]),
        hide_index=True,
        height="content",
        row_height=28,
        column_config={
            "Reading": st.column_config.TextColumn(width=140),
            "Value": st.column_config.TextColumn(width=100),
        },
        alt="Every reading of the pinned token",
    )
