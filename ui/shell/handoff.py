"""What one page asks another to show: the keys of the session that two pages share.

A page reads and writes a key of another one only if it stands here.
"""

from __future__ import annotations

import streamlit as st

from core.runs.values import Generation

SET_KEY = "traces_set"
"""Id of the set on the Traces page and on the Labelling page: one choice, which a new set takes over."""
INDEX_KEY = "traces_index"
"""Place, in that set, of the trace that the Traces page shows; the Labelling page puts a disagreement's here."""
OPENED = "attribution_source"
"""The generation that the Token attribution page is to read; it takes it away when it is drawn."""
PLANNED = "experiments:planned"
"""The plan that a new experiment begins as; another page puts one here."""
EXPERIMENT, EXPERIMENT_VIEW, EXPERIMENT_JOB = "exp_open", "exp_view", "job:experiment"
"""Id of the experiment that the Experiments page shows, which of its views, and the job that this session follows."""
MEASURED = "exp_running"
"""Id of the experiment that this job measures."""
FOLLOWED = "attribution:followed"
"""The generation whose steering and writer Token attribution has taken over last; another one is taken over anew."""


def open_experiment(experiment_id: str) -> None:
    """Make the Experiments page open with the results of this experiment; then switch the page."""
    st.session_state[EXPERIMENT] = experiment_id
    st.session_state[EXPERIMENT_VIEW] = "Results"


def open_in_attribution(generation: Generation) -> None:
    """Make Token attribution open with this generation, its own tokens and its steering; then switch the page."""
    st.session_state[OPENED] = generation
    st.session_state.pop(FOLLOWED, None)
