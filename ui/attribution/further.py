"""What is known of the text on the page, and getting the rest: gradients, exact effects, the other model's reading."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import streamlit as st

from core.attribution.values import (
    Attribution,
    Divergence,
    DivergenceSpec,
    Gradients,
    GradientSpec,
    Interventions,
    InterventionSpec,
    TargetText,
)
from core.errors import UserFacingError
from core.jobs import JobId
from core.models.pair import ROLES, ModelFacts
from ui.attribution.form import Request
from ui.attribution.methods import Further, Needs, Readings
from ui.components.safe_text import plain, show_error
from ui.shell.how_read import told_frame
from ui.shell.jobs import Offer, at_hand, forward_macs, obtain
from ui.shell.state import caller, workbench

TARGET_KEY = "attribution_target"
PLACE_KEY = "attribution:target_place"
EXACT_POSITIONS = 256
"""Exact effects are measured at so many positions before the last target."""
FurtherSpec: TypeAlias = GradientSpec | InterventionSpec | DivergenceSpec
_VALUES: dict[Needs, type[Further]] = {
    "gradients": Gradients,
    "interventions": Interventions,
    "divergence": Divergence,
}


@dataclass(frozen=True, kw_only=True)
class Target:
    """The predictions that are explained, and what they are in words."""

    positions: tuple[int, ...]
    words: str


def targets_of(request: Request, attribution: Attribution) -> dict[str, Target]:
    """The targets that can be chosen, the first being the default."""
    found: dict[str, Target] = {}
    start = request.spec.text_start
    before = tuple(event - 1 for event in request.tokens.events if event > start)
    if before:
        n = len(before)
        words = "before the event" if n == 1 else f"before each of {n} events"
        found["events"] = Target(positions=before, words=words)
    place = start + int(np.argmax(attribution.p_keyword[start:]))
    found["likeliest"] = Target(positions=(place,), words=f"where a keyword is likeliest, after token {place}")
    token = st.session_state.get(PLACE_KEY)
    if isinstance(token, int) and 0 <= token < len(attribution.pieces):
        found["token"] = Target(positions=(token,), words=f"after token {token}")
    return found


def choose_target(request: Request, attribution: Attribution) -> Target:
    """A select box over the targets."""
    found = targets_of(request, attribution)
    if st.session_state.get(TARGET_KEY) not in found:
        st.session_state[TARGET_KEY] = next(iter(found))
    picked = st.selectbox(
        "Target",
        list(found),
        format_func=lambda name: found[name].words,
        key=TARGET_KEY,
        persist_state="session",
        help="What gradients and exact effects explain: the logit of the keywords less that of the five likeliest "
        "other tokens, as the next token at this place, or the mean over the events. Pin a token and press "
        "**Explain what comes next** to choose another place.",
    )
    return found[picked]


def explain_token(token: int) -> None:
    """Make the prediction after this token the target."""
    st.session_state[PLACE_KEY] = token
    st.session_state[TARGET_KEY] = "token"


def specs_of(request: Request, target: Target) -> dict[Needs, FurtherSpec | UserFacingError]:
    """The spec of each further reading; for the other model's, the error where that cannot be made."""
    spec = request.spec
    text = TargetText.of(spec, target.positions)
    first = max(0, max(target.positions) + 1 - EXACT_POSITIONS)
    return {
        "gradients": GradientSpec(text=text, direction=spec.direction),
        "interventions": InterventionSpec(
            text=text, direction=spec.direction, layer=spec.layer, coefficient=spec.coefficient, first=first
        ),
        "divergence": _divergence_spec(request),
    }


def _divergence_spec(request: Request) -> DivergenceSpec | UserFacingError:
    """Both models' text with one and the same target, since the comparison has none."""
    other = next(role for role in ROLES if role != request.role)
    facts, spec = workbench().pair.facts(other), request.spec
    try:
        reading = workbench().pair.read(other, request.question, request.text, frame=told_frame())
        ours = TargetText.of(spec, (spec.text_start,))
        theirs = replace(
            ours,
            model=facts.spec,
            fingerprint=facts.fingerprint,
            token_ids=reading.token_ids,
            text_start=reading.text_start,
            targets=(min(reading.text_start, len(reading.token_ids) - 1),),
        )
        return DivergenceSpec(text=ours, other=theirs, lens_words=spec.lens_words)
    except UserFacingError as error:
        return error


def known_readings(request: Request, attribution: Attribution, target: Target) -> Readings:
    """What this session or the store already has; nothing is started."""
    readings = Readings(attribution=attribution)
    for name, spec in specs_of(request, target).items():
        found = None if isinstance(spec, UserFacingError) else at_hand(spec, name, _VALUES[name])
        readings = readings if found is None else readings.joined(found)
    return readings


def complete(readings: Readings, request: Request, target: Target, needs: Needs, facts: ModelFacts) -> Readings | None:
    """The readings with what `needs` names; None while that is computed, offered, or impossible, which is then said."""
    if not needs or getattr(readings, needs) is not None:
        return readings
    spec = specs_of(request, target)[needs]
    if isinstance(spec, UserFacingError):
        show_error(spec)
        return None
    offer = _offer(request, target, needs, facts)

    def start() -> JobId[Further]:
        return workbench().attribute(spec, caller())

    found = obtain(spec, needs, _VALUES[needs], start, offer=offer)
    return None if found is None else readings.joined(found)


def _offer(request: Request, target: Target, needs: Needs, facts: ModelFacts) -> Offer:
    """What is said of a further reading before it is computed."""
    n = len(request.spec.token_ids)
    one = forward_macs(facts, n)
    if needs == "gradients":
        words = f"A backward pass through {plain(facts.name)} takes a while."
        return Offer(macs=5 * one, words=words, button="Compute the gradients")
    if needs == "divergence":
        words = "Reading with both models takes a while."
        return Offer(macs=forward_macs(facts, n, lens=True) + one, words=words, button="Read with both")
    stop = max(target.positions) + 1
    rows = 2 * min(stop, EXACT_POSITIONS)
    words = f"Each of the {rows // 2} positions before the target is steered and ablated alone: {rows} passes. "
    words += "Set everything as you want it first; the result is kept."
    return Offer(macs=rows * forward_macs(facts, stop), words=words, button="Measure the exact effects")
