"""The confusion table of an agreement as a heatmap to click, with two selectors on the same cell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import altair as alt
import pandas as pd
import streamlit as st

from core.labelling.agreement import Agreement
from ui.components.colours import BACKGROUND, SEQUENTIAL, TEXT
from ui.components.theme import screen_mode, use_chart_theme

CHART_KEY = "agreement:chart"
ROW_KEY, COLUMN_KEY = "agreement:row", "agreement:column"
_SEEN, _FOR = "agreement:chart:seen", "agreement:chart:for"
_NONE = "no label"
_ROW_HEIGHT, _FRAME_HEIGHT, _TILTED_HEIGHT = 44, 110, 90


@dataclass(frozen=True)
class Cell:
    """A cell of the table: the label in the reference, and in the other labelling."""

    row: str
    column: str


def name_of(label: str) -> str:
    """The label as the table shows it."""
    return label or _NONE


def draw_confusion(agreement: Agreement, *, label: str) -> Cell:
    """The heatmap and its selectors; returns the chosen cell. At first that is the largest disagreement on `label`."""
    use_chart_theme()
    rows, columns = _axes(agreement)
    _adopt_click(agreement, rows, columns, label)
    left, right = st.columns(2)
    row = left.selectbox("In the reference", rows, format_func=name_of, key=ROW_KEY, on_change=_forget_click)
    column = right.selectbox("In the other", columns, format_func=name_of, key=COLUMN_KEY, on_change=_forget_click)
    cell = Cell(row, column)
    st.altair_chart(
        _chart(_frame(agreement, rows, columns), rows, columns, cell),
        key=_chart_key(),
        on_select="rerun",
        selection_mode="cell",
        width="stretch",
        alt="Confusion table: rows are the labels of the reference, columns those of the other labelling.",
    )
    return cell


def _axes(agreement: Agreement) -> tuple[list[str], list[str]]:
    """The labels that the reference gives, and those that the other gives; empty rows and columns say nothing."""
    table = agreement.table
    rows = [label for label, n in zip(agreement.labels, table.sum(axis=1), strict=True) if n]
    columns = [label for label, n in zip(agreement.labels, table.sum(axis=0), strict=True) if n]
    return rows, columns


def _first_cell(agreement: Agreement, label: str) -> Cell:
    sizes = {
        Cell(row, column): len(places)
        for (row, column), places in agreement.places.items()
        if (row == label) != (column == label)
    }
    return max(sizes, key=sizes.__getitem__) if sizes else Cell(*next(iter(agreement.places)))


def _chart_key() -> str:
    """A new key after every choice by selector: the chart then forgets its own, older selection."""
    return f"{CHART_KEY}:{st.session_state.get(CHART_KEY, 0)}"


def _forget_click() -> None:
    st.session_state[CHART_KEY] = st.session_state.get(CHART_KEY, 0) + 1


def _adopt_click(agreement: Agreement, rows: list[str], columns: list[str], label: str) -> None:
    """Give the selectors values that this table has: the click, the choice so far, or the first cell."""
    shown = (id(agreement), label)
    kept = (st.session_state.get(ROW_KEY), st.session_state.get(COLUMN_KEY))
    if st.session_state.get(_FOR) != shown or kept[0] not in rows or kept[1] not in columns:
        first = _first_cell(agreement, label)
        st.session_state[ROW_KEY], st.session_state[COLUMN_KEY] = first.row, first.column
        st.session_state[_FOR] = shown
    event = st.session_state.get(_chart_key()) or {}
    clicked = (event.get("selection", {}).get("cell") or [{}])[0]
    names = {name_of(name): name for name in (*rows, *columns)}
    row, column = names.get(clicked.get("reference", "")), names.get(clicked.get("other", ""))
    click = (_chart_key(), row, column)
    if row is not None and column is not None and click != st.session_state.get(_SEEN):
        st.session_state[_SEEN] = click
        st.session_state[ROW_KEY], st.session_state[COLUMN_KEY] = row, column


def _frame(agreement: Agreement, rows: list[str], columns: list[str]) -> pd.DataFrame:
    """One row per cell: labels, count, and the share of the reference's label."""
    table, at = agreement.table, {label: i for i, label in enumerate(agreement.labels)}
    return pd.DataFrame(
        [
            {
                "reference": name_of(row),
                "other": name_of(column),
                "count": int(table[at[row], at[column]]),
                "share": float(table[at[row], at[column]] / table[at[row]].sum()),
            }
            for row in rows
            for column in columns
        ]
    )


def _chart(frame: pd.DataFrame, rows: list[str], columns: list[str], cell: Cell) -> alt.LayerChart:
    mode = screen_mode(st.context.theme.type)
    tilted = len(columns) > 3
    ramp = list(SEQUENTIAL if mode == "light" else SEQUENTIAL[::-1])
    click = alt.selection_point(name="cell", fields=["reference", "other"], toggle=False, empty=False)
    base = alt.Chart(frame).encode(
        x=alt.X(
            "other:N",
            sort=None,
            title="the other labelling",
            scale=alt.Scale(domain=[name_of(name) for name in columns], paddingInner=0.05, paddingOuter=0),
            axis=alt.Axis(
                grid=False, labelAngle=-50 if tilted else 0, labelLimit=170, labelFlush=False, labelOverlap=False
            ),
        ),
        y=alt.Y(
            "reference:N",
            sort=None,
            title="the reference",
            scale=alt.Scale(domain=[name_of(name) for name in rows], paddingInner=0.05, paddingOuter=0),
            axis=alt.Axis(grid=False, labelLimit=170, labelFlush=False),
        ),
    )
    cells = base.mark_rect(cursor="pointer").encode(
        color=alt.Color("share:Q", scale=alt.Scale(domain=[0, 1], range=ramp, interpolate="rgb"), legend=None),
        tooltip=["reference", "other", "count", alt.Tooltip("share", format=".1%")],
    )
    on_dark = "datum.share > 0.55" if mode == "light" else "datum.share < 0.45"
    numbers = base.mark_text(fontSize=15, fontWeight=600).encode(
        text=alt.Text("count:Q", format=","),
        color=alt.condition(on_dark, alt.value("#ffffff"), alt.value(TEXT["light"])),
    )
    height = _FRAME_HEIGHT + (_TILTED_HEIGHT if tilted else 0) + _ROW_HEIGHT * len(rows)
    return alt.layer(cells.add_params(click), numbers, *_rings(base, cell, mode)).properties(height=height)


def _rings(base: alt.Chart, cell: Cell, mode: Literal["light", "dark"]) -> list[alt.Chart]:
    """A double outline around the chosen cell."""
    chosen = base.transform_filter(
        (alt.datum.reference == name_of(cell.row)) & (alt.datum.other == name_of(cell.column))
    )
    return [
        chosen.mark_rect(filled=False, stroke=colour, strokeWidth=width, strokeOpacity=1)
        for colour, width in ((BACKGROUND[mode], 5), (TEXT[mode], 2.5))
    ]
