"""Directions: the saved list, files in and out, cosines, arithmetic, and sets of mean vectors; no model is needed."""

from __future__ import annotations

import streamlit as st

from ui.directions.actions import draw_actions
from ui.directions.compare import draw_arithmetic, draw_cosines
from ui.directions.mean_vectors import draw_sets
from ui.directions.saved import draw_broken, draw_table
from ui.directions.upload import VIEW_KEY, draw_upload
from ui.shell.frame import PURPOSES, page_path, require_shell
from ui.shell.notice import show_notice
from ui.shell.state import pair_facts, workbench


def draw_saved() -> None:
    """The list, and what can be done with one of it."""
    saved = workbench().directions.list()
    draw_broken(workbench().directions.broken())
    if not saved:
        st.info(
            "Nothing is saved yet. Extract a direction from traces and press **Save** there, or choose **Import** "
            "above to add a file of your own. Those that come with the app are under **Cosines** and "
            "**Arithmetic**.",
            icon=":material/explore:",
        )
        st.page_link(page_path("extraction"), label="To the extraction", icon=":material/explore:")
        return
    facts = pair_facts()
    draw_table(saved, facts[0] if facts else None)
    draw_actions(saved)


VIEWS = {
    "Saved": draw_saved,
    "Import": draw_upload,
    "Cosines": draw_cosines,
    "Arithmetic": draw_arithmetic,
    "Mean vectors": draw_sets,
}

require_shell()
st.title("Directions", anchor=False)
st.write(PURPOSES["directions"])
show_notice()
view = st.segmented_control(
    "View",
    list(VIEWS),
    default="Saved",
    required=True,
    key=VIEW_KEY,
    label_visibility="collapsed",
    persist_state="session",
)
VIEWS[str(view)]()
