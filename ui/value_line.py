"""One value over the tokens of a text, as a line or a table; picking a point or a row picks the token.

Knows neither models nor methods.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import altair as alt
import numpy as np
import pandas as pd
import streamlit as st

from core.values import Floats
from ui.text import visible
from ui.theme import BLUE, GRAY, RED

HEIGHT = 170
_PICK = "pick"
Form = Literal["Line", "Table"]
FORMS: tuple[Form, ...] = ("Line", "Table")


@dataclass(frozen=True, kw_only=True, eq=False)
class ValueLine:
    """What is drawn: the tokens from `first` on."""

    values: Floats
    """(seq,) prompt included."""
    pieces: tuple[str, ...]
    labels: tuple[str, ...]
    title: str
    events: tuple[int, ...] = ()
    pinned: int | None = None
    first: int = 0


def choose_form(key: str) -> Form:
    """The switch between line and table."""
    form = st.segmented_control(
        "Values as",
        FORMS,
        default=FORMS[0],
        required=True,
        key=f"{key}:form",
        persist_state="session",
        label_visibility="collapsed",
    )
    return form or FORMS[0]


def value_line(line: ValueLine, *, form: Form, key: str, on_pick: Callable[[int], None]) -> None:
    """Draw the line or the table; `on_pick` gets the absolute index of the picked token."""
    if form == "Table":
        _draw_table(line, key=f"{key}:table", on_pick=on_pick)
    else:
        _draw_line(line, key=f"{key}:line", on_pick=on_pick)


def _draw_line(line: ValueLine, *, key: str, on_pick: Callable[[int], None]) -> None:
    def take() -> None:
        points = st.session_state[key]["selection"].get(_PICK, [])
        if points:
            on_pick(int(points[0]["token"]))

    st.altair_chart(
        line_chart(line),
        width="stretch",
        key=key,
        on_select=take,
        selection_mode=_PICK,
        alt=f"{line.title} over the tokens of the text; the table shows the same values.",
    )


def line_chart(line: ValueLine) -> alt.LayerChart:
    """The value over the tokens, with events in red and the pinned token marked; the nearest point can be clicked."""
    tokens = np.arange(line.first, len(line.values))
    frame = pd.DataFrame({"token": tokens, "value": line.values[line.first :].astype(float)})
    domain = alt.Scale(domain=[line.first, max(len(line.values) - 1, line.first + 1)], nice=False)
    x = alt.X("token:Q", scale=domain, title="Token", axis=alt.Axis(grid=False, tickMinStep=1, format="d"))
    y = alt.Y("value:Q", title=None, axis=alt.Axis(tickCount=4))
    pick = alt.selection_point(name=_PICK, fields=["token"], nearest=True, on="click", clear=False, toggle=False)
    tooltip = [alt.Tooltip("token:Q", title="Token"), alt.Tooltip("value:Q", title="Value", format=".3g")]
    curve = alt.Chart(frame).mark_line(strokeWidth=1.4, color=BLUE).encode(x=x, y=y)
    points = curve.mark_point(opacity=0, size=40).encode(tooltip=tooltip).add_params(pick)
    layers = [_rules(line.events, x, RED, width=1.6), curve, points]
    if line.pinned is not None and line.pinned >= line.first:
        layers.append(_rules((line.pinned,), x, GRAY, width=1.2))
        layers.append(_pin(line, x, y))
    return alt.layer(*layers).properties(height=HEIGHT)


def _rules(tokens: tuple[int, ...], x: alt.X, colour: str, *, width: float) -> alt.Chart:
    frame = pd.DataFrame({"token": pd.Series(tokens, dtype="int64")})
    return alt.Chart(frame).mark_rule(color=colour, strokeWidth=width, opacity=0.75).encode(x=x)


def _pin(line: ValueLine, x: alt.X, y: alt.Y) -> alt.Chart:
    assert line.pinned is not None
    frame = pd.DataFrame({"token": [line.pinned], "value": [float(line.values[line.pinned])]})
    return alt.Chart(frame).mark_point(size=110, filled=True, color=BLUE, stroke=GRAY, strokeWidth=2).encode(x=x, y=y)


def _draw_table(line: ValueLine, *, key: str, on_pick: Callable[[int], None]) -> None:
    def take() -> None:
        rows = st.session_state[key]["selection"]["rows"]
        if rows:
            on_pick(line.first + int(rows[0]))

    st.dataframe(
        _table(line),
        hide_index=True,
        height=300,
        key=key,
        on_select=take,
        selection_mode="single-row",
        column_config={"value": st.column_config.NumberColumn(line.title, format="%.4g")},
        alt=f"{line.title} of every token of the text",
    )


def _table(line: ValueLine) -> pd.DataFrame:
    events = set(line.events)
    rows: list[dict[str, Any]] = [
        {
            "position": i,
            "token": visible(line.pieces[i]),
            "value": float(line.values[i]),
            "label": line.labels[i],
            "event": "event" if i in events else "",
        }
        for i in range(line.first, len(line.values))
    ]
    return pd.DataFrame(rows, columns=["position", "token", "value", "label", "event"])
