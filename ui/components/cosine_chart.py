"""Cosines as a heatmap with their numbers, and as lines over layers. Importing it costs altair."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from ui.components.colours import CATEGORICAL, LABEL_COLOURS, TEXT, dashes
from ui.components.theme import diverging_scale, screen_mode, use_chart_theme

_CELL, _FRAME = 44, 130
_STRONG = 0.75  # from here dark text reads better on the cell in both themes
_LABEL, _LABEL_ABOVE = 180, 160
_MOST_NUMBERS = 14


def draw_heatmap(names: Sequence[str], cosines: NDArray[np.float64], *, key: str, numbered: bool = False) -> None:
    """The (n, n) matrix between `names`; long names are better `numbered` from 1 on the axes. NaN is shown as a gap."""
    use_chart_theme()
    axis = [str(n) for n in range(1, len(names) + 1)] if numbered else list(names)
    mode = screen_mode(st.context.theme.type)
    base = _grid(axis, _cells(names, axis, cosines), angle=0 if numbered else -35)
    rects = base.mark_rect().encode(
        color=alt.condition(
            "isValid(datum.value)",
            alt.Color("value:Q", scale=diverging_scale(1, mode), title="cosine", legend=None),
            alt.value("#8884"),
        )
    )
    numbers = base.mark_text(fontSize=13).encode(
        text="shown:N",
        color=alt.condition(f"abs(datum.value) > {_STRONG}", alt.value(TEXT["light"]), alt.value(TEXT[mode])),
    )
    layers = [rects, numbers] if len(names) <= _MOST_NUMBERS else [rects]
    chart = alt.layer(*layers).properties(height=_FRAME + _CELL * len(names))
    st.altair_chart(chart, width="stretch", key=key, alt="Cosines; the same values are in the table below.")


def _cells(names: Sequence[str], axis: Sequence[str], cosines: NDArray[np.float64]) -> pd.DataFrame:
    """One row per cell, with what its tooltip says."""
    return pd.DataFrame(
        {
            "row": axis[i],
            "column": axis[j],
            "of": names[i],
            "with": names[j],
            "value": float(value) if np.isfinite(value) else None,
            "cosine": f"{value:+.3f}" if np.isfinite(value) else "undefined",
            "shown": f"{value:.2f}".replace("-", "−") if np.isfinite(value) else "",
        }
        for (i, j), value in np.ndenumerate(cosines)
    )


def _grid(axis: list[str], cells: pd.DataFrame, *, angle: int) -> alt.Chart:
    scale = alt.Scale(paddingInner=0.05, paddingOuter=0)
    above = alt.Axis(
        title=None, grid=False, orient="top", labelAngle=angle, labelLimit=_LABEL_ABOVE, labelOverlap=False
    )
    beside = alt.Axis(title=None, grid=False, labelLimit=_LABEL, labelOverlap=False)
    return alt.Chart(cells).encode(
        x=alt.X("column:N", sort=axis, axis=above, scale=scale),
        y=alt.Y("row:N", sort=axis, axis=beside, scale=scale),
        tooltip=[alt.Tooltip("of:N"), alt.Tooltip("with:N"), alt.Tooltip("cosine:N")],
    )


def cosine_table(names: Sequence[str], cosines: NDArray[np.float64]) -> pd.DataFrame:
    """The matrix as a table, for those who read or copy numbers."""
    return pd.DataFrame(np.round(cosines, 3), index=pd.Index(list(names), name=""), columns=list(names))


def draw_over_layers(names: Sequence[str], values: NDArray[np.float64], *, layer: int, key: str) -> None:
    """(n_layers, n_names) cosines, one line per name, with a rule at the chosen layer."""
    use_chart_theme()
    chart = over_layers_chart(names, values, layer=layer)
    st.altair_chart(chart, width="stretch", key=key, alt="Cosines over layers.")


def over_layers_chart(names: Sequence[str], values: NDArray[np.float64], *, layer: int) -> alt.LayerChart:
    """The lines, each in a colour and a dash of its own."""
    rows = [
        {"layer": i, "label": names[j], "cosine": float(value)}
        for (i, j), value in np.ndenumerate(values)
        if np.isfinite(value)
    ]
    spare = (colour for colour in CATEGORICAL * len(names) if colour not in LABEL_COLOURS.values())
    colours = [LABEL_COLOURS.get(name) or next(spare) for name in names]
    legend = alt.Legend(orient="bottom", columns=2, title=None, labelLimit=_LABEL, symbolSize=400)
    lines = (
        alt.Chart(pd.DataFrame(rows, columns=["layer", "label", "cosine"]))
        .mark_line()
        .encode(
            x=alt.X("layer:Q", axis=alt.Axis(tickMinStep=1, grid=False), scale=alt.Scale(nice=False)),
            y=alt.Y("cosine:Q", scale=alt.Scale(domain=[-1, 1])),
            color=alt.Color("label:N", scale=alt.Scale(domain=list(names), range=colours), legend=legend),
            strokeDash=alt.StrokeDash(
                "label:N", scale=alt.Scale(domain=list(names), range=dashes(len(names))), legend=legend
            ),
            tooltip=["label:N", "layer:Q", alt.Tooltip("cosine:Q", format="+.3f")],
        )
    )
    rule = alt.Chart(pd.DataFrame({"layer": [layer]})).mark_rule(strokeDash=[4, 3]).encode(x="layer:Q")
    return alt.layer(lines, rule).properties(height=330)
