"""The controls of a chosen direction: made at once, compared with it, and saved beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import streamlit as st

from core.directions.direction import Direction
from core.directions.folder import MAX_NAME
from core.extraction.controls import CONTROL, DEFAULT_RANDOM, control_set, is_control_of
from core.extraction.moments import Gathered
from core.extraction.values import DirectionSet
from core.text.lines import kept_line
from ui.components.safe_text import done, tried
from ui.extraction.layer_map import Cell
from ui.shell.state import workbench

KEY = "extraction:controls"
_MEANING = {
    "random": "a Gaussian direction of the same norm",
    "overall mean": "the mean activation over all tokens",
    "sign flip": "the opposite direction",
    "shuffled": "the same label at random words",
    "without": "what is left without its nearest label",
}


def draw_controls(moments: Gathered, found: DirectionSet, direction: Direction, cell: Cell) -> None:
    """A button that makes the controls, their table, and one that saves all of them."""
    st.markdown("##### Controls")
    number, seed = st.columns(2)
    k = int(number.number_input("Random ones", 1, 20, DEFAULT_RANDOM, key=f"{KEY}:k", persist_state="session"))
    start = int(seed.number_input("Seed", 0, 10_000, 0, key=f"{KEY}:seed", persist_state="session"))
    asked = (direction.digest, k, start)
    if st.button("Make its controls", key=KEY, icon=":material/tune:", width="stretch"):
        st.session_state[f"{KEY}:for"] = asked
    if st.session_state.get(f"{KEY}:for") != asked:
        st.caption(
            "What should do less than the direction: random ones of its norm, the overall mean, other labels, shuffled "
            "events, the opposite, and what is left without the nearest label (the paper's Fig. 4)."
        )
        return
    controls = tried(lambda: control_set(moments, found, direction, cell.window, k=k, seed=start))
    if controls is None:
        return
    _table(controls, direction)
    saved = [item for item in workbench().directions.list() if is_control_of(item.direction, direction)]
    if st.button(f"Save these {len(controls)} controls", key=f"{KEY}:save", icon=":material/bookmarks:"):
        if done(lambda: _save(controls)):
            said = f"{len(controls)} controls are saved; each names its direction."
            st.success(said, icon=":material/check_circle:")
    elif saved:
        st.caption(f"{len(saved)} controls of this direction are saved.")


def _table(controls: Sequence[Direction], direction: Direction) -> None:
    kinds = [dict(control.provenance)[CONTROL] for control in controls]
    st.dataframe(
        {
            "control": kinds,
            "cosine": [round(control.cosine(direction), 3) for control in controls],
            "norm": [round(control.norm, 3) for control in controls],
            "what it is": [_meaning(kind) for kind in kinds],
        },
        hide_index=True,
        column_config={
            "cosine": st.column_config.NumberColumn(
                format="%+.2f", width="small", help="With the direction that it is a control of."
            ),
            "norm": st.column_config.NumberColumn(format="%.3g", width="small"),
        },
    )


def _meaning(kind: str) -> str:
    return next((text for start, text in _MEANING.items() if kind.startswith(start)), "the direction of another label")


def _save(controls: Sequence[Direction]) -> None:
    for control in controls:
        workbench().directions.save(replace(control, name=kept_line(control.name, MAX_NAME) or "control"))
