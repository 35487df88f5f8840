"""`report`: the report and the figures of a folder, from what is kept of it and the store, without any model."""

from __future__ import annotations

import argparse

from core.errors import BadInput
from core.experiments.plans import plan_id
from core.experiments.values import Outcome
from core.experiments.verdicts import sentences, ticks
from core.finetuning.folder import RunFolder
from core.workbench import Workbench
from retrace.console import Console, emit
from retrace.results import FIGURES, REPORT, Results
from retrace.session import Stop, opened


def report(args: argparse.Namespace, console: Console, stop: Stop) -> None:
    """Make the report of an experiment's or a finetune's folder again. Raises BadInput where it holds neither."""
    run, results = RunFolder(args.folder), Results(args.folder)
    state = run.state()
    if state is not None:
        emit({"folder": state.folder, "finished": state.finished, "report": put_training_report(run)}, indent=1)
        return
    plan = results.plan()
    with results.claimed(plan), opened(args.cache, console, stop) as session:
        outcome = results.outcome() or session.bench.experiments.outcome(plan_id(plan))
        if outcome is None:
            raise BadInput("Nothing of this plan was measured yet.", f"Run it: retrace run {args.folder}/plan.json")
        made = make_report(results, outcome, session.bench)
    emit(summary(results, outcome, made), indent=1)


def put_training_report(run: RunFolder) -> str:
    """Write how a finetune went beside its adapter; the file. Raises BadInput, UserFacingError."""
    from ui.figures.training import training_html

    state, record = run.state(), run.record()
    assert state is not None, "a finetune was begun here"
    page = training_html(state, fingerprint=record.fingerprint if record else "")
    return str(run.put_report(page.encode()))


def make_report(results: Results, outcome: Outcome, bench: Workbench) -> list[str]:
    """Write the report and what every figure shows, as pictures and as numbers; the names of the files."""
    from ui.figures.catalogue import csv_of, drawings, measured
    from ui.figures.pictures import svg_of
    from ui.figures.report import report_html

    made = {REPORT: report_html(outcome, cells=bench.cell).encode()}
    for figure in measured(outcome):
        made[f"{FIGURES}/{figure}.csv"] = csv_of(outcome, figure).encode()
        for drawing in drawings(outcome, figure):
            made[f"{FIGURES}/{drawing.name}.svg"] = svg_of(drawing.chart)
    for name, data in made.items():
        results.write(name, data)
    return list(made)


def summary(results: Results, outcome: Outcome, made: list[str]) -> dict[str, object]:
    """How it came out, for programs to read."""
    return {
        "folder": str(results.folder),
        "plan": plan_id(outcome.plan),
        "finished": outcome.finished,
        "points": {"done": outcome.done, "total": outcome.total},
        "ticks": [{"name": tick.name, "state": tick.state, "sentence": tick.sentence} for tick in ticks(outcome)],
        "figures": {figure: list(sentences(outcome, figure)) for figure in outcome.plan.figures},
        "notes": list(outcome.notes),
        "files": made,
    }
