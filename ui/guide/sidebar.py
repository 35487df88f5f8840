"""The foot of the sidebar: the thread of the work, and the words."""

from __future__ import annotations

import streamlit as st

from ui.guide.glossary import draw_glossary
from ui.guide.thread import draw_thread
from ui.shell.state import guest


def draw_guide() -> None:
    """Below the pair and what runs."""
    with st.sidebar:
        if not guest():
            st.markdown("#### The thread of the work")
            draw_thread()
        draw_glossary()
