"""One figure on the page: charts, sentences, table, and the ways to take them away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import altair as alt
import streamlit as st

from core.experiments.values import Figure, Outcome, Point
from core.experiments.verdicts import sentences
from core.experiments.words import TITLES, caption, methods
from ui.components.fixed_chart import LEGEND_ROOM, roomy
from ui.components.safe_text import plain
from ui.figures.catalogue import csv_of, drawings
from ui.figures.marks import Drawing
from ui.figures.pictures import png_of, svg_of
from ui.figures.rows import point_row, points_of, rows_of
from ui.shell.downloads import download
from ui.talk.add import offer_figure

SELECTION = "clicked"
_CLICKED = ("target", "name", "match", "layer", "window", "dose_unit_vectors")
"""The fields of a mark that tell which point it is."""
MAX_SENTENCE = 900


def has_figure(outcome: Outcome, figure: Figure) -> bool:
    """Whether there is anything to show of a figure."""
    return figure in outcome.plan.figures and bool(rows_of(outcome, figure))


def draw_charts(outcome: Outcome, figure: Figure) -> None:
    """The charts alone, for a figure that is still filling in."""
    made = drawings(outcome, figure)
    for column, drawing in zip(_columns(len(made)), made, strict=True):
        column.altair_chart(_on_page(drawing, len(made)), width="stretch")


def draw_figure(outcome: Outcome, figure: Figure, *, key: str) -> Point | None:
    """Charts and sentences; the point that was clicked last."""
    picked = None
    points = points_of(outcome, figure)
    made = drawings(outcome, figure)
    for column, drawing in zip(_columns(len(made)), made, strict=True):
        if points:
            event = column.altair_chart(
                _clickable(_on_page(drawing, len(made))),
                width="stretch",
                key=f"exp:{key}:{drawing.name}",
                on_select="rerun",
            )
            picked = _clicked(event, outcome, points) or picked
        else:
            column.altair_chart(_on_page(drawing, len(made)), width="stretch")
    st.caption(plain(caption(outcome, figure), MAX_SENTENCE))
    for sentence in sentences(outcome, figure):
        st.markdown(f"- {plain(sentence, MAX_SENTENCE)}")
    return picked


def draw_numbers(outcome: Outcome, figure: Figure, *, key: str) -> None:
    """The figure as files and as a slide, its numbers as a table, and the method; `key` is the experiment's id."""
    _draw_downloads(outcome, figure, key)
    with st.expander("Add to the talk", icon=":material/playlist_add:"):
        offer_figure(key, figure, TITLES[figure])
    with st.expander("Table", icon=":material/table:"):
        st.dataframe(rows_of(outcome, figure), hide_index=True)
    with st.expander("Methods, to copy", icon=":material/format_quote:"):
        st.code(methods(outcome), language=None, wrap_lines=True)


def _on_page(drawing: Drawing, n: int) -> alt.Chart | alt.LayerChart:
    """One of `n` charts of a figure, with room for its titles and its legend."""
    return roomy(drawing.chart, is_wide=n != 2, room=LEGEND_ROOM + drawing.room)


def _columns(n: int) -> Sequence[st.delta_generator.DeltaGenerator]:
    """Two charts stand side by side; more are read one after the other."""
    return st.columns(n) if n == 2 else [st.container() for _ in range(n)]


def _draw_downloads(outcome: Outcome, figure: Figure, key: str) -> None:
    place = f"exp:file:{key}"
    with st.container(horizontal=True, gap="small"):
        for drawing in drawings(outcome, figure):
            download(
                f"{drawing.title} · PNG",
                partial(png_of, drawing.chart),
                f"{drawing.name}.png",
                "image/png",
                key=place,
            )
            download("SVG", partial(svg_of, drawing.chart), f"{drawing.name}.svg", "image/svg+xml", key=place)
        download("CSV", lambda: csv_of(outcome, figure).encode(), f"{figure}.csv", "text/csv", key=place)


def _clickable(chart: alt.Chart | alt.LayerChart) -> alt.Chart | alt.LayerChart:
    """The chart, which tells the page the point that is clicked."""
    return chart.add_params(alt.selection_point(name=SELECTION, fields=list(_CLICKED), on="click"))


def _clicked(event: object, outcome: Outcome, points: Sequence[Point]) -> Point | None:
    """The point whose mark was clicked."""
    selection = event.get("selection", {}) if isinstance(event, Mapping) else {}
    rows = selection.get(SELECTION) or []
    if not rows:
        return None
    wanted = {name: rows[0].get(name) for name in _CLICKED}
    return next((p for p in points if wanted.items() <= point_row(outcome, p).items()), None)
