"""Widgets that keep what was chosen: over page changes, and until what they choose among is no longer there."""

from __future__ import annotations

from collections.abc import Container

import streamlit as st


def kept(key: str, default: object, *, among: Container[object] | None = None) -> str:
    """The key, holding what was chosen before, or the default where that was nothing or is not among the options.

    To be called just before the widget: a kept value that is not set again does not reach the browser.
    """
    value = st.session_state.get(key, default)
    st.session_state[key] = value if among is None or value in among else default
    return key
