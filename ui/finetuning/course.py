"""How a finetune goes: its losses as a chart, what the model wrote on the way."""

from __future__ import annotations

import streamlit as st

from core.finetuning.values import Course, Sample
from ui.components.safe_text import literal, plain

_SAMPLE_HEIGHT = 110


def draw_course(course: Course, *, key: str) -> None:
    """Loss by step, and the latest sample texts beside it."""
    left, right = st.columns([3, 2], gap="medium")
    with left:
        _draw_losses(course, key)
    with right:
        _draw_samples(course, key)


def _draw_losses(course: Course, key: str) -> None:
    from ui.components.theme import use_chart_theme
    from ui.figures.training import loss_chart, loss_words

    chart = loss_chart(course)
    if chart is None:
        st.caption("The loss appears here after the first steps.")
        return
    use_chart_theme()
    st.altair_chart(chart, width="stretch", key=f"{key}:losses", alt="Loss by step, as the caption says.")
    if course.losses:
        st.caption(loss_words(course))


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
    with st.container(border=True, height=_SAMPLE_HEIGHT):
        st.text(literal(sample.text) or "nothing")
