"""From flags to a pair, to what can be known of it before it is loaded, and to a plan."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import get_args

from core import settings
from core.directions.folder import DirectionFolder
from core.embedded import FRESH, example_traces, recorded_place
from core.errors import BadInput
from core.experiments.check import check_directions, check_plan
from core.experiments.command import NONE, SETTINGS, plan_with
from core.experiments.presets import ALL_FIGURES, NOT_FIXED, facts_unloaded, paper_plan, split
from core.experiments.values import Plan
from core.fetching.catalogue import check_here
from core.fetching.shipped import read_pair_name
from core.models.pair import DEMO_PAIR, ModelFacts
from core.runs.questions import Example
from core.text.typed import one_of
from core.traces.sets import TraceFolder
from core.values import ModelSpec, PairSpec, Precision
from retrace.console import Console
from retrace.inputs import Check, questions_of, traces_of


def pair_of(args: argparse.Namespace) -> PairSpec:
    """The pair that the flags name, else the embedded one. Raises BadInput."""
    named: str | None = args.pair
    precision: Precision | None = args.precision and one_of(args.precision, get_args(Precision))
    if named is None:
        like = DEMO_PAIR.reasoner
        specs = [
            replace(spec, precision=precision or like.precision, device=args.device or like.device)
            for spec in (DEMO_PAIR.base, DEMO_PAIR.reasoner)
        ]
        return PairSpec(base=specs[0], reasoner=specs[1])
    usual = one_of(settings.first_precision(), get_args(Precision))
    pair = read_pair_name(named, precision=precision or usual, device=args.device or settings.first_device())
    return PairSpec(base=allowed(pair.base, args.cache), reasoner=allowed(pair.reasoner, args.cache))


def pair_named(text: str, like: ModelSpec, cache: Path) -> PairSpec:
    """The pair BASE,REASONER, in the precision and on the device of another model. Raises BadInput."""
    pair = read_pair_name(text, precision=like.precision, device=like.device)
    return PairSpec(base=allowed(pair.base, cache), reasoner=allowed(pair.reasoner, cache))


def is_demo(pair: PairSpec) -> bool:
    """Whether it is the embedded pair, in whatever precision and on whatever device."""
    return (pair.base.repo_id, pair.reasoner.repo_id) == (DEMO_PAIR.base.repo_id, DEMO_PAIR.reasoner.repo_id)


def allowed(spec: ModelSpec, cache: Path) -> ModelSpec:
    """The model; a folder that the user names by its path may be loaded from, and what was made in the cache folder."""
    check_here(spec.repo_id, cache)
    spec = replace(spec, repo_id=_full(spec.repo_id), adapter=spec.adapter and _full(spec.adapter))
    named = [name for name in (spec.repo_id, spec.adapter) if name and name.startswith("/")]
    known = os.environ.get(settings.MODEL_ROOTS, "")
    made = [str(cache.absolute() / name) for name in settings.MADE]
    os.environ[settings.MODEL_ROOTS] = os.pathsep.join(filter(None, (known, *named, *made)))
    return spec


def _full(name: str) -> str:
    return str(Path(name).expanduser().absolute()) if name.startswith(("~", ".")) else name


def plan_of(args: argparse.Namespace, console: Console, check: Check) -> Plan:
    """The plan that the flags make, checked as far as it can be unloaded. Raises BadInput, ModelUnavailable."""
    pair = pair_of(args)
    return plan_for(pair, args, console, check, is_own=is_demo(pair))


def plan_for(
    pair: PairSpec,
    args: argparse.Namespace,
    console: Console,
    check: Check,
    *,
    is_own: bool,
    preset: Callable[[Plan], Plan] = lambda plan: plan,
    n_choose: int | None = None,
) -> Plan:
    """As `plan_of`, for this pair; one that `is_own` has the embedded traces and questions where none are named.

    `preset` and `n_choose` change the defaults, which flags go before.
    """
    said: dict[str, str] = {flag: text for flag in SETTINGS if (text := getattr(args, flag, None)) is not None}
    if getattr(args, "names", None):
        said["--figures"] = ",".join(args.names)
    facts = facts_unloaded(pair)
    folder = TraceFolder(args.cache, embedded=example_traces)
    named = NONE if args.traces is None and "--saved" in said else args.traces
    source, traces = traces_of(named, folder, is_own=is_own, check=check)
    is_known = args.quick and is_demo(pair) and source.kind == "embedded"
    prompts = FRESH if is_known and args.prompts is None else args.prompts
    questions = questions_of(prompts, traces, is_own=is_own, console=console)
    labels = sorted({part.label for trace in traces for part in trace.parts})
    fixed = recorded_place(pair) if is_known else NOT_FIXED
    plan = paper_plan(
        facts, source, questions, quick=args.quick, figures=ALL_FIGURES, labels=labels, fixed=fixed, n_choose=n_choose
    )
    plan = _with_halves(plan, questions, args, console)
    plan = plan_with(preset(replace(plan, fingerprints=("", ""))), said)
    check_early(plan, facts, DirectionFolder(args.cache))
    if plan.saved is None:
        check_directions(plan, {}, traces, facts)
    return plan


def _with_halves(plan: Plan, questions: Sequence[Example], args: argparse.Namespace, console: Console) -> Plan:
    """The plan with as many questions in each half as the flags say. Raises BadInput for fewer than two."""
    n_choose = len(plan.choose) if args.choose is None else args.choose
    n_report = len(plan.report) if args.report is None else args.report
    if min(n_choose, n_report) < 2:
        raise BadInput(
            f"{n_choose} questions were to choose on and {n_report} to report.", "Intervals need two or more of each."
        )
    choose, report = split(questions, n_choose, n_report)
    if (len(choose), len(report)) != (n_choose, n_report):
        console.say(f"{len(questions)} questions were given: {len(choose)} choose, {len(report)} are reported.")
    return replace(plan, choose=choose, report=report)


def check_early(plan: Plan, facts: tuple[ModelFacts, ModelFacts], saved: DirectionFolder) -> None:
    """What can be said of a plan before the models are loaded, whose weights are not known yet. Raises BadInput."""
    check_plan(replace(plan, fingerprints=("", "")), facts)
    for direction_id in filter(None, (plan.saved.base, plan.saved.reasoner) if plan.saved else ()):
        direction = saved.load(direction_id)
        direction.check_fits(n_layers=facts[1].n_layers, d_model=facts[1].d_model, model_name=facts[1].name)
