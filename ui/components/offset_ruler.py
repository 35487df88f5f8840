"""The offset ruler: tokens around an event with a window on them that is dragged. Knows no models and no directions."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence

import streamlit as st

from core.values import Window
from ui.components.token_strip import clip_pieces, read_assets

_css, _js = read_assets("offset_ruler")
_component = st.components.v2.component("retrace_offset_ruler", css=_css, js=_js)


def offset_ruler(
    pieces: Sequence[str],
    *,
    first: int,
    window: Window,
    bounds: tuple[int, int],
    key: str,
    on_move: Callable[[Window], None],
) -> None:
    """Draw tokens, the first of which lies at offset `first` from the event, and the window on them.

    A window whose ends were dragged, tapped or moved by keys goes to `on_move`; both lie within `bounds`.
    """
    shown, _ = clip_pieces(pieces)
    stamp = hashlib.blake2b(json.dumps([shown, first]).encode(), digest_size=8).hexdigest()
    data = {
        "pieces": shown,
        "first": first,
        "low": bounds[0],
        "high": bounds[1],
        "window": [window.start, window.stop - 1],
        "stamp": stamp,
    }
    _component(key=key, data=data, on_window_change=lambda: _take(key, bounds, on_move))


def _take(key: str, bounds: tuple[int, int], on_move: Callable[[Window], None]) -> None:
    event = st.session_state[key].get("window")
    ends = [event.get(name) for name in ("first", "last")] if isinstance(event, Mapping) else []
    low, high = (end if isinstance(end, int) else None for end in ends) if ends else (None, None)
    if low is not None and high is not None and bounds[0] <= low <= high <= bounds[1]:
        on_move(Window(start=low, stop=high + 1))
