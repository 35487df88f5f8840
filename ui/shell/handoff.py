"""What one page asks another to show."""

from __future__ import annotations

import streamlit as st

from core.runs.values import Generation

_FOLLOWED = "attribution:followed"

OPENED = "attribution_source"
"""Session key of the generation that another page asked to have read."""

INDEX_KEY = "traces_index"

SET_KEY = "traces_set"


def open_in_attribution(generation: Generation) -> None:
    """Make the attribution page open with this generation, its own tokens and its steering.

    It is handed over as session_state["attribution_source"]; the caller then switches the page.
    """
    st.session_state[OPENED] = generation
    st.session_state.pop(_FOLLOWED, None)
