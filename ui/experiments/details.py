"""All other settings of a plan: places, doses, sampling, controls. Each begins as the plan that it is asked for."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import streamlit as st

from core.errors import BadInput
from core.experiments.arms import NAMES
from core.experiments.command import window_of
from core.experiments.presets import WINDOWS
from core.experiments.values import CONTROLS, ControlPlan, Doses, Fixed, Kind, Plan, Unit
from core.extraction.values import Negatives, Weighting
from core.models.pair import ModelFacts
from core.runs.cells import Counted
from core.text.typed import reals, show_reals
from core.text.words import words_of
from core.values import Window
from ui.components.safe_text import plain
from ui.experiments.widgets import kept

_UNITS: dict[Unit, str] = {"auto": "Find the range", "unit": "× unit vector", "share": "Shares of the norm"}
_NEGATIVES: dict[Negatives, str] = {
    "all": "All tokens (Eq. 3)",
    "other": "Other labels' parts",
    "same": "Same traces' tokens",
    "position": "Same place, other labels",
}
_WEIGHTED: dict[Weighting, str] = {"trace": "Per trace (Eq. 3)", "token": "Per token"}
_COUNTED: dict[Counted, str] = {"thinking": "The reasoning", "all": "All of it"}
CHOSEN = "chosen"


def ask_details(plan: Plan, facts: ModelFacts, key: str) -> Plan:
    """The plan with everything that is asked here. Raises BadInput for what cannot be read."""
    if plan.saved is None:
        plan = _ask_compared(plan, facts.n_layers, key)
    places, doses, controls = st.columns(3, gap="large")
    with places:
        if plan.saved is None:
            plan = _ask_place(plan, key)
        else:
            st.markdown("**Place**")
            st.caption("Saved directions are added at their own layer.")
        plan = _ask_counting(plan, key)
    with doses:
        plan = _ask_doses(plan, key)
        plan = _ask_sampling(plan, facts.context_length, key)
    with controls:
        return replace(plan, controls=_ask_controls(plan, key))


def _ask_compared(plan: Plan, n_layers: int, key: str) -> Plan:
    """The windows and layers of which one is chosen. Raises BadInput for a window that is none."""
    left, right = st.columns(2, gap="large")
    windows: list[str] = left.multiselect(
        "Windows compared",
        [window.label for window in dict.fromkeys((*plan.windows, *WINDOWS))],
        key=kept(f"{key}windows", [window.label for window in plan.windows]),
        accept_new_options=True,
        persist_state="session",
        help="Tokens before (negative) or after an event's first token, both ends included, such as −13..−8. The first "
        "is where the layers are compared.",
    )
    layers: list[int] = right.multiselect(
        "Layers compared",
        range(n_layers),
        key=kept(f"{key}layers:{n_layers}", [n for n in plan.layers if n < n_layers]),
        persist_state="session",
    )
    found = tuple(dict.fromkeys(window_of(text.replace("−", "-")) for text in windows))
    return replace(plan, windows=found, layers=tuple(sorted(layers)))


def _ask_place(plan: Plan, key: str) -> Plan:
    st.markdown("**Place**")
    fixed = _ask_fixed(plan.fixed, plan.windows, plan.layers, key)
    negatives = st.selectbox(
        "Subtracted mean",
        get_args(Negatives),
        format_func=_NEGATIVES.__getitem__,
        key=kept(f"{key}negatives", plan.negatives),
        persist_state="session",
    )
    weighting = st.selectbox(
        "Weighting",
        get_args(Weighting),
        format_func=_WEIGHTED.__getitem__,
        key=kept(f"{key}weighting", plan.weighting),
        persist_state="session",
    )
    return replace(plan, fixed=fixed, negatives=negatives, weighting=weighting)


def _ask_fixed(fixed: Fixed, windows: tuple[Window, ...], layers: tuple[int, ...], key: str) -> Fixed:
    """A layer and a window that are not to be chosen."""
    left, right = st.columns(2)
    numbers: list[int | str] = [CHOSEN, *layers]
    layer = left.selectbox(
        "Reported layer",
        numbers,
        key=kept(f"{key}layer", CHOSEN if fixed.layer is None else fixed.layer, among=numbers),
        persist_state="session",
        help="Chosen on the choosing half, unless you name one.",
    )
    named = {window.label: window for window in windows}
    window = right.selectbox(
        "Reported window",
        [CHOSEN, *named],
        key=kept(f"{key}window", fixed.window.label if fixed.window else CHOSEN, among=[CHOSEN, *named]),
        persist_state="session",
    )
    return replace(fixed, layer=None if isinstance(layer, str) else layer, window=named.get(window))


def _ask_doses(plan: Plan, key: str) -> Plan:
    st.markdown("**Doses**")
    unit = st.selectbox(
        "Unit",
        get_args(Unit),
        format_func=_UNITS.__getitem__,
        key=kept(f"{key}unit", plan.doses.unit),
        persist_state="session",
        help="“Find the range” looks for the dose at which the text becomes 0.5 nats per token less likely, and takes "
        "fractions of it: it fits any pair. The others are multiples of a unit vector, or shares of the reasoning "
        "model's mean residual norm.",
    )
    usual = plan.doses.values if unit == plan.doses.unit else _USUAL[unit]
    text = st.text_input(
        "Doses", key=kept(f"{key}doses:{unit}", show_reals(usual)), max_chars=200, persist_state="session"
    )
    dose = st.text_input(
        "Reported dose",
        placeholder="chosen on the choosing half",
        key=kept(f"{key}dose:{unit}", "" if plan.fixed.dose is None else show_reals((plan.fixed.dose,))),
        max_chars=40,
        persist_state="session",
    )
    fixed = replace(plan.fixed, dose=reals(dose)[0] if dose.strip() else None)
    return replace(plan, doses=Doses(unit=unit, values=reals(text)), fixed=fixed)


_USUAL: dict[Unit, tuple[float, ...]] = {
    "auto": Doses().values,
    "unit": (2.0, 4.0, 8.0, 12.0, 16.0),
    "share": (0.2, 0.3, 0.4, 0.5, 0.6),
}


def _ask_sampling(plan: Plan, context: int, key: str) -> Plan:
    st.markdown("**Sampling**")
    tokens = st.number_input(
        "New tokens",
        16,
        max(context, 16),
        step=16,
        key=kept(f"{key}tokens", min(plan.sampling.max_new_tokens, context)),
        persist_state="session",
        help=f"Up to the context of the model, {context:,} tokens with the question.",
    )
    heat, dice = st.columns(2)
    temperature = heat.number_input(
        "Temperature",
        0.0,
        2.0,
        step=0.1,
        key=kept(f"{key}temperature", plan.sampling.temperature),
        persist_state="session",
    )
    seed = dice.number_input("Seed", 0, 2**31 - 1, key=kept(f"{key}seed", plan.sampling.seed), persist_state="session")
    if not temperature:
        st.caption(
            "At temperature 0 a question has one answer only, and few questions differ: more of them are needed."
        )
    sampling = replace(plan.sampling, max_new_tokens=int(tokens), temperature=float(temperature), seed=int(seed))
    return replace(plan, sampling=sampling)


def _ask_counting(plan: Plan, key: str) -> Plan:
    st.markdown("**Counted**")
    text = st.text_input(
        "Keywords", key=kept(f"{key}keywords", ", ".join(plan.keywords)), max_chars=400, persist_state="session"
    )
    counted = st.segmented_control(
        "Counted text",
        get_args(Counted),
        format_func=_COUNTED.__getitem__,
        required=True,
        key=kept(f"{key}counted", plan.counted),
        persist_state="session",
    )
    keywords = tuple(dict.fromkeys(words_of(text)))
    if not keywords:
        raise BadInput(f"{plain(text, 60)!r} holds no word to count.", "Write words with commas between them.")
    return replace(plan, keywords=keywords, counted=counted or "thinking")


def _ask_controls(plan: Plan, key: str) -> ControlPlan:
    st.markdown("**Controls** (Fig. 4 and the band)")
    asked = plan.controls
    kinds: list[Kind] = st.multiselect(
        "Kinds",
        CONTROLS,
        format_func=NAMES.__getitem__,
        key=kept(f"{key}kinds", list(asked.kinds)),
        persist_state="session",
        help="What should do less than the direction. All are scaled to its norm.",
    )
    n = _ask_number("Random directions of equal norm", f"{key}random", asked.random)
    matched = _ask_number(
        "… of them of equal coherence too",
        f"{key}matched",
        asked.matched,
        "Run once more at the dose at which the text is as unlikely as under the direction: at equal norm a random "
        "direction may break the text more, or less.",
    )
    curves = _ask_number(
        "… of them at every dose",
        f"{key}curves",
        asked.curves,
        "The other kinds too; with 0 all controls are measured at the chosen dose alone, and there is no band.",
    )
    return replace(asked, random=n, matched=min(matched, n), curves=min(curves, n), kinds=tuple(kinds))


def _ask_number(label: str, key: str, usual: int, words: str | None = None) -> int:
    return int(st.number_input(label, 0, 200, key=kept(key, usual), persist_state="session", help=words))
