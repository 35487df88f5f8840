"""The curves that come with the project, over the training of a shipped pair."""

from __future__ import annotations

import functools
from pathlib import Path

import streamlit as st

from core.embedded import recorded_experiment, recorded_folder
from core.experiments.verdicts import ticks
from core.fetching.shipped import shipped_pairs
from core.series.folder import SeriesFolder
from core.series.values import Series
from core.series.words import emergence_sentence
from ui.components.safe_text import plain
from ui.finetuning.curves import MAX_SENTENCE, draw_curves, draw_files


def draw_recorded(*, is_open: bool) -> None:
    """Nothing where none is there."""
    for pair in shipped_pairs().values():
        found = _recorded(recorded_folder(pair.name))
        if found:
            st.subheader(f"Over the training of the {pair.title}", anchor=False)
        for series_id, series in found.items():
            _draw(pair.name, series_id, series, is_open=is_open)


@functools.lru_cache(maxsize=4)
def _recorded(folder: Path) -> dict[str, Series]:
    """By id; read once."""
    place = SeriesFolder(folder)
    return {one.series_id: place.load(one.plan) for one in place.list()}


def _draw(name: str, series_id: str, found: Series, *, is_open: bool) -> None:
    with st.expander(
        f"**When did the base model's direction begin to act?** · recorded over {len(found.measured)} checkpoints",
        icon=":material/inventory_2:",
        expanded=is_open,
    ):
        st.markdown(plain(emergence_sentence(found), MAX_SENTENCE))
        _draw_limits(name, found)
        draw_curves(found, key=f"recorded:{series_id}")
        draw_files(found, key=f"recorded:{series_id}")


def _draw_limits(name: str, found: Series) -> None:
    """What it was held against, and what the finished pair's own experiment says of other controls."""
    controls, pair = found.plan.plan.controls, recorded_experiment(name)
    rivals = [f"{controls.random} random directions of equal norm", *(k for k in controls.kinds if k != "random")]
    specific = next((tick.sentence for tick in ticks(pair) if tick.name == "specific"), "") if pair else ""
    more = f" Against all controls, at the end of the training: {specific}" if specific else ""
    st.caption(plain(f"Held against {', '.join(rivals)}.{more}", MAX_SENTENCE))
