"""A change that the user asked for, and the one sentence that says so after the page has started over."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from core.errors import UserFacingError
from ui.components.safe_text import done, show_error

_NOTICE = "notice"


def act(action: Callable[[], object], notice: str, *, then: tuple[str, str] | None = None) -> None:
    """Run a change and start over with a notice, or show why it failed.

    `then` is a session key and the value that it gets before the page is drawn again, such as the view to show.
    """
    if done(action):
        st.session_state[_NOTICE] = (notice, then)
        st.rerun()


def attempt(action: Callable[[], object], place: str) -> None:
    """Run a change in a callback; what prevents it is shown by `show_failure(place)` when the page is drawn."""
    try:
        action()
    except UserFacingError as error:
        st.session_state[f"failure:{place}"] = error


def show_failure(place: str) -> None:
    """Why the last `attempt` of this place failed, once."""
    error = st.session_state.pop(f"failure:{place}", None)
    if error is not None:
        show_error(error)


def show_notice() -> None:
    """The notice of the last change, once; to be called before the widgets of the page."""
    kept = st.session_state.pop(_NOTICE, None)
    if kept:
        notice, then = kept
        if then:
            st.session_state[then[0]] = then[1]
        st.success(notice, icon=":material/check_circle:")
