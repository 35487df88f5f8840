"""Lanes: two to four completions side by side that grow while a job runs. Knows nothing of jobs or models.

Redraw it as often as you like under one key: the browser keeps the tokens it has and appends the new ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypedDict

import streamlit as st

from ui.components.token_strip import clip_pieces, read_assets

LaneSize = Literal["normal", "stage", "compact"]
"""How large: "compact" lanes stand three in a row beside a sidebar, and their subtitle is what counts."""
LaneState = Literal["queued", "running", "done", "cancelled", "interrupted", "error", "timeout"]
Badge = Literal["LIVE", "CACHED", "RECORDED", ""]


class _Pin(TypedDict):
    """The pinned (lane, token), and how often Python moved it."""

    at: tuple[int, int] | None
    jump: int


@dataclass(frozen=True, kw_only=True)
class Lane:
    """One completion as it stands now."""

    title: str
    subtitle: str = ""
    pieces: tuple[str, ...] = ()
    highlights: tuple[int, ...] = ()
    """Indices of keyword tokens."""
    diverged_at: int | None = None
    """Index of the first token that differs from the lane it is compared with."""
    state: LaneState = "done"
    badge: Badge = ""
    note: str = ""
    """One sentence under the text, such as what stopped it or why there is none."""
    unit: str = "tokens"
    """What the pieces are."""
    values: tuple[float, ...] = ()
    """(n_tokens,) a reading of 0 or more that tints the tokens, in nats; empty for none."""
    value_name: str = ""


_css, _js = read_assets("lanes")
_picture = (Path(__file__).parent / "lanes_picture.js").read_text("utf-8")
_component = st.components.v2.component("retrace_lanes", css=_css, js=f"{_picture}\n{_js}")


def lanes(
    lanes: Sequence[Lane],
    *,
    key: str,
    size: LaneSize = "normal",
    height: int = 340,
    below: int | None = None,
    picture: bool = False,
) -> tuple[int, int] | None:
    """Draw the lanes and return (lane, token) of the pinned token. Longer texts scroll within `height` pixels.

    With `below`, the lanes fill the window instead, but for this many pixels at its end. With `picture` there is a
    button that saves them as a PNG.
    """
    pin = _pin(key)
    if not _within(pin["at"], lanes):
        pin["at"] = None
    data = {
        "lanes": [lane_data(lane) for lane in lanes],
        "size": size,
        "height": height,
        "below": below,
        "pinned": pin["at"],
        "jump": pin["jump"],
        "picture": picture,
    }
    _component(key=key, data=data, on_pin_change=lambda: _take_pin(key))
    return pin["at"]


def pinned_lane_token(key: str) -> tuple[int, int] | None:
    """The (lane, token) that is pinned, before the lanes are drawn."""
    return _pin(key)["at"]


def select_lane_token(key: str, at: tuple[int, int] | None) -> None:
    """Pin (lane, token) from Python, or none. Call it before the lanes are drawn, or in a callback."""
    pin = _pin(key)
    pin["at"], pin["jump"] = at, pin["jump"] + 1


def lane_data(lane: Lane) -> dict[str, object]:
    """One lane as JSON-ready data."""
    pieces, lengths = clip_pieces(lane.pieces)
    return {
        "title": lane.title,
        "subtitle": lane.subtitle,
        "pieces": pieces,
        "lengths": lengths,
        "highlights": list(lane.highlights),
        "diverged": lane.diverged_at,
        "state": lane.state,
        "badge": lane.badge,
        "note": lane.note,
        "values": [float(f"{value:.3g}") for value in lane.values],
        "valueName": lane.value_name,
        "unit": lane.unit,
    }


def _within(at: tuple[int, int] | None, lanes: Sequence[Lane]) -> bool:
    return at is not None and 0 <= at[0] < len(lanes) and 0 <= at[1] < len(lanes[at[0]].pieces)


def _pin(key: str) -> _Pin:
    pin: _Pin = st.session_state.setdefault(f"{key}:pin", {"at": None, "jump": 0})
    return pin


def _take_pin(key: str) -> None:
    event = st.session_state[key].get("pin")
    if isinstance(event, Mapping):
        lane, token = event.get("lane"), event.get("token")
        _pin(key)["at"] = (lane, token) if isinstance(lane, int) and isinstance(token, int) else None
