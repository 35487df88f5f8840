"""The flags that make a plan: the parser's side of `core.experiments.command`, and files that they name."""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path
from typing import get_args

from core import settings
from core.embedded import example_traces
from core.errors import BadInput
from core.experiments.check import check_plan
from core.experiments.command import FIGURES, NONE, SET, SETTINGS, plan_with
from core.experiments.presets import ALL_FIGURES, paper_plan, split
from core.experiments.values import CONTROLS, Plan, TraceSource, Unit
from core.extraction.values import Negatives, Weighting
from core.models.checkpoints import estimate_memory
from core.models.naming import read_both
from core.models.pair import DEMO_PAIR, ModelFacts
from core.runs.cells import Counted
from core.text.typed import one_of
from core.traces.sets import TraceFolder
from core.values import ModelSpec, PairSpec, Precision, Region
from retrace.console import Console
from retrace.inputs import Check, questions_of, traces_of

HELP: dict[str, dict[str, tuple[str, str]]] = {
    "what is measured": {
        "--figures": ("LIST", f"figures of the paper, with commas: {', '.join(FIGURES)}; or all"),
        "--layers": ("LIST", "layers that are compared, as 0-3,7"),
        "--windows": ("LIST", "windows that are compared, as --windows=-13..-8,-7..-2: offsets from an event"),
        "--unit": ("UNIT", f"of the doses: {', '.join(get_args(Unit))}"),
        "--doses": ("LIST", "doses of every curve, as 0.5,0.8,1; 0 is always measured"),
        "--layer": ("N", "take this layer instead of choosing one"),
        "--window": ("WINDOW", "take this window instead of choosing one, as --window=-13..-8"),
        "--dose": ("DOSE", "take this dose instead of choosing one"),
        "--title": ("TEXT", "a line that stands above the report"),
    },
    "directions": {
        "--label": ("LABEL", "label of the events in the traces"),
        "--negatives": ("KIND", f"what is subtracted: {', '.join(get_args(Negatives))}"),
        "--weighting": ("KIND", f"what counts the same: every {' or every '.join(get_args(Weighting))}"),
        "--saved": ("BASE[,REASONER]", "ids of saved directions, instead of extracting them from traces"),
        "--traces-digest": ("HEX", "refuse other traces than these"),
        "--weights": ("BASE,REASONER", "fingerprints: refuse other weights than these"),
    },
    "text": {
        "--tokens": ("N", "new tokens of every completion, at most"),
        "--temperature": ("T", "0 takes the likeliest token"),
        "--top-p": ("P", "share of the probability that tokens are drawn from"),
        "--seed": ("N", "seed of the first question; question i has seed + i in every arm"),
        "--banned": ("IDS", "token ids that are never chosen"),
        "--keywords": ("WORDS", "words that are counted, with commas"),
        "--counted": ("WHAT", f"what of a completion is counted: {', '.join(get_args(Counted))}"),
        "--region": ("REGION", f"where is steered: {', '.join(get_args(Region))}"),
        "--from": ("N", "first steered token of the region"),
        "--to": ("N", "token of the region before which steering ends"),
        "--every": ("N", "steer every n-th token"),
        "--until": ("WORDS", "steer until the first of these words is written"),
        "--block": ("N", "questions that are run and kept together"),
    },
    "controls": {
        "--random": ("K", "random directions, each with the norm and with the coherence of the tested one"),
        "--curves": ("K", "how many of them are measured at every dose"),
        "--control-seed": ("N", "seed of the random directions and shuffled events"),
        "--controls": ("LIST", f"which are made: {', '.join(CONTROLS)}; all; or none"),
    },
}
"""Of every flag of a setting, by group: what is written after it, and what it means."""


def add_plan(parser: argparse.ArgumentParser) -> None:
    """All flags that make a plan."""
    add_pair(parser)
    parser.add_argument("--traces", metavar="FILE", help=f"labelled traces: a file, {SET}ID of a saved set, or {NONE}")
    parser.add_argument("--prompts", metavar="FILE", help="questions: one a line, JSON Lines, or a JSON array")
    parser.add_argument("--choose", type=int, metavar="N", help="questions to choose layer, window and dose on")
    parser.add_argument("--report", type=int, metavar="N", help="questions that the results are reported on")
    parser.add_argument("--quick", action="store_true", help="the small form: fewer questions, doses and layers")
    for title, flags in HELP.items():
        group = parser.add_argument_group(title)
        for flag, (metavar, text) in flags.items():
            group.add_argument(flag, dest=flag, metavar=metavar, help=text)


def add_pair(parser: argparse.ArgumentParser) -> None:
    """The flags that name a pair."""
    group = parser.add_argument_group("models")
    group.add_argument("--pair", metavar="BASE,REASONER", help="hub ids or folders, either also as “id + adapter”")
    group.add_argument("--precision", metavar="P", help=f"{', '.join(get_args(Precision))}")
    group.add_argument("--device", metavar="DEVICE", help="cpu, cuda, cuda:1 or mps")


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
    pair = read_both(named, precision=precision or usual, device=args.device or settings.first_device())
    return PairSpec(base=_allowed(pair.base), reasoner=_allowed(pair.reasoner))


def is_demo(pair: PairSpec) -> bool:
    """Whether it is the embedded pair, in whatever precision and on whatever device."""
    return (pair.base.repo_id, pair.reasoner.repo_id) == (DEMO_PAIR.base.repo_id, DEMO_PAIR.reasoner.repo_id)


def _allowed(spec: ModelSpec) -> ModelSpec:
    """The model; a folder that the user names by its path may be loaded from, wherever it lies."""
    spec = replace(spec, repo_id=_full(spec.repo_id), adapter=spec.adapter and _full(spec.adapter))
    named = [name for name in (spec.repo_id, spec.adapter) if name and name.startswith("/")]
    known = os.environ.get(settings.MODEL_ROOTS, "")
    os.environ[settings.MODEL_ROOTS] = os.pathsep.join(filter(None, (known, *named)))
    return spec


def _full(name: str) -> str:
    return str(Path(name).expanduser().absolute()) if name.startswith(("~", ".")) else name


def facts_of(pair: PairSpec) -> tuple[ModelFacts, ModelFacts]:
    """What can be known of the models before they are loaded. Raises ModelUnavailable."""
    return _facts(pair.base), _facts(pair.reasoner)


def _facts(spec: ModelSpec) -> ModelFacts:
    found = estimate_memory(spec)
    return ModelFacts(
        spec=spec,
        fingerprint="",
        name=spec.name,
        n_layers=found.n_layers,
        d_model=found.d_model,
        d_vocab=0,
        context_length=found.context_length,
    )


def plan_of(args: argparse.Namespace, console: Console, check: Check) -> Plan:
    """The plan that the flags make, looked at as far as it can be without the models. Raises BadInput, ModelUnavailable."""
    said: dict[str, str] = {flag: text for flag in SETTINGS if (text := getattr(args, flag)) is not None}
    if getattr(args, "names", None):
        said["--figures"] = ",".join(args.names)
    pair = pair_of(args)
    facts, is_own = facts_of(pair), is_demo(pair)
    folder = TraceFolder(args.cache, embedded=example_traces)
    source, traces = traces_of(args.traces, folder, is_own=is_own, check=check)
    questions = questions_of(args.prompts, traces, is_own=is_own, console=console)
    labels = sorted({part.label for trace in traces for part in trace.parts})
    plan = paper_plan(facts, source, questions, quick=args.quick, figures=ALL_FIGURES, labels=labels)
    n_choose = len(plan.choose) if args.choose is None else args.choose
    n_report = len(plan.report) if args.report is None else args.report
    if min(n_choose, n_report) < 2:
        raise BadInput(
            f"{n_choose} questions were to choose on and {n_report} to report.", "Intervals need two or more of each."
        )
    choose, report = split(questions, n_choose, n_report)
    if (len(choose), len(report)) != (n_choose, n_report):
        console.say(f"{len(questions)} questions were given: {len(choose)} choose, {len(report)} are reported.")
    plan = plan_with(replace(plan, choose=choose, report=report, fingerprints=("", "")), said)
    check_plan(plan, facts)
    return plan
