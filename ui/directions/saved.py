"""The saved directions as a table, and the files that cannot be used; the Directions page changes them."""

from __future__ import annotations

import datetime
from collections.abc import Sequence

import streamlit as st

from core.directions.folder import NOTE, SavedDirection
from core.models.pair import ModelFacts
from ui.shell.frame import page_path
from ui.shell.recorded import came_from
from ui.shell.state import workbench


def draw_list(facts: ModelFacts | None) -> None:
    """The saved directions with the way to their page; `facts` of the loaded model tell which ones fit it."""
    st.subheader("Saved directions", anchor=False)
    saved = workbench().directions.list()
    if saved:
        draw_table(saved, facts)
        st.page_link(
            page_path("directions"), label="Rename, export, import, compare and combine them", icon=":material/tune:"
        )
    else:
        st.info(
            "Nothing is saved yet. Extract above, choose a cell of the map and press **Save**, or import a file on the "
            "**Directions** page.",
            icon=":material/explore:",
        )
    draw_broken(workbench().directions.broken())


def draw_table(saved: list[SavedDirection], facts: ModelFacts | None) -> None:
    """One row per direction, newest first."""
    notes = [dict(item.direction.provenance) for item in saved]
    columns: dict[str, Sequence[object]] = {
        "name": [item.direction.name for item in saved],
        "found in": [item.direction.source_model or "unknown" for item in saved],
        "layer": [item.direction.layer for item in saved],
        "window": [note.get("window", "") for note in notes],
        "d_model": [item.direction.d_model for item in saved],
        "raw norm": [round(item.direction.norm, 3) for item in saved],
        "fits": [_fits(item, facts) for item in saved],
        "note": [note.get(NOTE, "") for note in notes],
        "came": [came_from("direction", item.direction_id) for item in saved],
        "saved": [datetime.datetime.fromtimestamp(item.saved_at) for item in saved],
    }
    optional = ("window", "fits", "note", "came")
    st.dataframe(
        {name: values for name, values in columns.items() if any(values) or name not in optional},
        hide_index=True,
        column_config={
            "name": st.column_config.TextColumn(width="large"),
            "d_model": st.column_config.NumberColumn(format="%d"),
            "fits": st.column_config.TextColumn(help="Whether it has the loaded pair's d_model and one of its layers."),
            "saved": st.column_config.DatetimeColumn(format="YYYY-MM-DD HH:mm"),
        },
    )


def draw_broken(broken: list[tuple[str, str]]) -> None:
    """File name and reason for each file that cannot be used; nothing when there is none."""
    if broken:
        st.warning("Some saved files cannot be used; they were left as they are.", icon=":material/warning:")
        st.dataframe({"file": [n for n, _ in broken], "reason": [r for _, r in broken]}, hide_index=True)


def _fits(item: SavedDirection, facts: ModelFacts | None) -> str:
    if facts is None:
        return ""
    return "yes" if item.direction.d_model == facts.d_model and item.direction.layer < facts.n_layers else "no"
