"""What is known of the text on the page, and getting the rest: the text steered, lenses, gradients, exact effects."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import streamlit as st

from core.attribution.costs import (
    Cost,
    Sizes,
    all_lenses_cost,
    divergence_cost,
    effects_cost,
    gradients_cost,
    lens_cost,
    steered_cost,
)
from core.attribution.readouts import Steered, SteeredSpec, StreamLens, StreamLensSpec
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
from core.guests import SHORT_READINGS
from core.jobs import JobId
from core.models.pair import ROLES, ModelFacts
from ui.attribution.form import Request
from ui.attribution.methods import Further, Needs, Readings
from ui.components.safe_text import plain, seconds, show_error, size
from ui.shell.how_read import told_frame
from ui.shell.jobs import Offer, at_hand, forward_macs, obtain
from ui.shell.state import caller, guest, workbench

TARGET_KEY = "attribution_target"
PLACE_KEY = "attribution:target_place"
EXACT_POSITIONS = 256
"""Exact effects are measured at so many positions before the last target."""
FurtherSpec: TypeAlias = SteeredSpec | StreamLensSpec | GradientSpec | InterventionSpec | DivergenceSpec
LAYERED: tuple[Needs, ...] = ("lens", "lens_other")
"""What is read layer by layer."""
_VALUES: dict[Needs, type[Further]] = {
    "steered": Steered,
    "lens": StreamLens,
    "lens_other": StreamLens,
    "gradients": Gradients,
    "interventions": Interventions,
    "divergence": Divergence,
}

_SPECS: dict[Needs, type[FurtherSpec]] = {
    "steered": SteeredSpec,
    "lens": StreamLensSpec,
    "lens_other": StreamLensSpec,
    "gradients": GradientSpec,
    "interventions": InterventionSpec,
    "divergence": DivergenceSpec,
}


def may_compute(needs: Needs) -> bool:
    """Whether this session may have it computed: a visitor's readings take a pass or two."""
    return not guest() or needs not in _SPECS or _SPECS[needs] in SHORT_READINGS


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


def spec_of(request: Request, target: Target, needs: Needs, layer: int) -> FurtherSpec | UserFacingError:
    """The spec of a further reading; for the other model's, the error where that cannot be made."""
    spec = request.spec
    text = TargetText.of(spec, target.positions)
    if needs == "steered":
        return SteeredSpec(reading=spec)
    if needs == "lens":
        return StreamLensSpec.of(spec, layer)
    if needs == "gradients":
        return GradientSpec(text=text, direction=spec.direction)
    if needs == "interventions":
        first = max(0, max(target.positions) + 1 - EXACT_POSITIONS)
        return InterventionSpec(
            text=text, direction=spec.direction, layer=spec.layer, coefficient=spec.coefficient, first=first
        )
    apart = _divergence_spec(request)
    if needs == "divergence" or isinstance(apart, UserFacingError):
        return apart
    reader, fingerprint = apart.other.model, apart.other.fingerprint
    return replace(StreamLensSpec.of(spec, layer), words=(), reader=reader, reader_fingerprint=fingerprint)


def _divergence_spec(request: Request) -> DivergenceSpec | UserFacingError:
    """Both models' text with one and the same target, since the comparison has none."""
    other = next(role for role in ROLES if role != request.role)
    spec = request.spec
    try:
        facts = workbench().pair.facts(other)
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
        return DivergenceSpec(text=ours, other=theirs)
    except UserFacingError as error:
        return error


def known_readings(request: Request, attribution: Attribution, target: Target, layer: int) -> Readings:
    """What this session or the store already has, of lenses that of `layer`; nothing is started."""
    readings = Readings(attribution=attribution)
    for needs in _VALUES:
        readings = _known(readings, spec_of(request, target, needs, layer), needs, layer)
    return readings


def _known(readings: Readings, spec: FurtherSpec | UserFacingError, needs: Needs, layer: int) -> Readings:
    found = None if isinstance(spec, UserFacingError) else at_hand(spec, _name(needs, layer), _VALUES[needs])
    return readings if found is None else readings.joined(found)


def _name(needs: Needs, layer: int) -> str:
    """What a reading is kept under in this session."""
    return f"{needs}:{layer}" if needs in LAYERED else needs


def complete(
    readings: Readings, request: Request, target: Target, needs: Needs, facts: ModelFacts, layer: int
) -> Readings | None:
    """The readings with what `needs` names; None while that is computed, offered, or impossible, which is then said."""
    if readings.has(needs, layer):
        return readings
    spec = spec_of(request, target, needs, layer)
    if isinstance(spec, UserFacingError):
        show_error(spec)
        return None
    offer = _offer(readings, request, target, needs, facts, layer)
    return obtain_further(readings, spec, needs, offer, name=_name(needs, layer))


def obtain_further(readings: Readings, spec: FurtherSpec, needs: Needs, offer: Offer, *, name: str) -> Readings | None:
    """The readings with that of the spec; None while it is computed or offered."""

    def start() -> JobId[Further]:
        return workbench().attribute(spec, caller())

    found = obtain(spec, name, _VALUES[needs], start, offer=offer)
    return None if found is None else readings.joined(found)


def every_layer(readings: Readings, request: Request, target: Target, needs: Needs, facts: ModelFacts) -> Readings:
    """The readings with every layer that is at hand; a job for the others is offered, or runs where it costs little."""
    specs = []
    for layer in range(readings.n_layers):
        spec = spec_of(request, target, needs, layer)
        readings = _known(readings, spec, needs, layer)
        if isinstance(spec, StreamLensSpec):
            specs.append(spec)
    left = sum(not readings.has(needs, spec.layer) for spec in specs)
    if not left or guest():
        return readings
    cost = all_lenses_cost(Sizes.of(request.spec, facts), left)
    words = f"{left} of {len(specs)} layers are not read out yet."
    offer = offer_of(cost, readings, facts, words, "Read out every layer")
    asked = tuple(specs)
    found = obtain(
        asked, f"{needs}:all", tuple, lambda: workbench().read_stream(asked, caller()), offer=offer, in_store=False
    )
    for lens in found or ():
        readings = readings.joined(lens)
    return readings


def cost_words(cost: Cost, attribution: Attribution) -> str:
    """Time and memory of a reading, in seconds where a pass over this text was measured."""
    passes = f"{cost.passes:.1f}" if cost.passes < 10 else f"{cost.passes:.0f}"
    memory = f"up to {size(cost.bytes)} beside the weights"
    if not attribution.seconds:
        return f"This takes about {passes} forward passes and {memory}."
    one = attribution.seconds
    longest = f" (up to {seconds(cost.whole_passes * one)} for a model that keeps more than keys and values)"
    return (
        f"This takes about {seconds(cost.passes * one)}{longest if cost.whole_passes else ''}, {passes} times what "
        f"reading this text took, and {memory}."
    )


def _offer(readings: Readings, request: Request, target: Target, needs: Needs, facts: ModelFacts, layer: int) -> Offer:
    """What is said of a further reading before it is computed."""
    if needs == "steered":
        return steered_offer(readings, facts)
    if needs in LAYERED:
        return lens_offer(readings, facts, layer)
    sizes, stop = Sizes.of(request.spec, facts), max(target.positions) + 1
    if needs == "gradients":
        words = f"A backward pass through {plain(facts.name)}."
        return offer_of(gradients_cost(sizes), readings, facts, words, "Compute the gradients")
    if needs == "divergence":
        return offer_of(divergence_cost(sizes), readings, facts, "Reading with both models.", "Read with both")
    positions = min(stop, EXACT_POSITIONS)
    cost = effects_cost(sizes, layer=request.spec.layer, stop=stop, positions=positions)
    words = (
        f"Each of the {positions} positions before the target is steered and ablated alone. Set everything as you want "
        "it first; the result is kept."
    )
    return offer_of(cost, readings, facts, words, "Measure the exact effects")


def steered_offer(readings: Readings, facts: ModelFacts) -> Offer:
    """Before the text is read steered."""
    spec = readings.attribution.spec
    cost = steered_cost(Sizes.of(spec, facts), spec.layer)
    return offer_of(cost, readings, facts, "The same text is read with the direction added.", "Read it steered")


def lens_offer(readings: Readings, facts: ModelFacts, layer: int) -> Offer:
    """Before one layer is read out."""
    cost = lens_cost(Sizes.of(readings.attribution.spec, facts), layer)
    return offer_of(cost, readings, facts, f"Layer {layer} is read out at every token.", "Read out this layer")


def offer_of(cost: Cost, readings: Readings, facts: ModelFacts, words: str, button: str) -> Offer:
    """A sentence, time and memory, and the button."""
    macs = cost.passes * forward_macs(facts, readings.seq)
    return Offer(macs=macs, words=f"{words} {cost_words(cost, readings.attribution)}", button=button)
