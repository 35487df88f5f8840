"""`paper`, `plan`, `run`, `work`: a plan of flags or of a file, measured into a folder, alone or together."""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from core.directions.folder import DirectionFolder
from core.experiments.check import Cost, cost_of
from core.experiments.plans import MAX_PLAN_BYTES, plan_id, plan_json, read_plan
from core.experiments.presets import facts_unloaded
from core.experiments.values import Outcome, Plan
from core.fleet.values import FleetSpec
from core.series.folder import is_series, read_series
from core.series.values import on_device, pair_on
from retrace.console import Console, emit, in_words, write
from retrace.plans import check_early, plan_of
from retrace.report import make_report, summary
from retrace.results import Results, check_room, read_file
from retrace.session import Session, Stop, Stopped, opened
from retrace.worker_flags import fleet_of
from retrace.workers import count_workers, helped

KEEP_EVERY = 5.0
"""Seconds after which what came out so far is written into the folder again."""


def paper(args: argparse.Namespace, console: Console, stop: Stop) -> None:
    """Make the plan that the flags say, and measure it."""
    _measure(plan_of(args, console, stop.check), args, console, stop)


def plan(args: argparse.Namespace, console: Console, stop: Stop) -> None:
    """Write the plan that the flags say to stdout, and what it takes to stderr."""
    made = plan_of(args, console, stop.check)
    console.say(_cost_line(cost_of(made)))
    write(plan_json(made) + "\n")


def run(args: argparse.Namespace, console: Console, stop: Stop) -> None:
    """Measure the plan of a file."""
    read = _plan_of_file(args)
    check_early(read, facts_unloaded(read.pair), DirectionFolder(args.cache))
    _measure(read, args, console, stop)


def work(args: argparse.Namespace, console: Console, stop: Stop) -> None:
    """Help with the plan of a file, which another command measures over the same cache."""
    if args.beside:
        stop.end_with(args.beside)
    data, name = _bytes_of_file(args)
    if is_series(data):
        series = read_series(data, source=name)
        if args.device:
            series = on_device(series, args.device)
        with opened(args.cache, console, stop) as session:
            session.follow(session.bench.series.help(series))
    else:
        plan = read_plan(data, source=name)
        if args.device:
            plan = replace(plan, pair=pair_on(plan.pair, args.device))
        check_early(plan, facts_unloaded(plan.pair), DirectionFolder(args.cache))
        with opened(args.cache, console, stop) as session:
            session.load(plan.pair)
            session.follow(session.bench.help_plan(plan))
    console.say("Nothing is left to help with.")


def _plan_of_file(args: argparse.Namespace) -> Plan:
    data, name = _bytes_of_file(args)
    return read_plan(data, source=name)


def _bytes_of_file(args: argparse.Namespace) -> tuple[bytes, str]:
    """What the file holds, and what it is called."""
    if args.file == "-":
        return sys.stdin.buffer.read(MAX_PLAN_BYTES + 1), "The plan"
    path = Path(args.file)
    return read_file(path, limit=MAX_PLAN_BYTES, what="The plan"), path.name


def _measure(plan: Plan, args: argparse.Namespace, console: Console, stop: Stop) -> None:
    """Measure what is not there yet, put results and report into the folder, and say on stdout how it came out.

    Nothing is written before plan, folder and pair are found to fit. Raises BadInput where they do not.
    """
    fleet, results = fleet_of(args), Results(args.out)
    with results.claimed(plan), opened(args.cache, console, stop) as session:
        outcome = results.outcome()
        if outcome is None or not outcome.finished:
            check_room(args.cache, cost_of(plan).disk_bytes)
            workers = count_workers(plan, args.workers) if fleet is None else 1
            with (
                _said_when_stopped(plan, results, session),
                helped(plan_json(plan), plan.pair.reasoner.device, workers, args.cache, console),
            ):
                outcome = _measured(plan, results, session, fleet)
        else:
            console.say("All of it was measured before; only the report is made again.")
        made = make_report(results, outcome, session.bench)
    emit(summary(results, outcome, made), indent=1)


def _measured(plan: Plan, results: Results, session: Session, fleet: FleetSpec | None) -> Outcome:
    base, reasoner = session.load(plan.pair)
    loaded = replace(plan, fingerprints=(base.fingerprint, reasoner.fingerprint))
    session.console.say(_cost_line(session.bench.cost(loaded)))
    due = 0.0

    def keep(partial: object) -> None:
        nonlocal due
        if isinstance(partial, Outcome) and time.monotonic() >= due:
            results.keep(plan, partial)
            due = time.monotonic() + KEEP_EVERY

    outcome = session.follow(session.bench.run_plan(plan, fleet=fleet), keep)
    results.keep(plan, outcome)
    return outcome


@contextlib.contextmanager
def _said_when_stopped(plan: Plan, results: Results, session: Session) -> Iterator[None]:
    """Put what there is into the folder when the run is stopped, and say how to go on."""
    try:
        yield
    except Stopped:
        so_far = session.bench.experiments.outcome(plan_id(plan))
        if so_far is None:
            session.console.say("Stopped before anything was measured.")
        else:
            results.keep(plan, so_far)
            session.console.say(
                f"Stopped: {so_far.done} of {so_far.total} points are kept. The same command goes on from there; "
                f"`python -m retrace report {results.folder}` shows what there is."
            )
        raise


def _cost_line(cost: Cost) -> str:
    """What a plan takes, in a sentence."""
    times = cost.seconds
    left = f", about {in_words(sum(times.values()))} on this machine" if times else ""
    memory = f", up to {cost.memory_bytes / 1e6:,.0f} MB of memory for a block" if cost.memory_bytes else ""
    return (
        f"At most {cost.points:,} points in {cost.cells:,} blocks, {cost.tokens:,} new tokens, "
        f"{cost.disk_bytes / 1e6:,.0f} MB on disk{memory}{left}."
    )
