"""A window on a real trace: its tokens before an event, how well the window separates, and what steering with it did.

Moving the window reads nothing again: the separation follows from the sums at hand, the effect from experiments.
"""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from core.embedded import recorded_for
from core.experiments.statistics import Effect, effect_at
from core.experiments.values import Outcome
from core.extraction.contrast import contrast
from core.extraction.moments import Gathered
from core.models.pair import ModelFacts
from core.traces.events import find_events
from core.values import PairSpec, Trace, Window
from ui.components.offset_ruler import offset_ruler
from ui.components.safe_text import plain, tried
from ui.extraction.contrast import RANGE, Choice, span_of
from ui.extraction.form import EXACT
from ui.extraction.layer_map import Cell
from ui.extraction.start import MAX_EXACT
from ui.shell.state import workbench

KEY = "ruler:"
WINDOW = "ruler:window"
_AT, _VALUES = "ruler:at", "ruler:values"
Facts = tuple[ModelFacts, ModelFacts]


@st.fragment
def draw_ruler(moments: Gathered, choice: Choice, cell: Cell, traces: tuple[Trace, ...], facts: Facts) -> None:
    """The ruler over one event of the traces, its readings, and the way to take its window over."""
    low, high = span_of(moments)
    places = [(i, part) for i, trace in enumerate(traces) for part in trace.parts if part.label == choice.label]
    if not places or low == high:
        return
    st.markdown("##### The window on a real trace")
    window = st.session_state.setdefault(WINDOW, choice.window)
    if not low <= window.start < window.stop <= high + 1:
        window = st.session_state[WINDOW] = choice.window
    at = _ask_event(len(places))
    index, part = places[at]
    tokens = tried(lambda: _tokens(traces[index], part.start, choice, low, high))
    if tokens is None:
        return
    pieces, first = tokens
    offset_ruler(pieces, first=first, window=window, bounds=(low, high), key=f"{KEY}strip", on_move=_keep)
    _draw_readings(moments, replace(choice, window=window), cell, facts)
    if st.button(
        "Use this window",
        key=f"{KEY}use",
        icon=":material/check:",
        help="The map and the card take it over at once, as a mean over its offsets; the next **Extract** gathers it "
        "exactly.",
        on_click=_use,
        args=(window,),
    ):
        st.rerun()


def _keep(window: Window) -> None:
    st.session_state[WINDOW] = window


def _use(window: Window) -> None:
    """Hand the window to the map and to the form."""
    st.session_state[RANGE] = (window.start, window.stop - 1)
    st.session_state[EXACT] = tuple(dict.fromkeys((*st.session_state.get(EXACT, ()), window)))[-MAX_EXACT:]


def _ask_event(n: int) -> int:
    """Which of the n events is shown, from 0."""
    at = min(max(int(st.session_state.get(_AT, 0)), 0), n - 1)

    def go(to: int) -> None:
        st.session_state[_AT] = to

    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.button("‹", key=f"{KEY}before", disabled=at == 0, on_click=go, args=(at - 1,), help="Event before")
        st.markdown(f"Event {at + 1:,} of {n:,}", width="content")
        st.button("›", key=f"{KEY}after", disabled=at == n - 1, on_click=go, args=(at + 1,), help="Next event")
    return at


def _tokens(trace: Trace, start: int, choice: Choice, low: int, high: int) -> tuple[tuple[str, ...], int]:
    """(pieces, offset of the first) around the event of the part that begins at `start`. Raises BadInput."""
    pair = workbench().pair
    reading = pair.locate(choice.role, trace.prompt, trace.text)
    found = find_events(trace, choice.label, spans=reading.spans, text_start=reading.text_start)
    event = next((one.position for one in found if one.part.start == start), reading.text_start)
    first, stop = max(event + low, reading.text_start), min(event + high + 1, len(reading.token_ids))
    return pair.pieces(choice.role, reading.token_ids[first:stop]), first - event


def _draw_readings(moments: Gathered, choice: Choice, cell: Cell, facts: Facts) -> None:
    """Separation of the window, and its measured effect or that there is none."""
    separation = tried(lambda: _separation(moments, choice, cell))
    words = f"Window **{choice.window.label}** at layer {cell.layer}: "
    st.markdown(
        words + (separation or "no separation can be told") + f".  \nSteering with it: {_effect(choice, cell, facts)}"
    )


def _separation(moments: Gathered, choice: Choice, cell: Cell) -> str:
    key = (moments.spec, choice, cell.layer)
    kept: tuple[object, str] | None = st.session_state.get(_VALUES)
    if kept is None or kept[0] != key:
        found = contrast(
            moments, choice.label, windows=(choice.window,), negatives=choice.negatives, weighting=choice.weighting
        )
        i = found.spec.layers.index(cell.layer)
        low, high = found.separation_interval[:, i, 0]
        kept = (key, f"separation d′ **{found.separation[i, 0]:.2f}** (95% interval {low:.2f} to {high:.2f})")
        st.session_state[_VALUES] = kept
    return kept[1]


def _effect(choice: Choice, cell: Cell, facts: Facts) -> str:
    """What experiments on this pair measured of the window, in words."""
    outcomes = _outcomes(choice, facts)
    for outcome in outcomes:
        found = effect_at(outcome, source=choice.role, layer=cell.layer, window=choice.window)
        if found is not None:
            return effect_in_words(found, outcome)
    places = sorted(
        {
            (point.layer, point.window.start, point.window.label)
            for outcome in outcomes
            for point in outcome.chosen_from
            if point.window and (point.kind, point.source) == ("direction", choice.role)
        }
    )
    here = [label for layer, _, label in places if layer == cell.layer]
    return "not measured" + (f"; at layer {cell.layer} measured: {', '.join(here)}" if here else "")


def effect_in_words(effect: Effect, outcome: Outcome) -> str:
    """The gain in percentage points of all words, its interval, dose and n."""
    gain, n_doses = effect.gain.difference, effect.n_doses
    best = f", the best of {n_doses} readable doses" if n_doses > 1 else ""
    title = f" (“{plain(outcome.plan.title, 60)}”)" if outcome.plan.title else ""
    return (
        f"keywords **{_points(gain.mean)} points** of all words (95% interval {_points(gain.low)} to "
        f"{_points(gain.high)}) at {effect.point.coefficient:+.3g}{best}, n = {gain.n} questions{title}"
    )


def _points(share: float) -> str:
    return f"{100 * share:+.2f}".replace("-", "−")


def _outcomes(choice: Choice, facts: Facts) -> list[Outcome]:
    """Experiments with this pair and label: those that are kept, then the recorded one."""
    prints = tuple(fact.fingerprint for fact in facts)
    kept = [
        outcome
        for one in workbench().experiments.list()
        if (outcome := workbench().experiments.outcome(one.experiment_id)) is not None
        and outcome.fingerprints == prints
    ]
    recorded = recorded_for(PairSpec(base=facts[0].spec, reasoner=facts[1].spec))
    found = [*kept, *([recorded] if recorded else [])]
    asked = (choice.label, choice.negatives, choice.weighting)
    return [one for one in found if (one.plan.label, one.plan.negatives, one.plan.weighting) == asked]
