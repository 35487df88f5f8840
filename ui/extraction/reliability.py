"""How many traces are enough: the agreement of directions from disjoint groups of traces, by the size of a group."""

from __future__ import annotations

import altair as alt
import pandas as pd
import streamlit as st

from core.errors import UserFacingError
from core.extraction.contrast import ReliabilityCurve, reliability_curve
from core.extraction.moments import Gathered
from ui.components.colours import BLUE, GRAY
from ui.components.safe_text import plain
from ui.extraction.contrast import Choice
from ui.extraction.layer_map import Cell

_GOAL = 0.95
_HEIGHT = 190


def draw_reliability(moments: Gathered, choice: Choice, cell: Cell) -> None:
    """The curve of the chosen cell, what it predicts for all the traces, and how many a goal would need."""
    st.markdown("##### Are these traces enough?")
    try:
        curve = reliability_curve(
            moments,
            choice.label,
            layer=cell.layer,
            window=cell.window,
            negatives=choice.negatives,
            weighting=choice.weighting,
        )
    except UserFacingError as error:
        st.caption(f"{plain(error.problem)} {plain(error.remedy)}")
        return
    st.altair_chart(_chart(curve), width="stretch", alt="Cosine between groups of traces by the size of a group.")
    st.caption(_verdict(curve))


def _verdict(curve: ReliabilityCurve) -> str:
    needed = curve.traces_for(_GOAL)
    enough = (
        f"that is enough for {_GOAL}"
        if curve.predicted >= _GOAL
        else f"about {needed:,.0f} traces with an event would be needed for {_GOAL}"
    )
    return (
        f"Each point is the cosine between the directions of two groups of traces that share none, with its lowest and "
        f"highest pair. Two sets as large as all {curve.n_traces:,} traces with an event would agree to about "
        f"{curve.predicted:.2f} (hollow point, from the fitted n ÷ (n + {curve.noise:.3g})): {enough}."
    )


def _chart(curve: ReliabilityCurve) -> alt.LayerChart:
    points = pd.DataFrame(
        {
            "traces": curve.traces,
            "cosine": curve.cosine,
            "low": curve.low,
            "high": curve.high,
            "lowest pair": [f"{value:.3f}" for value in curve.low],
            "highest pair": [f"{value:.3f}" for value in curve.high],
        }
    )
    steps = [curve.n_traces * k / 60 for k in range(1, 61)]
    fitted = pd.DataFrame({"traces": steps, "cosine": [n / (n + curve.noise) for n in steps]})
    whole = pd.DataFrame({"traces": [curve.n_traces], "cosine": [curve.predicted]})
    low = min(0.0, *curve.low)
    x = alt.X("traces:Q", title="traces per group", scale=alt.Scale(domain=[0, curve.n_traces * 1.04], nice=False))
    y = alt.Y("cosine:Q", title="cosine", scale=alt.Scale(domain=[low, 1]), axis=alt.Axis(tickCount=4))
    line = alt.Chart(fitted).mark_line(color=GRAY, strokeDash=[5, 4], strokeWidth=1.5).encode(x=x, y=y)
    bars = alt.Chart(points).mark_rule(color=BLUE, strokeWidth=2, opacity=0.55).encode(x=x, y="low:Q", y2="high:Q")
    dots = (
        alt.Chart(points)
        .mark_point(color=BLUE, filled=True, size=70, opacity=1)
        .encode(x=x, y=y, tooltip=["traces:Q", alt.Tooltip("cosine:Q", format=".3f"), "lowest pair", "highest pair"])
    )
    hollow = alt.Chart(whole).mark_point(color=BLUE, filled=False, size=80, strokeWidth=2).encode(x=x, y=y)
    return alt.layer(line, bars, dots, hollow).properties(height=_HEIGHT)
