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
from core.models.pair import ModelFacts
from ui.components.safe_text import plain
from ui.shell.links import put_instead, say_instead
from ui.shell.state import pair_facts, workbench


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
    """Saved directions, newest first, then recorded ones; with `d_model`, only those that fit.

    A recorded one, which nobody here has chosen, fits only where it was found in a model of the loaded pair: another
    model of the same width has other axes.
    """
    saved = [
        Choice(direction_id=item.direction_id, direction=item.direction, origin="saved")
        for item in workbench().directions.list()
    ]
    known = {choice.direction_id for choice in saved}
    recorded = [
        Choice(direction_id=id_of(found), direction=found, origin="recorded") for found in recorded_directions()
    ]
    every = saved + [choice for choice in recorded if choice.direction_id not in known]
    pair = pair_facts()
    return [choice for choice in every if d_model is None or _fits(choice, d_model, pair)]


def is_of(direction: Direction, pair: tuple[ModelFacts, ModelFacts]) -> bool:
    """Whether it was found in a model of the pair."""
    return any(facts.has_weights(direction.fingerprint) for facts in pair)


def _fits(choice: Choice, d_model: int, pair: tuple[ModelFacts, ModelFacts] | None) -> bool:
    is_own = pair is None or is_of(choice.direction, pair)
    return choice.direction.d_model == d_model and (is_own or choice.origin == "saved")


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
    fit_choice(found, key)
    with told or st.container():
        say_instead(key)
    direction = direction_box(found, key)
    st.caption(origin_of(direction))
    return direction


def fit_choice(found: Sequence[Choice], key: str) -> None:
    """Choose `first_choice` where none is chosen, or one that is not there; `say_instead` tells the latter."""
    asked, usual = st.session_state.get(key), first_choice(found) or found[0]
    if asked is None:
        st.session_state[key] = usual.direction_id
    elif asked not in {choice.direction_id for choice in found}:
        words = "The direction that was asked for is not on this machine, or does not fit the loaded pair; another is "
        put_instead(key, usual.direction_id, f"{words}chosen.")


def direction_box(found: Sequence[Choice], key: str, *, width: int | Literal["stretch"] = "stretch") -> Direction:
    """The select box alone, over at least one direction."""
    by_id = {choice.direction_id: choice for choice in found}
    picked = st.selectbox(
        "Direction",
        list(by_id),
        format_func=lambda i: by_id[i].title,
        key=key,
        persist_state="session",
        help="Found on the Extraction page: a difference of means in one model's residual stream.",
        width=width,
    )
    return by_id[picked].direction


def origin_of(direction: Direction) -> str:
    """Markdown: where it was found, and how long it was."""
    norm = f"mean residual norm there {direction.resid_norm:.3g}" if direction.resid_norm else "residual norm unknown"
    return (
        f"Found in **{plain(direction.source_model or 'an unnamed model')}** at layer {direction.layer} · "
        f"raw norm {direction.norm:.3g} · {norm}"
    )
