"""The result of a pass: the map beside the card of the chosen direction, a real trace below, and its readings."""

from __future__ import annotations

import streamlit as st

from core.extraction.moments import Gathered
from core.extraction.shelf import KIND
from core.extraction.values import DirectionSet
from core.models.pair import ModelFacts, Role
from core.values import Trace
from ui.components.safe_text import plain, tried
from ui.extraction.card import draw_facts, draw_lens, draw_resemblance, draw_save
from ui.extraction.contrast import ask_contrast, made_of
from ui.extraction.controls import draw_controls
from ui.extraction.how_read import draw_skipped
from ui.extraction.layer_map import draw_map, draw_selectors, first_note
from ui.extraction.reliability import draw_reliability
from ui.extraction.ruler import draw_ruler
from ui.extraction.start import draw_exact
from ui.extraction.usual import usual_place
from ui.shell.measured import said_of
from ui.shell.state import can_run

Facts = tuple[ModelFacts, ModelFacts]
Have = dict[Role, Gathered]


def draw_result(have: Have, badge: str, facts: Facts, traces: tuple[Trace, ...] = ()) -> None:
    """The choice of model, label and window, the map beside the chosen direction's card, and its readings below.

    With the traces that were read there is a ruler on them.
    """
    usual = usual_place(facts, next(iter(have.values())).spec.layers)
    chart, card = st.columns([3, 2], gap="medium")
    with chart:
        choice = ask_contrast(have, usual.window, card)
        made = tried(lambda: {role: made_of(moments, choice) for role, moments in have.items()})
    if made is None:
        return
    found, twins = made[choice.role], [directions for role, directions in made.items() if role != choice.role]
    with chart:
        cell = draw_map(found, twins[0] if twins else None, usual=usual)
        _draw_source(have[choice.role], found, badge)
        st.caption(first_note(found, usual))
        if traces and can_run():
            draw_ruler(have[choice.role], choice, cell, traces, facts)
        draw_reliability(have[choice.role], choice, cell)
    with card, st.container(border=True):
        draw_selectors(found)
        direction = tried(lambda: found.at(cell.layer, cell.window))
        if direction is None:
            return
        draw_facts(direction, found, cell=cell)
        draw_exact(cell.window, found)
        draw_save(direction)
        draw_controls(have[choice.role], found, direction, cell)
    lens, others = st.columns([3, 2], gap="large")
    with others:
        draw_resemblance(direction)
    with lens:
        draw_lens(direction, facts)


def _draw_source(moments: Gathered, found: DirectionSet, badge: str) -> None:
    """What the map was made of, and whether it was made just now."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.badge(badge, color="green" if badge == "LIVE" else "blue")
        st.caption(
            f"{found.n_events:,} {plain(found.spec.label)} events in {found.n_traces:,} traces, read by "
            f"{plain(found.spec.model.name)} ({found.spec.model.precision}){said_of(KIND, moments.spec)}."
        )
    draw_skipped(moments.skipped)
