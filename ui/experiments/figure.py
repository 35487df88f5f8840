"""One figure on the page: chart, sentences, table, and the ways to take them away."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import streamlit as st

from core.experiments.values import Figure, Outcome, Point
from core.experiments.verdicts import sentences
from ui.components.safe_text import plain
from ui.figures.report import chart_of, csv_of, methods_of, png_of, svg_of, table_of

_CHOSEN_FROM: tuple[Figure, ...] = ("fig2", "figB1")
_OF_POINTS: tuple[Figure, ...] = ("fig3", "fig4", *_CHOSEN_FROM)


def points_of(outcome: Outcome, figure: Figure) -> Sequence[Point]:
    """The points behind a figure; those of Table C.1 are the reported ones too."""
    if figure in _CHOSEN_FROM:
        return outcome.chosen_from
    return outcome.reported if figure in _OF_POINTS else ()


def has_figure(outcome: Outcome, figure: Figure) -> bool:
    """Whether there is anything to show of a figure."""
    return figure in outcome.plan.figures and bool(table_of(outcome, figure))


def draw_chart(outcome: Outcome, figure: Figure) -> None:
    """The chart alone, for a figure that is still filling in."""
    chart = chart_of(outcome, figure)
    if chart is not None:
        st.altair_chart(chart, width="stretch")


def draw_figure(outcome: Outcome, figure: Figure, *, key: str) -> Point | None:
    """Chart, sentences, table and downloads; the point that was clicked in the chart."""
    chart = chart_of(outcome, figure)
    picked = None
    if chart is not None:
        event = st.altair_chart(chart, width="stretch", key=f"exp:chart:{key}:{figure}", on_select="rerun")
        picked = _clicked(event, points_of(outcome, figure))
    for sentence in sentences(outcome, figure):
        st.markdown(f"- {plain(sentence, 900)}")
    _draw_downloads(outcome, figure, key)
    with st.expander("Table", icon=":material/table:"):
        st.dataframe(table_of(outcome, figure), hide_index=True)
    with st.expander("Methods sentence", icon=":material/format_quote:"):
        st.code(methods_of(outcome), language=None, wrap_lines=True)
    return picked


def _draw_downloads(outcome: Outcome, figure: Figure, key: str) -> None:
    stem = f"{figure}-{key[:8]}"
    with st.container(horizontal=True, gap="small"):
        if chart_of(outcome, figure) is not None:
            _download("PNG", lambda: png_of(outcome, figure), f"{stem}.png", "image/png")
            _download("SVG", lambda: svg_of(outcome, figure).encode(), f"{stem}.svg", "image/svg+xml")
        _download("CSV", lambda: csv_of(outcome, figure).encode(), f"{stem}.csv", "text/csv")


def _download(label: str, make: Callable[[], bytes], name: str, mime: str) -> None:
    st.download_button(
        label, make, file_name=name, mime=mime, on_click="ignore", icon=":material/download:", key=f"exp:file:{name}"
    )


def _clicked(event: object, points: Sequence[Point]) -> Point | None:
    """The point whose mark was clicked, by the field "point" of its row: its place among the figure's points."""
    selection = event.get("selection", {}) if isinstance(event, Mapping) else {}
    for chosen in selection.values():
        for row in chosen if isinstance(chosen, list) else []:
            i = row.get("point") if isinstance(row, Mapping) else None
            if isinstance(i, int) and 0 <= i < len(points):
                return points[i]
    return None
