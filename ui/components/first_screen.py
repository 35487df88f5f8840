"""Rules of whole pages. On every page texts can be read where Streamlit's own colours are too faint (WCAG 2.2, 1.4.3),
and a press is seen at once and as long as its script runs; one whose results come first has narrow margins, and a row
that stays in sight.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

TITLE, STAYS, WITH_WORDS = "bar_title", "bar_ask", "bar_shown"
"""Keys of the title's row, which on a phone is the title alone, and of the one below it: both stay at the top while the
page scrolls. And of a row that ends with words, which go below it where they have no room."""


def _text(name: str) -> str:
    return Path(__file__).with_name(name).read_text("utf-8")


_first = st.components.v2.component("retrace_first_screen", css=_text("first_screen.css"), isolate_styles=False)
_every = st.components.v2.component(
    "retrace_readable", css=_text("readable.css"), js=_text("readable.js"), isolate_styles=False
)


def first_screen() -> None:
    """Draw it first on a page."""
    _first(key="first_screen")


def keep_readable() -> None:
    """Draw it once in every run, on every page."""
    _every(key="readable")


def fold_button(group: str, words: str = "Settings") -> None:
    """On a phone, the button that shows and hides what the group's `foldable` containers hold; others have no such
    button and show it all.
    """
    is_open = _is_open(group)
    st.button(
        f"Hide {words[:1].lower()}{words[1:]}" if is_open else words,
        icon=":material/expand_less:" if is_open else ":material/tune:",
        key=f"fold_button_{group}",
        on_click=lambda: st.session_state.update({f"fold:{group}": not is_open}),
    )


def foldable(group: str, part: str, *, width: Literal["stretch", "content"] = "stretch") -> DeltaGenerator:
    """A container that a phone shows only while its group is open. `part` tells the containers of a group apart."""
    state = "open" if _is_open(group) else "folded"
    return st.container(key=f"{state}_{group}_{part}", gap="xsmall", width=width)


def _is_open(group: str) -> bool:
    return bool(st.session_state.get(f"fold:{group}"))
