"""The layer × offset map of one extraction: a heatmap to click, two selectors on the same choice, and a table.

The selectors own the choice; a click on the map is copied into them before they are drawn.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import altair as alt
import numpy as np
import pandas as pd
import streamlit as st

from core.directions.direction import Direction
from core.extraction.contrast import cosine_map
from core.extraction.values import DirectionSet
from core.values import PAPER_WINDOW, Floats, Window
from ui.components.colours import BACKGROUND, SEQUENTIAL, TEXT
from ui.components.theme import diverging_scale, screen_mode
from ui.directions.choices import choices
from ui.extraction.usual import Usual
from ui.shell.state import set_anew

Metric = Literal["separation", "norm", "reliability", "twin", "cosine"]

MAP_KEY = "extraction:map"
LAYER_KEY, WINDOW_KEY, METRIC_KEY = "extraction:layer", "extraction:window", "extraction:metric"
TABLE_KEY = "extraction:table"
_SEEN = "extraction:map:seen"
_FOR, _FOR_WINDOW = "extraction:map:for", "extraction:map:for_window"
_GAP = " "
_FRAME_HEIGHT = 120  # legend and axis: Streamlit fits the whole chart into its height
_MOST_HEIGHT = 240
_NOT_ENOUGH = "not enough traces"
_TITLES: dict[Metric, str] = {
    "separation": "Separation",
    "norm": "Norm",
    "reliability": "Reliability",
    "twin": "Two models",
    "cosine": "Cosine to…",
}
_MEANING: dict[Metric, str] = {
    "separation": "How far the window's tokens lie from what is subtracted along the direction, in standard deviations "
    "(d′, diagonal covariance), in traces that the direction was not made of. 0 is chance.",
    "norm": "Length of the raw difference of means. It grows with depth, because the residual stream does.",
    "reliability": "Cosine between the directions of the even and of the odd traces: near 1 means more traces would "
    "not change it, near 0 means noise.",
    "twin": "Cosine between the base model's and the reasoning model's direction at the same layer and offset. In the "
    "paper it is about 0.74 at layer 10.",
    "cosine": "Cosine with the reference direction: 1 is the same direction, 0 unrelated, −1 opposite.",
}


@dataclass(frozen=True)
class Cell:
    """One layer and window of an extraction."""

    layer: int
    window: Window


def draw_map(found: DirectionSet, twin: DirectionSet | None, *, usual: Usual) -> Cell:
    """The heatmap with its metric, its reference and its table; returns the chosen cell.

    `twin` is the same of the other model of the pair, where it read the traces too.
    """
    _adopt_click(found, usual)
    cell = Cell(st.session_state[LAYER_KEY], _windows(found)[st.session_state[WINDOW_KEY]])
    metric, values = _ask_metric(found, twin)
    frame = _frame(found, metric, values)
    st.altair_chart(
        _chart(frame, found, metric, cell),
        key=_chart_key(),
        on_select="rerun",
        selection_mode="cell",
        width="stretch",
        alt=f"{_TITLES[metric]} by layer and offset; the same values are in the table below.",
    )
    st.caption(_MEANING[metric] + " Click a cell, or choose layer and window beside the map.")
    if st.toggle("Show the map as a table", key=TABLE_KEY):
        st.dataframe(_table(found, values), width="stretch")
    return cell


def draw_selectors(found: DirectionSet) -> None:
    """Layer and window as select boxes: the same choice as a click on the map, by keyboard."""
    layer, window = st.columns(2)
    layer.selectbox("Layer", found.spec.layers, key=LAYER_KEY, on_change=_forget_click, persist_state="session")
    window.selectbox(
        "Window",
        list(_windows(found)),
        key=WINDOW_KEY,
        on_change=_forget_click,
        persist_state="session",
        help="Offsets from the event's first token, both ends included.",
    )


def _windows(found: DirectionSet) -> dict[str, Window]:
    return {window.label: window for window in found.spec.windows}


def _chart_key() -> str:
    """A new key after every choice by selector: the chart then forgets its own, older selection."""
    return f"{MAP_KEY}:{st.session_state.get(MAP_KEY, 0)}"


def _forget_click() -> None:
    st.session_state[MAP_KEY] = st.session_state.get(MAP_KEY, 0) + 1


def _adopt_click(found: DirectionSet, usual: Usual) -> None:
    """Give layer and window a value that this extraction has: the click, the choice so far, or the usual cell."""
    windows, mark = _windows(found), (found.spec.traces_digest, found.spec.layers)
    if st.session_state.get(LAYER_KEY) not in found.spec.layers or st.session_state.get(_FOR) != mark:
        st.session_state[LAYER_KEY] = usual.layer
        st.session_state[_FOR] = mark
        st.session_state.pop(_FOR_WINDOW, None)
    if st.session_state.get(WINDOW_KEY) not in windows or st.session_state.get(_FOR_WINDOW) != found.spec.windows[0]:
        st.session_state[WINDOW_KEY] = found.spec.windows[0].label
        st.session_state[_FOR_WINDOW] = found.spec.windows[0]
    kept = {LAYER_KEY: None, WINDOW_KEY: None, METRIC_KEY: "separation"}
    set_anew(kept, unless=TABLE_KEY)
    event = st.session_state.get(_chart_key()) or {}
    clicked = event.get("selection", {}).get("cell") or [{}]
    layer, window = clicked[0].get("layer"), clicked[0].get("window")
    click = (_chart_key(), layer, window)
    if click != st.session_state.get(_SEEN) and layer in found.spec.layers and window in windows:
        st.session_state[_SEEN] = click
        st.session_state[LAYER_KEY], st.session_state[WINDOW_KEY] = layer, window


def _ask_metric(found: DirectionSet, twin: DirectionSet | None) -> tuple[Metric, Floats]:
    """The metric on show and its (n_layers, n_windows) values."""
    titles = [metric for metric in _TITLES if metric != "twin" or twin is not None]
    if st.session_state.get(METRIC_KEY) not in titles:
        st.session_state[METRIC_KEY] = "separation"
    metric = st.segmented_control(
        "Colour shows",
        titles,
        format_func=_TITLES.__getitem__,
        required=True,
        key=METRIC_KEY,
        persist_state="session",
        label_visibility="collapsed",
        wrap=True,
    )
    if metric == "twin" and twin is not None:
        return "twin", cosine_map(found, twin)
    if metric == "cosine":
        reference = _ask_reference(found)
        if reference is not None:
            return "cosine", cosines(found, reference)
        metric = "separation"
    by_name = {"separation": found.separation, "norm": found.norms, "reliability": found.reliability}
    metric = metric or "separation"
    return metric, by_name[metric]


def _ask_reference(found: DirectionSet) -> Direction | None:
    known = {choice.direction_id: choice for choice in choices(d_model=found.vectors.shape[-1])}
    if not known:
        st.info("There is no direction to compare with yet: save one below. Meanwhile the map shows separation.")
        return None
    picked = st.selectbox(
        "Reference direction",
        list(known),
        format_func=lambda i: known[i].title,
        key="extraction:reference",
    )
    return known[picked].direction


def cosines(found: DirectionSet, reference: Direction) -> Floats:
    """(n_layers, n_windows) cosine of every cell's direction with the reference; NaN where a cell has none."""
    norms = found.norms
    with np.errstate(divide="ignore", invalid="ignore"):
        values: Floats = np.where(found.differs, (found.vectors @ reference.vector) / norms, np.nan).astype(np.float32)
    return values


def _frame(found: DirectionSet, metric: Metric, values: Floats) -> pd.DataFrame:
    """One row per cell, with what its tooltip says."""
    norms, rows = found.norms, []
    for i, layer in enumerate(found.spec.layers):
        for j, window in enumerate(found.spec.windows):
            value = float(values[i, j])
            rows.append(
                {
                    "layer": layer,
                    "window": window.label,
                    "value": value if math.isfinite(value) else None,
                    _TITLES[metric]: _say(value),
                    "95% interval of d′": _between(found.separation_interval[:, i, j]),
                    "raw norm": _say(float(norms[i, j])),
                    "split-half reliability": _say(float(found.reliability[i, j])),
                    "traces": int(found.counts[j, 0]),
                    "tokens": int(found.counts[j, 1]),
                }
            )
    return pd.DataFrame(rows)


def _between(interval: Floats) -> str:
    low, high = (float(end) for end in interval)
    return f"{low:.2g} to {high:.2g}" if math.isfinite(low) and math.isfinite(high) else _NOT_ENOUGH


def _say(value: float) -> str:
    return f"{value:.3g}" if math.isfinite(value) else _NOT_ENOUGH


def _table(found: DirectionSet, values: Floats) -> pd.DataFrame:
    columns = {window.label: [_say(float(v)) for v in values[:, j]] for j, window in enumerate(found.spec.windows)}
    return pd.DataFrame(columns, index=pd.Index(found.spec.layers, name="layer"))


def _chart(frame: pd.DataFrame, found: DirectionSet, metric: Metric, cell: Cell) -> alt.LayerChart:
    mode = screen_mode(st.context.theme.type)
    low, high = frame["value"].min(), frame["value"].max()
    signed = metric in ("reliability", "twin", "cosine") or low < 0
    limit = float(max(abs(low), abs(high), 1e-9)) if frame["value"].notna().any() else 1.0
    strong_last = SEQUENTIAL if mode == "light" else SEQUENTIAL[::-1]
    ramp = alt.Scale(domain=[0, limit], range=list(strong_last), interpolate="rgb")
    scale = diverging_scale(limit, mode) if signed else ramp
    click = alt.selection_point(name="cell", fields=["layer", "window"], toggle=False, empty=False)
    legend = alt.Legend(orient="top", direction="horizontal", gradientLength=180, gradientThickness=10, tickCount=3)
    base = alt.Chart(frame).encode(x=_offset_axis(found), y=_layer_axis(found))
    cells = base.mark_rect(cursor="pointer").encode(
        color=alt.condition(
            "isValid(datum.value)",
            alt.Color("value:Q", scale=scale, legend=legend, title=_TITLES[metric].rstrip("…")),
            alt.value("#8884"),
        ),
        tooltip=[alt.Tooltip(name) for name in frame.columns if name != "value"],
    )
    chosen = base.transform_filter((alt.datum.layer == cell.layer) & (alt.datum.window == cell.window.label))
    rings = [
        chosen.mark_rect(filled=False, stroke=colour, strokeWidth=width, strokeOpacity=1)
        for colour, width in ((BACKGROUND[mode], 5), (TEXT[mode], 2.5))
    ]
    return alt.layer(cells.add_params(click), *rings).properties(height=_height(len(found.spec.layers)))


def _height(n_layers: int) -> int:
    """Pixels of the map: whole on a laptop's screen, whatever the depth."""
    return _FRAME_HEIGHT + min(max(n_layers * (34 if n_layers <= 10 else 18), 60), _MOST_HEIGHT)


def _offset_axis(found: DirectionSet) -> alt.X:
    """The chosen window first, then a gap, then the single offsets."""
    window, *singles = [w.label for w in found.spec.windows]
    event = "datum.value == '0'"
    return alt.X(
        "window:N",
        sort=None,
        scale=alt.Scale(domain=[window, _GAP, *singles], paddingInner=0.06, paddingOuter=0),
        axis=alt.Axis(
            labelAngle=0,
            labelOverlap="greedy",
            grid=False,
            title="window · then single offsets from the event's first token (0)",
            labelFontWeight=alt.condition(event, alt.value("bold"), alt.value("normal")),
        ),
    )


def _layer_axis(found: DirectionSet) -> alt.Y:
    return alt.Y(
        "layer:O",
        scale=alt.Scale(domain=sorted(found.spec.layers, reverse=True), paddingInner=0.06, paddingOuter=0),
        axis=alt.Axis(grid=False, title="layer", labelOverlap="greedy"),
    )


def first_note(found: DirectionSet, usual: Usual) -> str:
    """Why the first cell is chosen as it is, and what the map does not say (paper, Fig. B.1)."""
    window = found.spec.windows[0]
    which = "the paper's window" if window == PAPER_WINDOW else "your window"
    first = (
        f"First chosen: window {usual.window.label} at layer {usual.layer}, which the recorded experiment on this pair "
        "found to steer best."
        if usual.is_recorded and usual.window == window
        else f"First chosen: {which} {window.label} at layer {usual.layer}, the nearest to the paper's layer 10 of 32."
    )
    return (
        f"{first} The brightest cell is not necessarily the one that steers best: such maps peak at the first or last "
        "layers by their nature. Which layer steers best is settled by steering with it."
    )
