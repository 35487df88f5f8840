"""Everything about one token of an attribution: where it is, what it reads, what would come next. Draws in place."""

from __future__ import annotations

import altair as alt
import pandas as pd
import streamlit as st

from core.runs import Attribution
from core.values import PAPER_WINDOW
from ui.attribution_methods import METHODS, Method
from ui.text import plain, visible
from ui.theme import BLUE, GRAY


def draw_pinned(
    attribution: Attribution,
    token: int | None,
    *,
    method: Method,
    layer: int,
    labels: tuple[str, ...],
    events: tuple[int, ...],
    keywords: frozenset[int],
) -> None:
    """The panel of the pinned token, or how to pin one."""
    if token is None:
        st.info(
            "No token is pinned. Click or tap one in the text, or press Tab until the text has the focus, move with "
            "the arrow keys and press Enter. Its values and likely next tokens are then listed here.",
            icon="📌",
        )
        return
    st.markdown("**Pinned token**")
    st.code(visible(attribution.pieces[token]) or "(no text of its own)", language=None, wrap_lines=True)
    st.markdown(_place(attribution, token, labels=labels, events=events, is_keyword=token in keywords))
    value = float(method.values(attribution, layer)[token])
    st.metric(f"{method.title}, layer {layer}" if method.per_layer else method.title, method.format(value))
    _draw_profile(attribution, token, method=method, layer=layer)
    _draw_next(attribution, token)
    _draw_readings(attribution, token, layer)


def _place(
    attribution: Attribution, token: int, *, labels: tuple[str, ...], events: tuple[int, ...], is_keyword: bool
) -> str:
    start = attribution.spec.text_start
    lines = [f"Position **{token}**, " + (f"{token - start} of the text" if token >= start else "in the prompt")]
    if labels[token]:
        lines.append(f"Label **{plain(labels[token], 60)}**")
    if token in events:
        lines.append("**Event**: here the text turns back")
    lines.append(_offset(token, events))
    if is_keyword:
        lines.append("Part of a keyword")
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


def _draw_profile(attribution: Attribution, token: int, *, method: Method, layer: int) -> None:
    profile = method.profile(attribution, token)
    if profile is None:
        st.caption("Read at the model's output, so there is no profile over layers.")
        return
    frame = pd.DataFrame({"layer": range(len(profile)), "value": profile.astype(float)})
    x = alt.X("layer:Q", title="Layer", axis=alt.Axis(tickMinStep=1, format="d", grid=False))
    y = alt.Y("value:Q", title=None, axis=alt.Axis(tickCount=3))
    here = pd.DataFrame({"layer": [layer]})
    chart = alt.layer(
        alt.Chart(pd.DataFrame({"value": [0.0]})).mark_rule(color=GRAY, opacity=0.5).encode(y=y),
        alt.Chart(here).mark_rule(color=GRAY, strokeWidth=2).encode(x=x),
        alt.Chart(frame)
        .mark_line(point={"size": 40}, color=BLUE, strokeWidth=1.6)
        .encode(x=x, y=y, tooltip=[alt.Tooltip("layer:Q"), alt.Tooltip("value:Q", format=".3g")]),
    )
    st.altair_chart(
        chart.properties(height=130),
        width="stretch",
        alt=f"{method.title} of the pinned token over the layers, layer {layer} marked",
    )


def _draw_next(attribution: Attribution, token: int) -> None:
    spec = attribution.spec
    st.markdown(
        f"**Most likely next**  \nwithout the direction, and with {spec.coefficient:+.3g} of it after layer "
        f"{spec.layer}"
    )
    frame = next_tokens(attribution, token)
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


def next_tokens(attribution: Attribution, token: int) -> pd.DataFrame:
    """The k most likely next tokens in both readings, with probabilities in percent and white space made visible."""
    _, seq, k = attribution.top_ids.shape
    columns: dict[str, list[object]] = {}
    for row, (name, p) in enumerate((("without", "p"), ("with", "p steered"))):
        start = (row * seq + token) * k
        columns[name] = [visible(piece) for piece in attribution.top_pieces[start : start + k]]
        columns[p] = [100 * float(value) for value in attribution.top_probs[row, token]]
    return pd.DataFrame(columns)


def _draw_readings(attribution: Attribution, token: int, layer: int) -> None:
    """Every method's value of the token, at the layer that is shown."""
    rows = [(method.short, method.format(float(method.values(attribution, layer)[token]))) for method in METHODS]
    st.markdown(f"**All readings**  \nthose with layers at layer {layer}")
    st.dataframe(
        pd.DataFrame(rows, columns=["Reading", "Value"]),
        hide_index=True,
        height="content",
        row_height=28,
        alt="Every reading of the pinned token",
    )
