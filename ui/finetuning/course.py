"""How a finetune goes: its losses as a chart, what the model wrote on the way."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from core.finetuning.values import Course, Sample
from ui.components.colours import dashes
from ui.components.safe_text import literal, plain

_SMOOTHED = 10
_HEIGHT = 260
LEARNED, HELD_OUT = "learned", "held out"
_COLOURS = ("#128a80", "#c2549d")
"""Of the two losses; blue and orange are the two models."""


def draw_course(course: Course, *, key: str) -> None:
    """Loss by step, and the latest sample texts beside it."""
    left, right = st.columns([3, 2], gap="medium")
    with left:
        _draw_losses(course, key)
    with right:
        _draw_samples(course, key)


def loss_rows(course: Course) -> pd.DataFrame:
    """One row a point: step, loss in nats a token, and what it was measured on; the learned one is smoothed."""
    smooth = pd.Series(course.losses, dtype=float).rolling(_SMOOTHED, min_periods=1).mean()
    rows = [{"step": i + 1, "loss": loss, "on": LEARNED} for i, loss in enumerate(smooth)]
    rows += [{"step": step, "loss": loss, "on": HELD_OUT} for step, loss in course.held_out]
    return pd.DataFrame(rows, columns=["step", "loss", "on"])


def _draw_losses(course: Course, key: str) -> None:
    rows = loss_rows(course)
    if rows.empty:
        st.caption("The loss appears here after the first steps.")
        return
    import altair as alt

    from ui.components.theme import use_chart_theme

    use_chart_theme()
    names, legend = [LEARNED, HELD_OUT], alt.Legend(orient="top", symbolType="stroke", symbolSize=400)
    base = alt.Chart(rows).encode(
        x=alt.X("step:Q", title="step", axis=alt.Axis(tickMinStep=1), scale=alt.Scale(nice=False, padding=6)),
        y=alt.Y("loss:Q", title="loss (nats a token)", scale=alt.Scale(zero=False)),
        color=alt.Color("on:N", title=None, scale=alt.Scale(domain=names, range=list(_COLOURS)), legend=legend),
        tooltip=["step", alt.Tooltip("loss", format=".3f"), "on"],
    )
    dash = alt.StrokeDash("on:N", title=None, scale=alt.Scale(domain=names, range=dashes(2)), legend=legend)
    points = base.transform_filter(alt.datum.on == HELD_OUT).mark_point(filled=True, size=60)
    chart = (base.mark_line().encode(strokeDash=dash) + points).properties(height=_HEIGHT)
    st.altair_chart(chart, width="stretch", key=f"{key}:losses", alt="Loss by step, as the caption says.")
    held = f", {course.held_out[-1][1]:.3f} on {course.n_held_out:,} held-out traces" if course.held_out else ""
    if course.losses:
        last = rows[rows["on"] == LEARNED]["loss"].iloc[-1]
        st.caption(f"At last {last:.3f} nats a token, as a mean over {_SMOOTHED} steps like the line{held}.")


def _draw_samples(course: Course, key: str) -> None:
    """What was written at a checkpoint, the latest by default."""
    if not course.samples:
        st.caption("Sample texts appear here at every checkpoint.")
        return
    steps = sorted({sample.step for sample in course.samples}, reverse=True)
    chosen = st.selectbox("Written after step", steps, key=f"{key}:step")
    for sample in course.samples:
        if sample.step == chosen:
            _draw_sample(sample)


def _draw_sample(sample: Sample) -> None:
    st.caption(f"**{plain(sample.question, 160)}**")
    with st.container(border=True, height=_HEIGHT // 2 - 20):
        st.text(literal(sample.text) or "nothing")
