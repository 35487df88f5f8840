"""The coefficient on one control in three units: unit vectors, raw differences of means, share of the residual norm."""

from __future__ import annotations

import re

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.directions.direction import DOSE, Direction
from ui.directions.residual_norm import ResidualNorm
from ui.shell.bounds import Number, put

COEFFICIENT: Number[float] = Number(-1e6, 1e6)
"""In unit vectors."""

UNITS = {
    "unit": "× unit",
    "raw": "× raw",
    "share": "% of norm",
}
DEFAULT_SHARE = 0.4
_FALLBACK = 12.0


def unit_size(direction: Direction, norm: ResidualNorm, unit: str) -> float:
    """How many unit vectors one step of `unit` is; 0 when that is not known."""
    return {"unit": 1.0, "raw": direction.norm, "share": norm.value / 100}[unit]


def default_coefficient(direction: Direction, norm: ResidualNorm) -> float:
    """The dose that it was recorded at, else 40% of the residual norm, else the paper's best, 12 unit vectors.

    Where the norm of the steered model is not known, that of the direction's own model and layer gives a first guess.
    """
    recorded = dict(direction.provenance).get(DOSE, "")
    share = float(recorded) if re.fullmatch(r"0\.[0-9]{1,3}", recorded) else DEFAULT_SHARE
    size = norm.value or direction.resid_norm
    return round(share * size, 1) if size else _FALLBACK


def describe(coefficient: float, direction: Direction, norm: ResidualNorm) -> str:
    """The coefficient in all three units, and whose norm the share is of."""
    parts = [f"**{coefficient:.3g}** × unit vector", f"{coefficient / direction.norm:.3g} × raw difference of means"]
    if not norm.value:
        return f"{' = '.join(parts)}; its share of {norm.in_words} is not known"
    return " = ".join([*parts, f"{100 * coefficient / norm.value:.0f}% of {norm.in_words} ({norm.value:.3g})"])


def coefficient_slider(direction: Direction, norm: ResidualNorm, *, key: str, disabled: bool = False) -> float:
    """A slider in the unit of choice; the coefficient itself, in unit vectors, stays in session_state[key]."""
    choice, track = st.columns([5, 6], vertical_alignment="bottom")
    coefficient = unit_and_slider(choice, track, direction, norm, key=key, disabled=disabled)
    st.caption(describe(coefficient, direction, norm))
    return coefficient


def unit_and_slider(
    choice: DeltaGenerator,
    track: DeltaGenerator,
    direction: Direction,
    norm: ResidualNorm,
    *,
    key: str,
    disabled: bool = False,
) -> float:
    """As `coefficient_slider`, in two places and without the coefficient in words."""
    known = [unit for unit in UNITS if unit_size(direction, norm, unit) > 0]
    unit = choice.segmented_control(
        "Coefficient",
        known,
        default="unit",
        required=True,
        format_func=UNITS.__getitem__,
        key=f"{key}:unit",
        wrap=True,
        persist_state="session",
        disabled=disabled,
        help="The same dose in three units: multiples of the unit vector (the paper's code), of the raw difference of "
        "means (replications), or a share of the mean norm of the residual stream that is steered, where it is known.",
    )
    return _slider(track, direction, norm, unit or "unit", key=key, disabled=disabled)


def _slider(
    track: DeltaGenerator, direction: Direction, norm: ResidualNorm, unit: str, *, key: str, disabled: bool
) -> float:
    size = unit_size(direction, norm, unit)
    COEFFICIENT.hold(key)
    reach = _reach(norm.value or direction.resid_norm or 16.0, abs(st.session_state[key]), size)
    widget = f"{key}:{unit}:{reach:g}"
    put(widget, min(max(round(st.session_state[key] / size, 4), -reach), reach))

    def take() -> None:
        st.session_state[key] = round(st.session_state[widget] * size, 4)

    track.slider(
        "Coefficient",
        -reach,
        reach,
        step=reach / 100,
        key=widget,
        on_change=take,
        label_visibility="collapsed",
        disabled=disabled,
    )
    return float(st.session_state[key])


def _reach(usual: float, chosen: float, size: float) -> float:
    """The slider's end, in steps of `size` unit vectors: beyond a usual dose and the chosen one."""
    return min(_nice(1.5 * max(usual, chosen) / size), COEFFICIENT.high / size)


def _nice(value: float) -> float:
    """The value rounded up to 1, 2 or 5 times a power of ten."""
    power = 1.0
    while power * 10 <= value:
        power *= 10
    while power > value:
        power /= 10
    return next((factor * power for factor in (1.0, 2.0, 5.0) if factor * power >= value), 10 * power)
