"""The four ticks of an experiment, always open: how each claim stands, and the sentence with its numbers."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from core.experiments.verdicts import State, Tick
from ui.components.safe_text import plain

_BADGES: dict[State, tuple[str, str]] = {
    "yes": ("green", ":material/check: yes"),
    "no": ("red", ":material/close: no"),
    "unclear": ("orange", ":material/question_mark: unclear"),
    "too little": ("orange", ":material/hourglass_empty: too little"),
    "not measured": ("gray", ":material/more_horiz: not measured"),
}
MAX_SENTENCE = 900


def draw_row(ticks: Sequence[Tick]) -> None:
    """The claims in one line, without their sentences."""
    badges = []
    for tick in ticks:
        colour, (icon, words) = _BADGES[tick.state][0], _BADGES[tick.state][1].split(" ", 1)
        badges.append(f":{colour}-badge[{icon} {tick.name[:1].upper() + tick.name[1:]}: {words}]")
    st.markdown(" ".join(badges))


def draw_ticks(ticks: Sequence[Tick]) -> None:
    """One line per claim; what fails is as visible as what holds."""
    with st.container(border=True, gap="xsmall"):
        for tick in ticks:
            colour, words = _BADGES[tick.state]
            name = tick.name[:1].upper() + tick.name[1:]
            st.markdown(f":{colour}-badge[{words}] **{name}.** {plain(tick.sentence, MAX_SENTENCE)}")
