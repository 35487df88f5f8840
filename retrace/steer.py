"""`steer`: prompts with a direction at several doses, a line of JSON per completion."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import get_args

from core.directions.direction import Direction
from core.errors import BadInput
from core.experiments.presets import facts_unloaded
from core.forward.edits import Operator, SteeringSpec
from core.models.pair import ROLES, ModelFacts, Role
from core.runs.dose_strip import strip_specs
from core.runs.history import run_id_of
from core.runs.questions import Example, is_right
from core.runs.values import Generation, GenerationSpec
from core.text.typed import items, one_of, reals
from core.text.words import measure_text
from core.values import Positions, Region, SamplingSpec
from retrace.console import Console, emit
from retrace.inputs import direction_of, questions_of
from retrace.plans import is_demo, pair_of
from retrace.session import Session, Stop, opened

BATCH = 32
"""Completions that are run and kept together."""
UNITS = ("unit", "share")


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """A completion to be made."""

    number: int
    """Of the question, counted from 1."""
    example: Example
    coefficient: float
    spec: GenerationSpec


def steer(args: argparse.Namespace, console: Console, stop: Stop) -> None:
    """Complete every prompt at every dose and write each completion to stdout once it is kept. Raises BadInput."""
    pair, role, doses = pair_of(args), one_of(args.target, ROLES), reals(args.doses)
    examples, keywords = _examples(args, console, is_own=is_demo(pair)), items(args.keywords)
    sampling = SamplingSpec(max_new_tokens=args.tokens, temperature=args.temperature, top_p=args.top_p, seed=args.seed)
    facts = facts_unloaded(pair)[ROLES.index(role)]
    with opened(args.cache, console, stop) as session:
        direction = direction_of(args.direction, session.bench.directions, layer=args.layer)
        edit, unit = _edit(args, direction, facts), _unit(args.unit, direction)
        loaded = session.load(pair)
        if not args.other_model:
            _check_source(direction, loaded)
        asked = _asked(session, role, examples, edit, sampling, [dose * unit for dose in doses])
        for start in range(0, len(asked), BATCH):
            some = asked[start : start + BATCH]
            made = session.follow(session.bench.generate_set([one.spec for one in some]))
            for one, generation in zip(some, made, strict=True):
                emit(_line(one, generation, role, edit, keywords))


def _examples(args: argparse.Namespace, console: Console, *, is_own: bool) -> list[Example]:
    """The prompts of the flags, then those of the file; the embedded pair has its own where none is given."""
    found = [Example(prompt=text) for text in args.prompt or ()]
    if args.prompts or not found:
        found += questions_of(args.prompts, (), is_own=is_own, console=console)
    if args.n is not None and args.n < 1:
        raise BadInput(f"{args.n} questions were asked for.", "Ask for one or more.")
    return found[: args.n]


def _edit(args: argparse.Namespace, direction: Direction, facts: ModelFacts) -> SteeringSpec:
    """What is done to the residual stream. Raises BadInput or BadDirection where the model has no such place."""
    layer = direction.layer if args.layer is None else args.layer
    replace(direction, layer=layer).check_fits(n_layers=facts.n_layers, d_model=facts.d_model, model_name=facts.name)
    return SteeringSpec(
        direction=direction,
        layer=layer,
        operator=one_of(args.operator, get_args(Operator)),
        positions=Positions(region=one_of(args.region, get_args(Region))),
    )


def _unit(name: str, direction: Direction) -> float:
    """What a dose of 1 is, in unit vectors. Raises BadInput where the direction does not know its residual norm."""
    if one_of(name, UNITS) == "unit":
        return 1.0
    if not direction.resid_norm:
        raise BadInput(
            f"The direction {direction.name!r} does not say how long the residual stream is.",
            "Give the doses in unit vectors: --unit unit.",
        )
    return direction.resid_norm


def _check_source(direction: Direction, pair: Sequence[ModelFacts]) -> None:
    if direction.fingerprint and not any(facts.has_weights(direction.fingerprint) for facts in pair):
        raise BadInput(
            f"The direction {direction.name!r} was found in other weights, of {direction.source_model or 'no name'}.",
            "Name the pair that it was found in, or pass --other-model to add it nevertheless.",
        )


def _asked(
    session: Session,
    role: Role,
    examples: Sequence[Example],
    edit: SteeringSpec,
    sampling: SamplingSpec,
    coefficients: Sequence[float],
) -> list[_Asked]:
    """Every prompt at every dose; a prompt has one seed at all of them. Raises BadInput for one that cannot be read."""
    facts = session.bench.pair.facts(role)
    found = []
    for i, example in enumerate(examples):
        plain = GenerationSpec(
            model=facts.spec,
            fingerprint=facts.fingerprint,
            prompt=session.bench.pair.encode(role, example.prompt),
            sampling=replace(sampling, seed=sampling.seed + i),
            steering=(edit,),
        )
        for coefficient, spec in zip(coefficients, strip_specs(plain, coefficients), strict=True):
            found.append(_Asked(number=i + 1, example=example, coefficient=coefficient, spec=spec))
    return found


def _line(
    asked: _Asked, generation: Generation, role: Role, edit: SteeringSpec, keywords: Sequence[str]
) -> dict[str, object]:
    measured = measure_text(generation.text, keywords)
    norm = edit.direction.resid_norm
    return {
        "number": asked.number,
        "prompt": asked.example.prompt,
        "target": role,
        "model": asked.spec.model.name,
        "direction": edit.direction.name,
        "layer": edit.layer,
        "operator": edit.operator,
        "coefficient": asked.coefficient,
        "share": asked.coefficient / norm if norm else None,
        "seed": asked.spec.sampling.seed,
        "text": generation.text,
        "stop_reason": generation.stop_reason,
        "tokens": len(generation.token_ids),
        "keywords": measured.n_keywords,
        "words": measured.n_words,
        "repetition": measured.repetition,
        "nll": generation.nll,
        "no_evidence": measured.no_evidence or "",
        "right": is_right(generation.text, asked.example.answer),
        "run": run_id_of(asked.spec),
    }
