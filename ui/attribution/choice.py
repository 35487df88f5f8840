"""Which reading is shown, at which layer, with which bars below the text: switches over values that are at hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import streamlit as st

from core.attribution.values import Attribution
from ui.attribution.catalogue import BY_KEY, FAMILIES, METHODS, methods_of
from ui.attribution.form import FOLDED, Request
from ui.attribution.further import Target, choose_target, may_compute
from ui.attribution.methods import Method, Readings
from ui.components.first_screen import foldable

FAMILY_KEY = "attribution_family"
METHOD_KEY = "attribution_method"
BARS_KEY = "attribution_bars"
MAX_BARS = 4
_SLIDER = 240
"""Pixels of the layer's slider in the bar above a text."""


@dataclass(frozen=True, kw_only=True)
class View:
    """What is drawn."""

    method: Method
    layer: int
    target: Target
    bars: tuple[Method, ...] = ()


def choose_view(request: Request, attribution: Attribution, draw_jumps: Callable[[], None]) -> View:
    """Family and method in one row; layer, target and bars, and the jumps in another."""
    with foldable(FOLDED, "method"), st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        family = st.segmented_control(
            "Colour by",
            [family for family in FAMILIES if any(may_compute(method.needs) for method in methods_of(family))],
            default=FAMILIES[0],
            required=True,
            key=FAMILY_KEY,
            persist_state="session",
            label_visibility="collapsed",
            wrap=True,
        )
        options = [method for method in methods_of(family or FAMILIES[0]) if may_compute(method.needs)]
        chosen = st.segmented_control(
            "Reading",
            [method.key for method in options],
            default=options[0].key,
            required=True,
            format_func=lambda key: BY_KEY[key].short,
            key=f"{METHOD_KEY}:{family}",
            persist_state="session",
            label_visibility="collapsed",
            wrap=True,
        )
    method = BY_KEY[chosen or options[0].key]
    with foldable(FOLDED, "layer"), st.container(horizontal=True, vertical_alignment="center", gap="small"):
        layer = choose_layer(attribution, disabled=not method.per_layer, width=_SLIDER)
        with st.popover("Target and bars", icon=":material/tune:"):
            target = choose_target(request, attribution)
            bars = _choose_bars()
        draw_jumps()
    return View(method=method, layer=layer, target=target, bars=bars)


def choose_layer(attribution: Attribution, *, disabled: bool = False, width: int | None = None) -> int:
    """The layer slider, with `width` so wide and its label before it; a model of one layer has none."""
    n_layers = len(attribution.projection)
    if n_layers == 1:
        return 0
    if width:
        st.markdown("Layer", width="content")
    return st.slider(
        "Layer that is read",
        0,
        n_layers - 1,
        min(attribution.spec.direction.layer, n_layers - 1),
        key=f"attribution_read_layer:{n_layers}",
        persist_state="session",
        disabled=disabled,
        label_visibility="collapsed" if width else "visible",
        width=width or "stretch",
        help="The residual stream after this block; layers count from 0. Readings of the model's output have none.",
    )


def _choose_bars() -> tuple[Method, ...]:
    keys = st.multiselect(
        "Bars below the text",
        [method.key for method in METHODS if may_compute(method.needs)],
        format_func=lambda key: BY_KEY[key].title,
        key=BARS_KEY,
        persist_state="session",
        max_selections=MAX_BARS,
        placeholder="Stack up to four more readings",
        help="Each is a thin bar below every token, on its own colour range. Those that need a computation are drawn "
        "once it was done: choose them above first.",
    )
    return tuple(BY_KEY[key] for key in keys)


def drawable(view: View, readings: Readings) -> tuple[Method, ...]:
    """The chosen bars whose values are at hand."""
    return tuple(method for method in view.bars if method.available(readings))
