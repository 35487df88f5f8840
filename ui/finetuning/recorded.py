"""The curves that come with the project, over the training of a shipped pair."""

from __future__ import annotations

import functools
from pathlib import Path

import streamlit as st

from core.embedded import recorded_folder
from core.fetching.shipped import shipped_pairs
from core.series.folder import SavedSeries, SeriesFolder
from core.series.words import emergence_sentence
from ui.components.safe_text import plain
from ui.finetuning.curves import MAX_SENTENCE, draw_curves, draw_files


def draw_recorded(*, is_open: bool) -> None:
    """Nothing where none is there."""
    for pair in shipped_pairs().values():
        place = _place(recorded_folder(pair.name))
        found = place.list()
        if found:
            st.subheader(f"Over the training of the {pair.title}", anchor=False)
        for one in found:
            _draw(place, one, is_open=is_open)


@functools.lru_cache(maxsize=4)
def _place(folder: Path) -> SeriesFolder:
    """It remembers what it has read."""
    return SeriesFolder(folder)


def _draw(place: SeriesFolder, one: SavedSeries, *, is_open: bool) -> None:
    with st.expander(
        f"**When did the base model's direction begin to act?** · recorded over {len(one.plan.members)} checkpoints",
        icon=":material/inventory_2:",
        expanded=is_open,
    ):
        found, key = place.load(one.plan), f"recorded:{one.series_id}"
        st.markdown(plain(emergence_sentence(found), MAX_SENTENCE))
        draw_curves(found, key=key)
        draw_files(found, key=key)
