"""The frame of a page whose results come first: narrow margins, a row that stays in sight, a sign that work goes on."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

STAYS, WITH_WORDS = "bar_ask", "bar_shown"
"""Keys of the row that stays at the top while the page scrolls, and of one that ends with words, which go below it
where they have no room."""
_css, _js = (Path(__file__).with_suffix(ending).read_text("utf-8") for ending in (".css", ".js"))
_component = st.components.v2.component("retrace_first_screen", css=_css, js=_js, isolate_styles=False)


def first_screen() -> None:
    """Draw it first on a page."""
    _component(key="first_screen")
