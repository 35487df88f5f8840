"""Rules of whole pages: texts can be read where Streamlit's own colours are too faint (WCAG 2.2, 1.4.3), and a page
whose results come first has narrow margins, a row that stays in sight, and a sign that work goes on.
"""

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


_readable = st.components.v2.component(
    "retrace_readable", css=Path(__file__).with_name("readable.css").read_text("utf-8"), isolate_styles=False
)


def keep_readable() -> None:
    """Draw it once in every run, on every page."""
    _readable(key="readable")
