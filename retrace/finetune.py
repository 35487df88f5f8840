"""`finetune`: a base model and traces become a pair; the same command goes on with it after a stop."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from statistics import fmean
from typing import get_args

from core.background import Background
from core.embedded import example_traces
from core.errors import BadInput
from core.experiments.values import TraceSource
from core.finetuning.costs import check_base, need_of
from core.finetuning.folder import RunFolder
from core.finetuning.recipes import MAX_BYTES, Written, read_written
from core.finetuning.values import NAME_LENGTH, Finetuned, FinetuneSpec, Need, usual_recipe
from core.jobs import finish
from core.models.naming import read_merged, show_merged
from core.models.pair import DEMO_PAIR
from core.text.typed import items, one_of
from core.traces.events import digest_of
from core.traces.sets import TraceFolder
from core.values import ModelSpec, Precision, Trace
from retrace.console import Console, emit, in_words
from retrace.inputs import traces_of
from retrace.plans import allowed
from retrace.report import put_training_report
from retrace.results import check_room, read_file
from retrace.session import Stop, Stopped, opened

SETTINGS = ("rank", "alpha", "steps", "rate", "warmup", "batch_tokens", "max_tokens", "held_out", "seed", "every")
"""Flags that are fields of the recipe."""


def finetune(args: argparse.Namespace, console: Console, stop: Stop) -> None:
    """Train the adapter into --out, and say on stdout what came out. Raises BadInput, ModelUnavailable."""
    written = _written(args)
    run, base = RunFolder(args.out), _base_of(args, written)
    is_own = base.repo_id == DEMO_PAIR.base.repo_id
    folder = TraceFolder(args.cache, embedded=example_traces)
    source, traces = traces_of(args.traces, folder, is_own=is_own, check=stop.check)
    if source.kind == "none":
        raise BadInput("A finetune without traces learns nothing.", "Name traces with --traces FILE.")
    spec = _spec_of(args, written, base, source, traces)
    if written is not None and written.traces.digest != spec.traces_digest:
        console.say(
            f"These {len(traces):,} traces are not those that the recipe names ({written.traces.digest}, "
            f"{written.traces.count:,} traces): the adapter will be another one."
        )
    run.check(spec)
    if not run.is_finished:
        need = finish(Background("retrace-finetune-need").follow(partial(need_of, spec)))
        console.say(need_line(need))
        check_room(args.out, need.disk_bytes)
    stop.check()
    with opened(args.cache, console, stop) as session:
        try:
            done = session.follow(session.bench.finetunes.run(spec, traces, folder=run))
        except Stopped:
            console.say(_stopped_line(run))
            raise
    emit({**summary(done), "report": put_training_report(run)}, indent=1)


def _written(args: argparse.Namespace) -> Written | None:
    """The recipe's file, if one is named."""
    if args.recipe is None:
        return None
    return read_written(read_file(args.recipe, limit=MAX_BYTES, what="The recipe"), source=args.recipe.name)


def _base_of(args: argparse.Namespace, written: Written | None) -> ModelSpec:
    named = args.base or (written.base if written else DEMO_PAIR.base.repo_id)
    precision: Precision = one_of(args.precision or (written.precision if written else "fp32"), get_args(Precision))
    return allowed(read_merged(named, precision=precision, device=args.device), args.cache)


def _spec_of(
    args: argparse.Namespace, written: Written | None, base: ModelSpec, source: TraceSource, traces: Sequence[Trace]
) -> FinetuneSpec:
    """What the flags ask for; what they leave open is the recipe's file, else what suits a base model of that size."""
    name = args.name or args.out.absolute().name[:NAME_LENGTH] or "finetune"
    named = args.template or (written.template if written else "")
    template = allowed(ModelSpec(repo_id=named), args.cache).repo_id if named else ""
    called = source.name or source.kind
    bare = FinetuneSpec(name=name, base=base, traces=called, traces_digest=digest_of(traces), template=template)
    n_params = check_base(bare).n_params
    usual = written.recipe if written else usual_recipe(n_params)
    told = {setting: value for setting in SETTINGS if (value := getattr(args, setting)) is not None}
    return replace(bare, recipe=replace(usual, **told, targets=items(args.targets) if args.targets else usual.targets))


def need_line(need: Need) -> str:
    """What a finetune takes, in a sentence."""
    return (
        f"{need.n_trained:,} numbers are trained for {need.n_params:,} weights: about "
        f"{need.memory_bytes / 1e6:,.0f} MB of memory, {need.disk_bytes / 1e6:,.0f} MB on disk, "
        f"{in_words(need.seconds)}."
    )


def summary(done: Finetuned) -> dict[str, object]:
    """What came out, for programs and people."""
    course = done.course
    return {
        "adapter": done.folder,
        "pair": f"{show_merged(done.pair.base)},{show_merged(done.pair.reasoner)}",
        "steps": course.step,
        "loss": round(fmean(course.losses[-10:]), 4),
        "held_out": [{"step": step, "loss": round(loss, 4)} for step, loss in course.held_out],
        "traces": {"learned": course.n_traces, "held_out": course.n_held_out, "left_out": course.n_left_out},
        "tokens": course.n_tokens,
        "seconds": round(course.seconds, 1),
    }


def _stopped_line(run: RunFolder) -> str:
    state = run.state()
    if state is None:
        return "Stopped before anything was learned."
    kept = f"{state.course.step} of {state.spec.recipe.steps} steps are kept"
    return f"Stopped: {kept}. The same command goes on from there."
