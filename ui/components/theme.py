"""The project's one Altair theme. Knows neither pages nor data, and Streamlit only where a page draws.

Streamlit supplies the colour of text on screen; `chart_theme("light")` or `("dark")` fixes it for exports.
"""

from __future__ import annotations

from typing import Any, Literal

import altair as alt

from ui.components.colours import BACKGROUND, BLUE, CATEGORICAL, GRAY, NEUTRAL, ORANGE, SEQUENTIAL, TEXT

Mode = Literal["screen", "light", "dark"]

FONT = "Source Sans, Segoe UI, Noto Sans, Liberation Sans, sans-serif"


def diverging(mode: Literal["light", "dark"] = "light") -> tuple[str, str, str]:
    """Negative, zero, positive: orange through the page's neutral to blue, as in the token strip."""
    return (ORANGE, NEUTRAL[mode], BLUE)


def diverging_scale(limit: float, mode: Literal["light", "dark"] = "light") -> alt.Scale:
    """A colour scale from −limit to limit, centred on 0; mixed in RGB, since Vega's HCL runs through pink."""
    return alt.Scale(domain=[-limit, 0, limit], range=list(diverging(mode)), interpolate="rgb", clamp=True)


def screen_mode(theme_type: str | None) -> Literal["light", "dark"]:
    """`st.context.theme.type` as a mode; unknown (first run, AppTest) counts as light."""
    return "dark" if theme_type == "dark" else "light"


def _axis(mode: Mode) -> dict[str, Any]:
    axis: dict[str, Any] = {
        "labelFontSize": 13,
        "titleFontSize": 14,
        "titleFontWeight": 600,
        "titlePadding": 10,
        "labelPadding": 6,
        "gridOpacity": 0.35,
        "domain": False,
        "ticks": False,
    }
    if mode != "screen":
        axis |= {"labelColor": TEXT[mode], "titleColor": TEXT[mode], "gridColor": GRAY}
    return axis


def _text(mode: Mode, **sizes: int) -> dict[str, Any]:
    return {**sizes} | ({} if mode == "screen" else {"labelColor": TEXT[mode], "titleColor": TEXT[mode]})


def chart_theme(mode: Mode = "screen") -> dict[str, Any]:
    """A Vega-Lite theme: palettes, sizes and, off screen, text and background colours."""
    title: dict[str, Any] = {"fontSize": 17, "fontWeight": 600, "anchor": "start", "offset": 12}
    background = "transparent"
    if mode != "screen":
        title |= {"color": TEXT[mode], "subtitleColor": TEXT[mode]}
        background = BACKGROUND[mode]
    config: dict[str, Any] = {
        "background": background,
        "font": FONT,
        "view": {"stroke": "transparent", "continuousHeight": 320, "continuousWidth": 520},
        "axis": _axis(mode),
        "legend": _text(mode, labelFontSize=13, titleFontSize=13, symbolSize=90),
        "header": _text(mode, labelFontSize=13, titleFontSize=14),
        "title": title,
        "line": {"strokeWidth": 2.5},
        "point": {"size": 55, "filled": True},
        "bar": {"color": BLUE, "cornerRadiusEnd": 2},
        "rule": {"color": GRAY},
        "range": {
            "category": list(CATEGORICAL),
            "diverging": list(diverging("dark" if mode == "dark" else "light")),
            "heatmap": list(SEQUENTIAL),
            "ramp": list(SEQUENTIAL),
        },
    }
    return {"config": config}


def use_chart_theme() -> None:
    """Make the project's theme the one Altair applies on screen (process-wide, the same for every session)."""
    alt.theme.register("retrace", enable=True)(_theme_on_screen)


def _theme_on_screen() -> alt.theme.ThemeConfig:
    """Streamlit's axis gray has 3.7:1 on white; this one has 6:1, and 3:1 left if the theme flips before a rerun."""
    import streamlit as st

    theme = chart_theme()
    theme["config"]["title"]["subtitleColor"] = "#5b6675" if st.context.theme.type == "light" else "#a3adba"
    if st.context.theme.type == "light":
        for guide in ("axis", "legend", "header"):
            theme["config"][guide] |= {"labelColor": "#5b6675", "titleColor": "#5b6675"}
    return alt.theme.ThemeConfig(theme)
