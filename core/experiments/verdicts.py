"""What may be said of an experiment: the four ticks and the sentences of every figure, each with its test.

A tick is on where a paired test says so, off where it says the opposite or where the data speak against it, and open
where they cannot tell. No torch, no disk.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from core.experiments.statistics import (
    at_chosen,
    baseline_of,
    beside,
    chosen_point,
    faults,
    n_holding_half,
    nll,
    null_of,
    rate,
    readable,
    unsteered,
)
from core.experiments.values import Outcome, Point
from core.models.pair import ROLES
from core.statistics import ALPHA, Comparison, Interval

State = Literal["yes", "no", "unclear", "too little", "not measured"]
TickName = Literal["effect", "specific", "only the reasoner", "readable"]
TICKS: tuple[TickName, ...] = ("effect", "specific", "only the reasoner", "readable")
QUESTIONS: dict[TickName, str] = {
    "effect": "Does the direction raise backtracking above the unsteered model?",
    "specific": "Does it do more than every control?",
    "only the reasoner": "Does the base model stay as it is?",
    "readable": "Is the steered text still readable?",
}
"""What each tick answers."""


@dataclass(frozen=True, kw_only=True)
class Tick:
    """One of the four claims, how it stands, and why, in a sentence with its numbers."""

    name: TickName
    state: State
    sentence: str


def ticks(outcome: Outcome) -> tuple[Tick, ...]:
    """The four ticks, always all of them, in the order of TICKS."""
    chosen = chosen_point(outcome)
    if chosen is None:
        return tuple(Tick(name=name, state="not measured", sentence=_PENDING[name]) for name in TICKS)
    return _effect(outcome, chosen), _specific(outcome), _only_reasoner(outcome, chosen), _readable(outcome, chosen)


_PENDING: dict[TickName, str] = {
    "effect": "The reported half has not been measured at the chosen dose yet.",
    "specific": "The controls have not been measured yet.",
    "only the reasoner": "The base model has not been measured yet.",
    "readable": "The reported half has not been measured at the chosen dose yet.",
}


def _effect(outcome: Outcome, chosen: Point) -> Tick:
    baseline = baseline_of(outcome.reported, chosen)
    if baseline is None:
        return Tick(name="effect", state="not measured", sentence=_PENDING["effect"])
    found = beside(chosen, baseline)
    said = f"from {percent(rate(baseline))} unsteered to {percent(rate(chosen))}, {with_test(found)}"
    return Tick(
        name="effect",
        state=_state(found),
        sentence={
            "more": f"The base-derived direction raises the keywords in the reasoning model {said}.",
            "less": f"The base-derived direction lowers the keywords in the reasoning model, {said}.",
            "unclear": f"Whether it raises the keywords cannot be told from chance: {said}.",
            "too little": f"Too little text to say: {said}.",
        }[found.finding()],
    )


def _specific(outcome: Outcome) -> Tick:
    null = null_of(outcome)
    if null is None:
        return Tick(name="specific", state="not measured", sentence=_PENDING["specific"])
    of = f"{null.n_readable} of {null.n_controls} control points are readable"
    if null.strongest is None or null.difference is None:
        return Tick(name="specific", state="unclear", sentence=f"No control can be compared with: {of}.")
    shares = "; ".join(
        f"above {percent(share.below, 0)} of {share.below.n} random directions of equal {share.match}"
        for share in null.shares
    )
    name = f"“{control_name(null.strongest)}” ({percent(rate(null.strongest))})"
    said = f"{with_test(null.difference)}; {of}" + (f"; {shares}" if shares else "")
    state = _state(null.difference)
    if state == "unclear" and null.difference.difference.mean <= 0:
        state = "no"
    sentence = {
        "more": f"It does more than the strongest readable control, {name}: {said}.",
        "less": f"The control {name} does more than it: {said}.",
        "unclear": f"It cannot be told from the strongest readable control, {name}: {said}.",
        "too little": f"Too little text to tell it from the strongest readable control, {name}: {said}.",
    }[null.difference.finding()]
    return Tick(name="specific", state=state, sentence=sentence)


def _only_reasoner(outcome: Outcome, chosen: Point) -> Tick:
    """The base model's largest rise at any measured dose up to the chosen one, against the reasoning model's."""
    name: TickName = "only the reasoner"
    baseline, mine = (unsteered(outcome.reported, role, "report") for role in ROLES)
    steered = [
        p
        for p in outcome.reported
        if (p.kind, p.target) == ("direction", "base") and abs(p.coefficient) <= abs(chosen.coefficient) * (1 + 1e-9)
    ]
    if baseline is None or mine is None or not steered:
        return Tick(name=name, state="not measured", sentence=_PENDING[name])
    fit = [p for p in steered if readable(p, baseline)]
    if not any(at_chosen(outcome, p) for p in fit):
        why = "; ".join(dict.fromkeys(fault for p in steered for fault in faults(p, baseline))) or "not measured there"
        said = f"No evidence: at the chosen dose the base model's text is not readable ({why})."
        return Tick(name=name, state="unclear", sentence=said)
    state, said = _base_beside(baseline, [beside(p, baseline) for p in fit], beside(chosen, mine))
    return Tick(name=name, state=state, sentence=said)


def _base_beside(baseline: Point, found: Sequence[Comparison], rise: Comparison) -> tuple[State, str]:
    """How the base model's changes stand beside the reasoning model's rise."""
    most = max(found, key=lambda one: one.difference.high)
    said = (
        f"{percent(rate(baseline))} unsteered, at most {points(most.difference)} points with either direction "
        f"({most.difference.n} questions, {_tries(len(found))})"
    )
    risen = [one for one in found if one.finding(tries=len(found)) == "more"]
    if risen:
        worst = max(risen, key=lambda one: one.difference.mean)
        return "no", f"The base model backtracks more too: {with_test(worst, tries=len(found))}."
    if most.finding(tries=len(found)) == "too little":
        return "too little", f"Too little text to say: {said}."
    if rise.finding() != "more":
        return "unclear", f"The base model shows no rise: {said}; the reasoning model shows none to compare with."
    if most.difference.high < rise.difference.low:
        least = f"{100 * rise.difference.low:+.2f}"
        return "yes", f"The base model does not follow: {said}; the reasoning model rises by at least {least}."
    return "unclear", f"The base model shows no rise, but too few questions tell it from the reasoner's: {said}."


def _readable(outcome: Outcome, chosen: Point) -> Tick:
    baseline = baseline_of(outcome.reported, chosen)
    found = faults(chosen, baseline)
    cost = nll(chosen).mean - (nll(baseline).mean if baseline else math.nan)
    said = f"NLL {cost:+.2f} nats per token, {chosen.no_evidence} of {chosen.n} texts say nothing"
    if found:
        return Tick(name="readable", state="no", sentence=f"The text at the chosen dose is not: {'; '.join(found)}.")
    return Tick(name="readable", state="yes", sentence=f"The text at the chosen dose is readable: {said}.")


def _state(found: Comparison) -> State:
    states: dict[str, State] = {"more": "yes", "less": "no", "unclear": "unclear", "too little": "too little"}
    return states[found.finding()]


def dose_sentence(outcome: Outcome) -> str:
    """What was chosen, and how."""
    choice = outcome.choice
    if choice is None:
        return "Layer, window and dose are not chosen yet."
    window = f", window {choice.window.label}" if choice.window else ""
    how = f"the best readable of {choice.n_compared}" if choice.readable else "no dose was readable, so the smallest"
    place = f"Layer {choice.layer}{window}, dose {choice.coefficient:.3g} unit vectors"
    if choice.n_compared == 0:
        return f"{place}: as the plan says."
    return f"{place}: {how}, on {len(outcome.plan.choose)} questions that are not reported."


def line_sentences(outcome: Outcome) -> tuple[str, ...]:
    """Of every direction and model of Fig. 3: the highest readable dose beside its own model's unsteered text."""
    said = []
    for target in reversed(ROLES):
        for source in ROLES:
            line = [p for p in outcome.reported if (p.kind, p.source, p.target) == ("direction", source, target)]
            if line:
                said.append(_line(outcome, line))
    return tuple(said)


def _line(outcome: Outcome, line: Sequence[Point]) -> str:
    baseline = baseline_of(outcome.reported, line[0])
    who = f"{line[0].source}-derived into the {'reasoning' if line[0].target == 'reasoner' else 'base'} model"
    fit = [p for p in line if readable(p, baseline)]
    if baseline is None or not fit:
        return f"{who.capitalize()}: no dose with readable text was measured."
    best = max(fit, key=lambda p: rate(p).mean)
    found = beside(best, baseline)
    what = {"more": "more", "less": "less", "unclear": "cannot be told from chance", "too little": "too little text"}
    test = with_test(found, tries=len(fit))
    return (
        f"{who[0].upper()}{who[1:]}: {what[found.finding(tries=len(fit))]}; at most {percent(rate(best))} against "
        f"{percent(rate(baseline))} unsteered, at {best.coefficient:.3g} unit vectors, {test}."
    )


def control_sentences(outcome: Outcome) -> tuple[str, ...]:
    """What is left without the nearest label and against the place of other parts, each beside unsteered text."""
    said = []
    for point in outcome.reported:
        if point.kind in ("without", "position") and at_chosen(outcome, point):
            baseline = baseline_of(outcome.reported, point)
            if baseline is not None:
                fit = "" if readable(point, baseline) else ", though its text is not readable"
                test = with_test(beside(point, baseline))
                said.append(
                    f"The direction {control_name(point)}: {percent(rate(point))}, {test} beside unsteered{fit}."
                )
    return (*said, *_turns(outcome), *_gathered(outcome))


def _turns(outcome: Outcome) -> tuple[str, ...]:
    chosen = chosen_point(outcome)
    if chosen is None or not sum(chosen.hits):
        return ()
    baseline, hits = baseline_of(outcome.reported, chosen), sum(chosen.hits)
    before = ""
    if baseline and sum(baseline.hits):
        n = sum(baseline.hits)
        before = f" (unsteered: {baseline.back / n:.0%} and {baseline.remarks / n:.0%} of {n})"
    return (
        f"Of {hits} keywords at the chosen dose, {chosen.back / hits:.0%} stand in a sentence that goes back to the "
        f"task and {chosen.remarks / hits:.0%} in one that remarks on the text itself{before}.",
    )


def _gathered(outcome: Outcome) -> tuple[str, ...]:
    """In how few texts half of the keywords stand."""
    chosen = chosen_point(outcome)
    n = n_holding_half(chosen) if chosen else 0
    if chosen is None or not n:
        return ()
    baseline = baseline_of(outcome.reported, chosen)
    before = f" (unsteered: {n_holding_half(baseline)})" if baseline and sum(baseline.hits) else ""
    return (f"Half of these keywords stand in {n} of {chosen.n} texts{before}.",)


def sentences(outcome: Outcome, figure: str) -> tuple[str, ...]:
    """What a figure shows, in sentences; () where it shows nothing that could be said with a test."""
    if figure == "fig3":
        return (dose_sentence(outcome), *line_sentences(outcome))
    if figure == "fig4":
        return control_sentences(outcome)
    if figure in ("fig2", "figB1", "map"):
        return (dose_sentence(outcome),)
    return ()


def control_name(point: Point) -> str:
    """An arm in words, with its dose where it is not the direction's."""
    match = ", of equal coherence" if point.match == "coherence" else ""
    return f"{point.name}{match} at {point.coefficient:.3g}"


def with_test(found: Comparison, *, tries: int = 1) -> str:
    """The paired difference in points with its interval, n and p, corrected for the number of tries."""
    p = min(found.p * tries, 1.0)
    corrected = f" corrected for {_tries(tries)}" if tries > 1 else ""
    holds = ", while the interval holds 0" if p <= ALPHA and found.finding(tries=tries) == "unclear" else ""
    return f"{points(found.difference)} points ({found.difference.n} questions, p {_p(p)}{corrected}{holds})"


def percent(share: Interval, digits: int = 2) -> str:
    """A share in percent with its interval."""
    return f"{100 * share.mean:.{digits}f}% [{100 * share.low:.{digits}f}, {100 * share.high:.{digits}f}]"


def points(difference: Interval) -> str:
    """A difference of shares in points with its interval."""
    return f"{100 * difference.mean:+.2f} [{100 * difference.low:+.2f}, {100 * difference.high:+.2f}]"


def _p(p: float) -> str:
    return f"< {ALPHA / 50:.3f}" if p < ALPHA / 50 else f"= {p:.3f}"


def _tries(n: int) -> str:
    return f"{n} readable dose{'' if n == 1 else 's'}"
