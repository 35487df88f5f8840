"""Charts as files: the same bytes for the same chart."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import altair as alt

from ui.components.colours import BACKGROUND, TEXT
from ui.components.theme import chart_theme

WIDE, NARROW = 620, 340
"""Widths of the whole picture in pixels: a column of a page, and a phone."""
AXIS_ROOM = 96
"""Pixels beside the marks of charts that are stacked."""
Mode = Literal["light", "dark"]
Chart: TypeAlias = alt.LayerChart | alt.Chart | alt.VConcatChart
Described = dict[str, Any]


_NUMBERED = re.compile(r"(?<=\bid=\")(gradient_|clip)\d+(?=\")|(?<=url\(#)(gradient_|clip)\d+(?=\))")
"""Ids within a drawing, which the converter counts on from one drawing to the next."""


class _Renumbered:
    """The ids of one drawing, counted from 0 in their order."""

    def __init__(self) -> None:
        self._ids: dict[str, str] = {}

    def __call__(self, found: re.Match[str]) -> str:
        return self._ids.setdefault(found[0], f"id{len(self._ids)}")


def described(chart: Chart) -> Described:
    """The chart as Vega-Lite, for several drawings of it."""
    found: Described = chart.to_dict(validate=False)
    return found


def stacked(charts: Sequence[alt.LayerChart | alt.Chart]) -> alt.VConcatChart:
    """Charts below each other as one picture, each with its own scales and legends."""
    joined: alt.VConcatChart = alt.vconcat(*charts, spacing=30)
    return joined.resolve_scale(color="independent", fill="independent", shape="independent", fillOpacity="independent")


def svg_of(chart: Chart | Described, *, mode: Mode = "light", width: int = WIDE) -> bytes:
    """The chart as a drawing, `width` pixels wide."""
    import vl_convert

    drawn = str(vl_convert.vegalite_to_svg(_spec(chart, mode, width)))
    return _NUMBERED.sub(_Renumbered(), drawn).encode()


def in_dark(svg: bytes) -> bytes:
    """A light drawing as the dark one, which differs in the colours of text and background alone."""
    for colours in (TEXT, BACKGROUND):
        svg = svg.replace(colours["light"].encode(), colours["dark"].encode())
    return svg


def png_of(chart: Chart | Described, *, mode: Mode = "light", width: int = WIDE) -> bytes:
    """The chart as a picture, three pixels for each of `width`."""
    import vl_convert

    return bytes(vl_convert.vegalite_to_png(_spec(chart, mode, width), scale=3))


def _spec(chart: Chart | Described, mode: Mode, width: int) -> Described:
    """With the project's theme, without descriptions of single marks: tables hold the numbers."""
    spec = chart if isinstance(chart, dict) else described(chart)
    theme = chart_theme(mode)["config"] | {"aria": False}
    if "vconcat" in spec:
        panels = [panel | {"width": width - AXIS_ROOM} for panel in spec["vconcat"]]
        return spec | {"config": theme, "vconcat": panels}
    return spec | {"config": theme, "width": width, "autosize": {"type": "fit-x", "contains": "padding"}}
