"""One value over the tokens of a text, as a line or a table; picking a point or a row picks the token.

Knows neither models nor methods.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import altair as alt
import numpy as np
import pandas as pd
import streamlit as st

from core.values import Floats
from ui.components.colours import BLUE, GRAY, RED
from ui.components.fixed_chart import Data, fixed_chart
from ui.components.safe_text import visible

HEIGHT = 170
POINTS = 250
"""Stretches of a long text of which the line shows the extremes; there are hardly more pixels."""
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

    rows = line_rows(line)
    shown = extremes(rows)
    fixed_chart(
        line_chart,
        with_bands(shown),
        key=key,
        on_select=take,
        selection_mode=_PICK,
        alt=f"{line.title} over the tokens of the text; the table shows the same values.",
    )
    if len(shown) < len(rows):
        st.caption("More tokens than the line has pixels: it goes through the lowest and highest value of every few.")


def line_rows(line: ValueLine) -> pd.DataFrame:
    """One row per token from the first on: what `line_chart` draws."""
    tokens = np.arange(line.first, len(line.values))
    values = line.values[line.first :].astype(float)
    return pd.DataFrame(
        {"token": tokens, "value": values, "event": np.isin(tokens, line.events), "pinned": tokens == line.pinned}
    )


def extremes(rows: pd.DataFrame) -> pd.DataFrame:
    """About 2 × POINTS of the rows: the lowest and highest value and one gap of every stretch, and all marks."""
    if len(rows) <= 2 * POINTS:
        return rows
    stretch = np.arange(len(rows)) * POINTS // len(rows)
    known = rows["value"].dropna()
    values = known.groupby(stretch[known.index])
    gaps = pd.Series(np.flatnonzero(rows["value"].isna()))
    kept = {0, len(rows) - 1, *values.idxmin(), *values.idxmax(), *gaps.groupby(stretch[gaps]).first()}
    kept |= set(np.flatnonzero(rows["event"] | rows["pinned"]))
    return rows.iloc[sorted(map(int, kept))]


def with_bands(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with the range (`left`, `right`) of tokens that is nearest to each."""
    tokens = rows["token"].to_numpy(dtype=float)
    middles = (tokens[:-1] + tokens[1:]) / 2
    return rows.assign(left=[*tokens[:1], *middles], right=[*middles, *tokens[-1:]])


def line_chart(rows: Data) -> alt.LayerChart:
    """The value over the tokens, with events in red and the pinned token marked. A click takes the nearest token.

    Nearest by bands rather than by Vega-Lite's `nearest`, whose cells take longer to draw than all else.
    """
    axis, scale = alt.Axis(grid=False, tickMinStep=1, format="d"), alt.Scale(nice=False, zero=False)
    x, left = (alt.X(f"{field}:Q", title="Token", axis=axis, scale=scale) for field in ("token", "left"))
    y = alt.Y("value:Q", title=None, axis=alt.Axis(tickCount=4))
    pick = alt.selection_point(name=_PICK, fields=["token"], on="click", clear=False, toggle=False)
    tooltip = [alt.Tooltip("token:Q", title="Token"), alt.Tooltip("value:Q", title="Value", format=".3g")]
    chart = alt.Chart()
    curve = chart.mark_line(strokeWidth=1.4, color=BLUE).encode(x=x, y=y)
    events = chart.transform_filter("datum.event").mark_rule(color=RED, strokeWidth=1.6, opacity=0.75).encode(x=x)
    pinned = chart.transform_filter("datum.pinned")
    return alt.layer(
        events,
        curve,
        chart.mark_rect(opacity=0, aria=False).encode(x=left, x2="right:Q", tooltip=tooltip).add_params(pick),
        pinned.mark_rule(color=GRAY, strokeWidth=1.2, opacity=0.75).encode(x=x),
        pinned.mark_point(size=110, filled=True, color=BLUE, stroke=GRAY, strokeWidth=2).encode(x=x, y=y),
        data=rows,
    ).properties(height=HEIGHT)


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
    rows: list[dict[str, object]] = [
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
