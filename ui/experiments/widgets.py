"""Widgets that keep what was chosen: over page changes, and until what they choose among is no longer there."""

from __future__ import annotations

from collections.abc import Container

import streamlit as st

from ui.shell.bounds import put


def kept(key: str, default: object, *, among: Container[object] | None = None) -> str:
    """The key, holding what was chosen before, or the default where that was nothing or is not among the options.

    The widget keeps it with persist_state.
    """
    value = st.session_state.get(key, default)
    put(key, value if among is None or value in among else default)
    return key
