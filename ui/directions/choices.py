"""Choosing a direction: those recorded with the embedded pair, and those the user saved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.directions.direction import Direction
from core.directions.folder import id_of
from core.embedded import recorded_directions
from ui.components.safe_text import plain
from ui.shell.links import put_instead, say_instead
from ui.shell.state import workbench


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A direction that can be picked, and where it comes from."""

    direction_id: str
    direction: Direction
    origin: Literal["saved", "recorded"]

    @property
    def title(self) -> str:
        """What the select box shows."""
        return self.direction.name if self.origin == "saved" else f"{self.direction.name} (recorded)"


def choices(*, d_model: int | None = None) -> list[Choice]:
    """Saved directions, newest first, then recorded ones; with `d_model`, only those that fit."""
    saved = [
        Choice(direction_id=item.direction_id, direction=item.direction, origin="saved")
        for item in workbench().directions.list()
    ]
    known = {choice.direction_id for choice in saved}
    recorded = [
        Choice(direction_id=id_of(found), direction=found, origin="recorded") for found in recorded_directions()
    ]
    every = saved + [choice for choice in recorded if choice.direction_id not in known]
    return [choice for choice in every if d_model is None or choice.direction.d_model == d_model]


def first_choice(found: Sequence[Choice]) -> Choice | None:
    """What is chosen until a person chooses: a direction recorded with the pair, else the one that was saved last."""
    return next((choice for choice in found if choice.origin == "recorded"), found[0] if found else None)


def pick_direction(*, d_model: int, key: str, told: DeltaGenerator | None = None) -> Direction | None:
    """A select box over the directions that fit; None, with the next step said, when there is none.

    The chosen id is kept in session_state[key]. That another one had to be chosen is said in `told`, else above.
    """
    found = choices(d_model=d_model)
    if not found:
        st.info(
            "No direction fits the loaded pair yet. Extract one on the **Extraction** page and save it, or import one "
            "on the **Directions** page; it then appears here.",
            icon=":material/explore:",
        )
        return None
    by_id = {choice.direction_id: choice for choice in found}
    asked = st.session_state.get(key)
    usual = first_choice(found) or found[0]
    if asked is None:
        st.session_state[key] = usual.direction_id
    elif asked not in by_id:
        words = "The direction that was asked for is not on this machine, or does not fit the loaded pair; another is "
        put_instead(key, usual.direction_id, f"{words}chosen.")
    with told or st.container():
        say_instead(key)
    picked = st.selectbox(
        "Direction",
        list(by_id),
        format_func=lambda i: by_id[i].title,
        key=key,
        persist_state="session",
        help="Found on the Extraction page: a difference of means in one model's residual stream.",
    )
    direction = by_id[picked].direction
    norm = f"mean residual norm there {direction.resid_norm:.3g}" if direction.resid_norm else "residual norm unknown"
    st.caption(
        f"Found in **{plain(direction.source_model or 'an unnamed model')}** at layer {direction.layer} · "
        f"raw norm {direction.norm:.3g} · {norm}"
    )
    return direction
