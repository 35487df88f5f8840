"""An experiment in words: doses in three units, captions with their n, and the methods sentences to copy. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

from core.experiments.statistics import at_chosen, rivals
from core.experiments.values import Figure, Match, Outcome, Plan, Point, Unit
from core.extraction.values import Negatives
from core.models.pair import ROLES, Role
from core.runs.coherence import MAX_NLL_ABOVE_BASELINE, MAX_REPETITION_FACTOR, REPORTED
from core.values import ModelSpec, Positions
from core.weights import adapter_commit_of, commit_of

_FIGURES: dict[Figure, tuple[str, str]] = {
    "fig3": ("Fig. 3", "Both directions in both models"),
    "fig4": ("Fig. 4", "The direction and its controls"),
    "fig2": ("Fig. 2", "Where the direction is read: windows and doses"),
    "map": ("Fig. 2 at every layer", "All windows at all layers"),
    "figB1": ("Fig. B.1", "Layers and doses"),
    "fig5": ("Fig. 5", "The direction read as words"),
    "fig6": ("Fig. 6", "The direction along texts"),
    "figC1": ("Table C.1", "Keywords against labels"),
}
TITLES: dict[Figure, str] = {figure: f"{what} ({number})" for figure, (number, what) in _FIGURES.items()}
"""In the order in which a report tells them."""
NUMBERS: dict[Figure, str] = {figure: number for figure, (number, _) in _FIGURES.items()}
"""Of the paper, but for the map of all places, which it lacks."""
UNITS: dict[Unit, str] = {
    "auto": "fractions of the dose at which the text becomes 0.5 nats per token less likely",
    "unit": "multiples of a unit vector",
    "share": "shares of the mean residual norm",
}
NEGATIVES: dict[Negatives, str] = {
    "all": "the mean over all tokens",
    "other": "the mean over the parts with other labels",
    "same": "the mean over all tokens of the traces with an event",
    "position": "the mean of the same window before other parts",
}
READ_MODELS: dict[Role, str] = dict(zip(ROLES, ("base model", "reasoning model"), strict=True))


def dose_words(coefficient: float, resid_norm: float, raw_norm: float) -> str:
    """A dose in its three units, those that are known."""
    said = [f"{coefficient:.3g} unit vectors"]
    if resid_norm:
        said.append(f"{coefficient / resid_norm:.0%} of the residual norm")
    if raw_norm:
        said.append(f"{coefficient / raw_norm:.3g} times the raw difference of means")
    return " = ".join(said)


def keyword_words(keywords: Sequence[str]) -> str:
    """What is counted, short enough for an axis."""
    return " or ".join(f"“{word}”" for word in keywords) if len(keywords) <= 2 else f"{len(keywords)} keywords"


def caption(outcome: Outcome, figure: Figure) -> str:
    """What a figure shows, of which half, with n and what its marks mean."""
    return _CAPTIONS[figure](outcome)


def _rate_words(plan: Plan) -> str:
    return f"Share of words that are {keyword_words(plan.keywords)}"


def _readable_words() -> str:
    return (
        f"Hollow points: text that is not readable, which is more than {MAX_NLL_ABOVE_BASELINE:g} nats per token less "
        f"likely to the unsteered model than its own text, more than {MAX_REPETITION_FACTOR:g} times as repetitive, or "
        f"saying nothing in more than {REPORTED.no_evidence:.0%} of the texts."
    )


def _fig3(outcome: Outcome) -> str:
    n = questions(outcome.reported)
    return (
        f"{_rate_words(outcome.plan)}, with 95% intervals over {n} of the reported half, beside each model's own "
        f"unsteered text at dose 0. Grey: between the lowest and the highest readable control of equal norm, all added "
        f"to the reasoning model; dashed in the base model's chart. {_readable_words()} "
        f"{place_words(outcome)}"
    )


def _fig4(outcome: Outcome) -> str:
    n_random = len({p.name for p in outcome.reported if p.kind == "random"})
    n_points = len(rivals(outcome.reported))
    return (
        f"{_rate_words(outcome.plan)} in the reasoning model, with 95% intervals over {questions(outcome.reported)} of "
        f"the reported half: the base-derived direction and its controls, {n_random} random directions among them, "
        f"{n_points} points of controls in all. Equal norm: added at the direction's dose. Equal coherence: at the "
        f"dose that makes the text as much less likely as the direction does. {_readable_words()} "
        f"{place_words(outcome)}"
    )


def _choosing(outcome: Outcome, what: str) -> str:
    return (
        f"Steering effect, steered minus unsteered, in points of the share of words that are "
        f"{keyword_words(outcome.plan.keywords)}, for {what}. Of the choosing half ({questions(outcome.chosen_from)}), "
        f"which decides layer, window and dose and is not reported elsewhere. ×: text that is not readable. Outlined: "
        f"what was chosen."
    )


def _fig2(outcome: Outcome) -> str:
    what = _choosing(outcome, "windows × doses of the base-derived direction in the reasoning model")
    return f"{what} This is what steering does; the map on Extraction shows how far apart the activations lie."


def _map(outcome: Outcome) -> str:
    what = "windows × layers of the base-derived direction in the reasoning model, each at its best readable dose"
    return f"{_choosing(outcome, what)} A cell is the largest of several doses: for a test of one, see Fig. 3 and 4."


def _fig_b1(outcome: Outcome) -> str:
    unit = UNITS[outcome.plan.doses.unit]
    return _choosing(outcome, f"layers × doses in the reasoning model, a map per source; doses are {unit}")


def _fig5(outcome: Outcome) -> str:
    return (
        "Lens score s(v) = (W_U v)·a / ‖a‖₁ (paper, Eq. 2) of each layer's direction and the rank of its best "
        "vocabulary item with one of the words (1 = first), through the unembedding of either model. One number per "
        f"direction and layer, without an interval: {len(outcome.lens)} readings."
    )


def _fig6(outcome: Outcome) -> str:
    most = max((row.n_events for row in outcome.leads), default=0)
    others = max((row.n_others for row in outcome.leads), default=0)
    return (
        "How well the centred projection on the direction, some tokens ahead, tells the beginning of an event from "
        f"that of other parts: AUC with 95% intervals over traces (0.5 = not at all), of up to {most} events and "
        f"{others} other parts of unsteered traces. Below: the projection along single traces, events marked."
    )


def _fig_c1(outcome: Outcome) -> str:
    labellers = sorted({row.labeller for row in outcome.labels})
    n = max((row.n_texts for row in outcome.labels), default=0)
    return (
        f"Sentences with a keyword against those that the reference ({', '.join(labellers) or 'none'}) labels as the "
        f"event, by dose: precision, recall and F1 with 95% Wilson intervals over sentences, {n} completions a dose."
    )


_CAPTIONS = {
    "fig2": _fig2,
    "map": _map,
    "fig3": _fig3,
    "fig4": _fig4,
    "fig5": _fig5,
    "fig6": _fig6,
    "figB1": _fig_b1,
    "figC1": _fig_c1,
}


def questions(points: Sequence[Point]) -> str:
    """How many questions the points have, as people say it."""
    ns = sorted({point.n for point in points})
    if not ns:
        return "0 questions"
    return f"{ns[0]} questions" if len(ns) == 1 else f"{ns[0]} to {ns[-1]} questions"


def place_words(outcome: Outcome) -> str:
    """Layer, window and chosen dose, in its three units."""
    choice = outcome.choice
    if choice is None:
        return ""
    at = next((p for p in outcome.reported if p.kind == "direction" and at_chosen(outcome, p)), None)
    dose = dose_words(choice.coefficient, at.resid_norm if at else 0.0, at.raw_norm if at else 0.0)
    window = f", window {choice.window.label}" if choice.window else ""
    return f"Layer {choice.layer}{window}; the chosen dose is {dose}."


def methods(outcome: Outcome) -> str:
    """The method with its settings, as a paragraph to copy."""
    plan = outcome.plan
    parts = (
        _models(outcome),
        _direction(plan),
        _chosen(outcome),
        _texts(plan),
        _controls(outcome),
        "Rates have 95% intervals over questions (Korn and Graubard 1998; at zero hits too); differences are paired by "
        "question and seed, with MOVER intervals (Zou and Donner 2008) and a two-sided swap test, Bonferroni-corrected "
        "for the doses tried; shares of random directions and of sentences have Wilson intervals.",
        _versions(outcome),
    )
    return " ".join(part for part in parts if part)


def _models(outcome: Outcome) -> str:
    plan = outcome.plan
    marks = [found or asked for found, asked in zip(outcome.fingerprints, plan.fingerprints, strict=True)]
    base, reasoner = (
        f"{READ_MODELS[role]} {_model(spec, mark)}"
        for role, spec, mark in zip(ROLES, (plan.pair.base, plan.pair.reasoner), marks, strict=True)
    )
    return f"We compared the {base} with the {reasoner}."


def _model(spec: ModelSpec, fingerprint: str) -> str:
    commit = commit_of(spec, fingerprint)
    mark = f"commit {commit}" if commit else f"fingerprint {fingerprint}" if fingerprint else "not yet loaded"
    adapter = adapter_commit_of(spec, fingerprint)
    merged = f", adapter commit {adapter}" if adapter else ""
    return f"{spec.name} ({mark}{merged}, {spec.precision})"


def _direction(plan: Plan) -> str:
    if plan.saved is not None:
        ids = " and ".join(i for i in (plan.saved.base, plan.saved.reasoner) if i)
        return f"The directions were saved ones ({ids})."
    digest = f", digest {plan.traces.digest}" if plan.traces.digest else ""
    return (
        f"Directions are differences of means (paper, Eq. 3): the residual stream after a block in a window before "
        f"parts labelled “{plan.label}”, minus {NEGATIVES[plan.negatives]}, every {plan.weighting} counting the same, "
        f"over the traces of {_source(plan)}{digest}."
    )


def _source(plan: Plan) -> str:
    names = {"embedded": "the embedded set", "set": f"the set {plan.traces.name}", "file": f"{plan.traces.name}"}
    return names.get(plan.traces.kind, "no set")


def _chosen(outcome: Outcome) -> str:
    plan, choice = outcome.plan, outcome.choice
    halves = f"{len(plan.choose)} questions, and reported on {len(plan.report)} others"
    if choice is None:
        return f"Layer, window and dose are chosen on {halves}; that has not been done yet."
    if not choice.n_compared:
        return f"{place_words(outcome)} They were fixed by the plan; {len(plan.report)} questions are reported."
    best = "the highest rate with readable text" if choice.readable else "the smallest dose, as none was readable"
    searched = f" Doses were asked for in {UNITS[plan.doses.unit]}."
    return f"{place_words(outcome)} They were chosen as {best} among {choice.n_compared} on {halves}.{searched}"


def halves_words(outcome: Outcome) -> str:
    """On which questions layer, window and dose were chosen, and on which the numbers are reported."""
    chose, reported = len(outcome.plan.choose), len(outcome.plan.report)
    if outcome.choice is not None and not outcome.choice.n_compared:
        return f"Layer, window and dose were given by the plan; they were not chosen on its {reported} questions."
    return f"Layer, window and dose were chosen on {chose} questions; these {reported} are others."


def _texts(plan: Plan) -> str:
    sampling = plan.sampling
    last = sampling.seed + len(plan.report) - 1
    counted = "the reasoning part" if plan.counted == "thinking" else "the whole completion"
    frame = "the reasoning model's own frame" if plan.frame is None else f"the frame {plan.frame.render('…')!r}"
    top = f", top-p {sampling.top_p:g}" if sampling.top_p < 1 else ""
    return (
        f"The dose times the unit vector was added after the layer at {_positions(plan.positions)}, while up to "
        f"{sampling.max_new_tokens} tokens were sampled at temperature {sampling.temperature:g}{top}, with seeds "
        f"{sampling.seed} to {last}, one per question and the same in every arm; questions stood in {frame}. Counted "
        f"are the words {', '.join(plan.keywords)} in {counted} (paper, Eq. 1)."
    )


def _positions(positions: Positions) -> str:
    if positions == Positions():
        return "every position, prompt included"
    region = {"all": "the text", "prompt": "the prompt", "completion": "the completion", "thinking": "the reasoning"}
    parts = [f"positions of {region[positions.region]}"]
    if positions.start or positions.stop is not None:
        parts.append(f"from {positions.start} to {'the end' if positions.stop is None else positions.stop - 1}")
    if positions.every > 1:
        parts.append("every second one" if positions.every == 2 else f"one in {positions.every}")
    if positions.until:
        parts.append(f"until one of {', '.join(positions.until)}")
    return ", ".join(parts)


def _controls(outcome: Outcome) -> str:
    made = {p.kind: p for p in outcome.reported if p.kind not in ("unsteered", "direction")}
    if not made:
        return ""
    plan = outcome.plan.controls
    names = {p.name for p in outcome.reported if p.kind in made and p.kind != "random"}
    random = {(p.match, p.name) for p in outcome.reported if p.kind == "random"}
    counts = {match: sum(found == match for found, _ in random) for match in get_args(Match)}
    equal = " and ".join(f"{n} of equal {match}" for match, n in counts.items() if n)
    said = [f"random directions (seed {plan.seed}), {equal}"] if equal else []
    return f"Controls: {'; '.join([*said, *sorted(names)])}."


def _versions(outcome: Outcome) -> str:
    dated = {name: value for name, value in outcome.provenance if not is_date(name)}
    return f"Made with {', '.join(f'{name} {value}' for name, value in dated.items())}." if dated else ""


def is_date(name: str) -> bool:
    """Whether an entry of a provenance says when, which two equal outcomes may differ in."""
    return any(word in name.casefold() for word in ("date", "time", "measured", "started", "ended", "finished", "when"))
