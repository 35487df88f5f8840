"""`emergence`, `zoo`: one experiment on the checkpoints of a finetune, or on several pairs, measured into a folder."""

from __future__ import annotations

import argparse
import contextlib
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from core.background import Background, Errand
from core.embedded import example_traces
from core.errors import BadInput
from core.experiments.command import SET
from core.experiments.plans import MAX_PLAN_BYTES, plan_id, read_plan
from core.experiments.presets import CHOOSE
from core.finetuning.folder import FinetuneFolder, Record, RunFolder
from core.jobs import finish
from core.models.pair import DEMO_PAIR
from core.series.checkpoints import checkpoint_series, for_checkpoints, learned_traces, pair_series, record_of
from core.series.folder import read_series, series_id, series_json
from core.series.jobs import SeriesCost
from core.series.values import Series, SeriesPlan, choice_of, member_plan
from core.series.words import emergence_sentence
from core.text.typed import counts
from core.traces.sets import TraceFolder
from core.values import PairSpec
from retrace.console import Console, emit, in_words
from retrace.plans import allowed, pair_named, plan_for
from retrace.results import PLAN, OutFolder, Results, check_room, read_file
from retrace.session import Session, Stop, Stopped, opened
from retrace.workers import count_workers, helped

EMERGENCE, ZOO = "emergence", "zoo"


def emergence(args: argparse.Namespace, console: Console, stop: Stop) -> None:
    """Measure the checkpoints that are not measured yet. Raises BadInput, ModelUnavailable."""
    run = _run_of(args.finetune, args.cache)
    record = record_of(run)
    allowed(replace(record.spec.base, adapter=str(run.path)), args.cache)
    is_own = record.spec.base.repo_id == DEMO_PAIR.base.repo_id
    if args.traces is None:
        args.traces = _traces_of(record, args, is_own=is_own)
    last = replace(record.spec.base, adapter=str(run.checkpoints()[-1][1]))
    pair = PairSpec(base=record.spec.base, reasoner=last)
    preset = partial(for_checkpoints, quick=args.quick)
    plan = plan_for(pair, args, console, stop.check, is_own=is_own, preset=preset, n_choose=CHOOSE)
    steps = counts(args.steps) if args.steps else ()

    def look(errand: Errand) -> SeriesPlan:
        return checkpoint_series(run, plan, steps=steps, title=plan.title, tell=errand.tell)

    _measure(_looked(look), EMERGENCE, args, console, stop)


def zoo(args: argparse.Namespace, console: Console, stop: Stop) -> None:
    """Measure the pairs that are not measured yet. Raises BadInput, ModelUnavailable."""
    source = Path(args.file).name
    plan = read_plan(read_file(Path(args.file), limit=MAX_PLAN_BYTES, what="The plan"), source=source)
    pairs = [pair_named(text, plan.pair.reasoner, args.cache) for text in args.pairs]
    _measure(_looked(lambda errand: pair_series(plan, pairs, tell=errand.tell)), ZOO, args, console, stop)


def _looked(look: Callable[[Errand], SeriesPlan]) -> SeriesPlan:
    """The series, found on a thread of its own, so that a signal ends it at once."""
    return finish(Background("retrace-series").follow(look))


def _run_of(named: str, cache: Path) -> RunFolder:
    """The finetune in a folder, or of that name in the app."""
    path = Path(named).expanduser()
    here = FinetuneFolder(cache).place(named)
    return here if not path.exists() and here.path.exists() else RunFolder(path)


def _traces_of(record: Record, args: argparse.Namespace, *, is_own: bool) -> str | None:
    """The traces that the finetune learned from, as --traces takes them, where they are at hand and labelled."""
    found = learned_traces(record, TraceFolder(args.cache, embedded=example_traces))
    if found is not None and any(trace.parts for trace in found[1]):
        return f"{SET}{found[0]}"
    if is_own:
        return None
    raise BadInput(
        "The traces that this finetune learned from are not at hand, or have no labels.",
        "Name labelled traces with --traces FILE.",
    )


class SeriesResults(OutFolder):
    """The folder of a series: its plan, what it shows, and the results of every pair in a folder of its own."""

    def claimed(self, series: SeriesPlan) -> contextlib.AbstractContextManager[None]:
        """Hold the folder for the series, as `held`. Raises BadInput for a folder with another one too."""
        return self.held(lambda: self._check(series))

    def _check(self, series: SeriesPlan) -> None:
        if self.has_plan() and series_id(read_series(self.plan_bytes(), source=PLAN)) != series_id(series):
            raise BadInput(
                f"The folder {str(self.folder)!r} holds another plan: other pairs or checkpoints, or other settings.",
                "Name a new folder, or ask for the same as before to go on with it.",
            )

    def keep(self, found: Series, kind: str) -> list[str]:
        """Put what came out so far into the folder; the names of the files. Raises UserFacingError."""
        self.write(PLAN, series_json(found.plan).encode())
        files = _emergence_files(found) if kind == EMERGENCE else _zoo_files(found)
        for name, data in files.items():
            self.write(name, data)
        return [*files, *self._keep_outcomes(found)]

    def _keep_outcomes(self, found: Series) -> Iterator[str]:
        choice = choice_of(found.plan, found.choosing)
        for number, one in enumerate(found.measured, start=1):
            if one.outcome is not None:
                member = one.member
                name = f"step-{member.step:06d}" if member.step is not None else f"{number}-{_file_name(member.name)}"
                Results(self.folder / name).keep(member_plan(found.plan, member, choice), one.outcome)
                yield name


def _file_name(name: str) -> str:
    return re.sub(r"[^\w.-]+", "-", name).strip("-.")[-60:] or "pair"


def _emergence_files(found: Series) -> dict[str, bytes]:
    from ui.figures.catalogue import csv_text
    from ui.figures.emergence import draw_emergence
    from ui.figures.pictures import stacked, svg_of
    from ui.figures.series_rows import emergence_json, series_rows

    drawn = draw_emergence(found)
    csv = csv_text(series_rows(found)).encode()
    made = {f"{EMERGENCE}.json": emergence_json(found), f"{EMERGENCE}.csv": csv}
    if drawn:
        made[f"{EMERGENCE}.svg"] = svg_of(stacked([drawing.chart for drawing in drawn]))
    return made


def _zoo_files(found: Series) -> dict[str, bytes]:
    from ui.figures.catalogue import csv_text
    from ui.figures.series_rows import series_rows, zoo_json
    from ui.figures.zoo import zoo_html

    csv = csv_text(series_rows(found)).encode()
    return {f"{ZOO}.json": zoo_json(found), f"{ZOO}.csv": csv, f"{ZOO}.html": zoo_html(found).encode()}


def _measure(series: SeriesPlan, kind: str, args: argparse.Namespace, console: Console, stop: Stop) -> None:
    """Measure what is not there yet, put it into the folder, and say on stdout how it came out.

    Nothing is written before plan, folder and pairs are found to fit.
    """
    results, like = SeriesResults(args.out), series.plan
    workers = count_workers(like, args.workers)
    with results.claimed(series), opened(args.cache, console, stop) as session:
        found = session.bench.series.load(series)
        if found.finished and all(one.cosines for one in found.measured):
            console.say("All of it was measured before; only the figures are made again.")
        else:
            cost = session.bench.series.cost(series)
            console.say(_cost_line(series, cost))
            check_room(args.cache, cost.disk_bytes)
            with (
                _said_when_stopped(series, kind, results, session),
                helped(series_json(series), like.pair.reasoner.device, workers, args.cache, console),
            ):
                found = session.follow(session.bench.series.run(series))
        files = results.keep(found, kind)
    emit(_summary(found, kind, results, files), indent=1)


@contextlib.contextmanager
def _said_when_stopped(series: SeriesPlan, kind: str, results: SeriesResults, session: Session) -> Iterator[None]:
    try:
        yield
    except Stopped:
        so_far = session.bench.series.load(series)
        results.keep(so_far, kind)
        session.console.say(
            f"Stopped: {so_far.n_done} of {len(series.members)} {_noun(series)} are measured, and what is measured of "
            "the next is kept. The same command goes on from there."
        )
        raise


def _cost_line(series: SeriesPlan, cost: SeriesCost) -> str:
    left = f", about {in_words(cost.seconds)} on this machine" if cost.seconds else ""
    return (
        f"{len(series.members)} {_noun(series)}: at most {cost.points:,} points, {cost.tokens:,} new tokens, "
        f"{cost.disk_bytes / 1e6:,.0f} MB on disk{left}."
    )


def _noun(series: SeriesPlan) -> str:
    return "checkpoints" if series.one_place else "pairs"


def _summary(found: Series, kind: str, results: SeriesResults, files: list[str]) -> dict[str, object]:
    """How it came out, for programs to read."""
    told: dict[str, object] = {"folder": str(results.folder), "series": series_id(found.plan)}
    if kind == EMERGENCE:
        told["sentence"] = emergence_sentence(found)
    plans = [plan_id(one.outcome.plan) for one in found.measured if one.outcome]
    return {**told, "finished": found.finished, "plans": plans, "files": files}
