"""What to make of the sums of a pass: model, label, window, subtracted mean, weighting. Nothing needs a forward."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.extraction.contrast import contrast
from core.extraction.moments import Gathered, MomentsSpec
from core.extraction.values import DirectionSet, Negatives, Weighting
from core.models.pair import ROLES, Role
from core.traces.events import BACKTRACKING
from core.values import PAPER_WINDOW, Window
from ui.components.roles import SHORT
from ui.shell.state import set_anew

KEY = "contrast:"
RANGE = "contrast:window"
_PAPER = "contrast:paper"
_KEPT, _GATHERED = "contrast:kept", "contrast:gathered"
_SUBTRACTED: dict[Negatives, str] = {
    "all": "All tokens (Eq. 3)",
    "other": "Other labels' parts",
    "same": "Same traces' tokens",
    "position": "Same place, other labels",
}
_WEIGHTED: dict[Weighting, str] = {"trace": "Per trace (Eq. 3)", "token": "Per token"}


@dataclass(frozen=True, kw_only=True)
class Choice:
    """How the sums are turned into directions."""

    role: Role
    label: str
    window: Window
    negatives: Negatives
    weighting: Weighting


def ask_contrast(have: dict[Role, Gathered], usual: Window, window_place: DeltaGenerator) -> Choice:
    """The choice, from sums of one or both models with the same labels and offsets; the window is asked in its place.

    `usual` is the window until a person moves it.
    """
    moments = next(iter(have.values()))
    _set_defaults(have, moments, usual)
    role_column, label_column, more_column = st.columns([5, 5, 4], vertical_alignment="center")
    role = role_column.segmented_control(
        "Map of",
        list(have),
        format_func=SHORT.__getitem__,
        required=True,
        key=f"{KEY}role",
        persist_state="session",
        label_visibility="collapsed",
    )
    label = label_column.selectbox(
        "Label of the events",
        moments.spec.rows,
        key=f"{KEY}label",
        persist_state="session",
        label_visibility="collapsed",
    )
    with more_column.popover("Means", width="stretch"):
        negatives, weighting = _ask_means()
    with window_place:
        window = _ask_window(moments)
    chosen: Role = next(iter(have)) if role is None else role
    return Choice(role=chosen, label=label, window=window, negatives=negatives, weighting=weighting)


def _ask_means() -> tuple[Negatives, Weighting]:
    negatives = st.selectbox(
        "Subtracted mean",
        list(_SUBTRACTED),
        format_func=_SUBTRACTED.__getitem__,
        key=f"{KEY}negatives",
        persist_state="session",
        help="The direction is the mean activation in the window minus this mean. The paper subtracts the mean over "
        "all tokens of all traces, the window's included; the others are the mean over the parts with other labels, "
        "over all tokens of the traces that have an event, and over the same window around the events of the other "
        "labels: near an event every label's direction says that a part begins there, and this takes it out.",
    )
    weighting = st.selectbox(
        "Weighting",
        list(_WEIGHTED),
        format_func=_WEIGHTED.__getitem__,
        key=f"{KEY}weighting",
        persist_state="session",
        help="Eq. 3 takes the mean of each trace first, so that a long trace or one with many events counts no more "
        "than another.",
    )
    return negatives, weighting


def made_of(moments: Gathered, choice: Choice) -> DirectionSet:
    """The directions of the choice: its window first, then the single offsets, where there are none all windows. Kept
    until another one is asked for.

    Raises BadInput as `contrast` does.
    """
    key = (moments.spec, choice)
    kept: dict[tuple[MomentsSpec, Choice], DirectionSet] = st.session_state.setdefault(_KEPT, {})
    if key not in kept:
        singles = _singles(moments)
        while len(kept) >= len(ROLES):
            kept.pop(next(iter(kept)))
        kept[key] = contrast(
            moments,
            choice.label,
            windows=tuple(dict.fromkeys((choice.window, *(singles or moments.spec.windows)))),
            negatives=choice.negatives,
            weighting=choice.weighting,
        )
    return kept[key]


def _ask_window(moments: Gathered) -> Window:
    if not _singles(moments):
        return _ask_gathered(moments)
    first, last = span_of(moments)
    slider, paper = st.columns([5, 3], vertical_alignment="bottom")
    with slider:
        if first == last:
            st.caption(f"Only offset {first} was gathered, so it is the window.")
            return Window(start=first, stop=last + 1)
        st.slider(
            "Window: offsets from the event's first token",
            first,
            last,
            key=RANGE,
            persist_state="session",
            help="Both ends are included. The map and the card follow at once, from the sums of the pass.",
        )
    low, high = st.session_state[RANGE]
    reachable = first <= PAPER_WINDOW.start and PAPER_WINDOW.stop - 1 <= last
    paper.button(
        "The paper's", key=_PAPER, on_click=_use_paper_window, width="stretch", disabled=not reachable, help="−13 to −8"
    )
    return Window(start=low, stop=high + 1)


def _ask_gathered(moments: Gathered) -> Window:
    """One of the windows of a pass that gathered no single offsets, as an experiment's does."""
    windows = {window.label: window for window in moments.spec.windows}
    if st.session_state.get(_GATHERED) not in windows:
        st.session_state[_GATHERED] = next(iter(windows))
    return windows[
        st.selectbox(
            "Window: offsets from the event's first token", list(windows), key=_GATHERED, persist_state="session"
        )
    ]


def _singles(moments: Gathered) -> list[Window]:
    return [window for window in moments.spec.windows if window.stop - window.start == 1]


def span_of(moments: Gathered) -> tuple[int, int]:
    """The first and last offset that the slider reaches; those of the paper where no single one was gathered."""
    starts = [window.start for window in _singles(moments)] or [PAPER_WINDOW.start, PAPER_WINDOW.stop - 1]
    return min(starts), max(starts)


def _use_paper_window() -> None:
    st.session_state[RANGE] = (PAPER_WINDOW.start, PAPER_WINDOW.stop - 1)


def _set_defaults(have: dict[Role, Gathered], moments: Gathered, usual: Window) -> None:
    first, last = span_of(moments)
    kept: tuple[int, int] = st.session_state.get(RANGE, (usual.start, usual.stop - 1))
    low, high = kept
    if RANGE in st.session_state and not first <= low <= high <= last:
        st.session_state[RANGE] = (min(max(low, first), last), max(min(high, last), first))
    if st.session_state.get(f"{KEY}role") not in have:
        st.session_state.pop(f"{KEY}role", None)
    if st.session_state.get(f"{KEY}label") not in moments.spec.rows:
        st.session_state.pop(f"{KEY}label", None)
    defaults = {
        "role": next(iter(have)),
        "label": BACKTRACKING if BACKTRACKING in moments.spec.labels else moments.spec.labels[0],
        "negatives": "all",
        "weighting": "trace",
        "window": (min(max(low, first), last), max(min(high, last), first)),
    }
    missing = {f"{KEY}{name}": value for name, value in defaults.items() if f"{KEY}{name}" not in st.session_state}
    st.session_state.update(missing)
    set_anew({f"{KEY}{name}": value for name, value in defaults.items()}, unless=_PAPER)
