"""Rules for all pages where Streamlit's own colours would be too faint to read (WCAG 2.2, 1.4.3)."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

_css = Path(__file__).with_suffix(".css").read_text("utf-8")
_component = st.components.v2.component("retrace_readable", css=_css, isolate_styles=False, html="<span></span>")


def keep_readable() -> None:
    """Draw it once in every run, where an element without room does no harm."""
    _component(key="readable")
