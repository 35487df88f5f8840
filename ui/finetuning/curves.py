"""The curves over a finetune's checkpoints, and their files."""

from __future__ import annotations

from functools import partial

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.series.values import Series
from ui.components.fixed_chart import roomy
from ui.components.theme import use_chart_theme
from ui.figures.catalogue import csv_text
from ui.figures.emergence import draw_emergence
from ui.figures.pictures import png_of, stacked, svg_of
from ui.figures.series_rows import emergence_json, series_rows
from ui.shell.downloads import download

MAX_SENTENCE = 900
"""Characters of the sentence above them."""
_ROOM = 190
"""Pixels of title, legend and axis of a panel."""


def draw_curves(found: Series, *, key: str) -> None:
    """What is measured so far."""
    drawn = draw_emergence(found)
    if not drawn:
        st.caption("The curves appear here, checkpoint by checkpoint; layer, window and dose are chosen first.")
        return
    use_chart_theme()
    for drawing in drawn:
        st.altair_chart(
            roomy(drawing.chart, is_wide=True, room=_ROOM),
            width="stretch",
            key=f"emergence:{key}:{drawing.name}",
            alt=f"{drawing.title}; the numbers are in the CSV.",
        )


def draw_files(found: Series, *, key: str) -> DeltaGenerator:
    """A row of downloads, none while nothing is measured; what else belongs into the row may be added."""
    drawn, row = draw_emergence(found), st.container(horizontal=True, gap="small")
    if not drawn:
        return row
    chart = stacked([drawing.chart for drawing in drawn])
    place = f"emergence:file:{key}"
    with row:
        download("PNG", partial(png_of, chart), "emergence.png", "image/png", key=place)
        download("SVG", partial(svg_of, chart), "emergence.svg", "image/svg+xml", key=place)
        download("CSV", lambda: csv_text(series_rows(found)).encode(), "emergence.csv", "text/csv", key=place)
        download("JSON", partial(emergence_json, found), "emergence.json", "application/json", key=place)
    return row
