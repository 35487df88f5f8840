"""The frame of a page whose results come first: narrow margins, a row that stays in sight, a sign that work goes on."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

STAYS = "bar_ask"
"""Key of the container that stays at the top while the page scrolls."""
_css = Path(__file__).with_suffix(".css").read_text("utf-8")
_component = st.components.v2.component("retrace_first_screen", css=_css, isolate_styles=False)


def first_screen() -> None:
    """Draw it first on a page."""
    _component(key="first_screen")
