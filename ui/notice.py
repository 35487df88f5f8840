"""A change that the user asked for, and the one sentence that says so after the page has started over."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from core.errors import UserFacingError
from ui.text import show_error

_NOTICE = "notice"


def act(action: Callable[[], object], notice: str) -> None:
    """Run a change and start over with a notice, or show why it failed."""
    try:
        action()
    except UserFacingError as error:
        show_error(error)
        return
    st.session_state[_NOTICE] = notice
    st.rerun()


def show_notice() -> None:
    """The notice of the last change, once."""
    notice = st.session_state.pop(_NOTICE, None)
    if notice:
        st.success(notice, icon="✅")
