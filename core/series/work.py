"""A series as the work of a job: one pair after the other, each measured by its plan, with a pair holder of its own.

What was measured is found again, so that a series that was stopped goes on where it was. The pair in memory for the
pages is not touched. Importing it costs no torch.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import fmean

from core.experiments.plans import plan_id
from core.experiments.values import Choice, Outcome, Plan
from core.experiments.work import Lab
from core.jobs import Progress, Work, relay
from core.models.pair import PairHolder
from core.series.agreement import agreement
from core.series.folder import SeriesFolder, series_id
from core.series.values import Member, Series, SeriesPlan, choice_of, choosing_plan, member_plan


@dataclass(frozen=True)
class SeriesLab:
    """What a series works with: how one experiment is done, where all is kept, and where its pairs are loaded."""

    lab: Lab
    folder: SeriesFolder
    new_holder: Callable[[], PairHolder]

    def run(self, series: SeriesPlan) -> Work[Series]:
        """Measure what is not there yet. Raises what loading and measuring raise; what is done is kept."""
        yield Progress(0, len(series.members), "starting", self.folder.load(series))
        self.folder.save(series)
        return (yield from self._done(series, _Run))

    def help(self, series: SeriesPlan) -> Work[Series]:
        """Measure cells that another process, at work on the series over the same store, has not come to."""
        yield Progress(0, len(series.members), "starting")
        return (yield from self._done(series, _Help))

    def _done(self, series: SeriesPlan, how: type[_Run]) -> Work[Series]:
        from core.models.loading import on_threads

        holder = self.new_holder()
        try:
            return (yield from on_threads(holder.in_turn(how(self, holder, series).work())))
        finally:
            for _ in holder.release():
                pass


class _Run:
    """A series being measured."""

    def __init__(self, base: SeriesLab, holder: PairHolder, series: SeriesPlan) -> None:
        self._folder, self._holder, self._series = base.folder, holder, series
        self._lab = replace(base.lab, pair=holder, experiments=base.folder.experiments(series_id(series)))
        self._done, self._shown = 0, base.folder.load(series)
        self._total = len(series.members) + (choosing_plan(series) is not None)
        self._paces: list[float] = []
        """Seconds of every pair that was measured in this sitting."""
        self._at = 0
        self._plan: Plan | None = None
        """Of the pair that is being measured."""

    def work(self) -> Work[Series]:
        """What chooses for all pairs, then every pair."""
        series, members = self._series, self._series.members
        choosing, chosen = choosing_plan(series), None
        if choosing is not None:
            chosen = yield from self._outcome(members[-1], choosing, "choosing where and how much")
            self._done += 1
            self._shown = self._folder.load(series)
        for number, member in enumerate(members):
            choice = choice_of(series, chosen)
            assert choice is not None or not series.one_place, "a place is chosen for all"
            self._at, self._plan = number, member_plan(series, member, choice)
            began, was_there = time.monotonic(), self._shown.measured[number].finished
            yield from self._member(member, self._plan)
            self._paces += [] if was_there else [time.monotonic() - began]
            self._done += 1
            self._shown = self._folder.load(series)
        return self._shown

    def _member(self, member: Member, plan: Plan) -> Work[None]:
        yield from self._outcome(member, plan, member.name)
        if self._folder.cosines(self._series, plan) is None:
            yield from self._loaded(member)
            outcome = self._lab.experiments.outcome(plan_id(plan))
            assert outcome is not None, "what was measured is kept"
            yield from self._agreement(plan, outcome.choice)

    def _agreement(self, plan: Plan, choice: Choice | None) -> Work[None]:
        tables = yield from relay(self._lab.tables(plan), lambda p: self._told(p, "comparing directions"))
        window = choice.window if choice else None
        rows = agreement(tables, self._lab.shelf, window) if window else ()
        self._folder.keep_cosines(self._series, plan, rows)

    def _outcome(self, member: Member, plan: Plan, what: str) -> Work[Outcome]:
        """What comes out of a plan; of a finished one, what is kept."""
        found = self._lab.experiments.outcome(plan_id(plan))
        if found is not None and found.finished:
            return found
        yield from self._loaded(member)
        return (yield from self._measured(plan, lambda p: self._told(p, what)))

    def _measured(self, plan: Plan, told: Callable[[Progress], Progress]) -> Work[Outcome]:
        return (yield from relay(self._lab.run(plan), told))

    def _loaded(self, member: Member) -> Work[None]:
        yield from relay(self._holder.load(member.pair), lambda p: self._told(replace(p, done=0, total=0), member.name))

    def _told(self, progress: Progress, what: str) -> Progress:
        """How far the series is, with the experiment that is being measured among what came out."""
        share = progress.done / progress.total if progress.total else 0.0
        if isinstance(progress.partial, Outcome):
            self._shown = self._with(progress.partial)
        message = f"{what}: {progress.message}" if progress.message else what
        return Progress(
            self._done + share,
            self._total,
            message,
            self._shown,
            waiting=progress.waiting,
            seconds_left=self._seconds_left(share),
        )

    def _seconds_left(self, share: float) -> float:
        """At the pace of the pairs that were measured in this sitting; nan before there is one."""
        if not self._paces:
            return math.nan
        return max(self._total - self._done - share, 0.0) * fmean(self._paces)

    def _with(self, outcome: Outcome) -> Series:
        shown, at = self._shown, self._at
        if outcome.plan != self._plan:
            return shown
        measured = [
            replace(one, outcome=outcome) if i == at and not one.finished else one
            for i, one in enumerate(shown.measured)
        ]
        return replace(shown, measured=tuple(measured))


class _Help(_Run):
    """A series that another process measures."""

    def _member(self, member: Member, plan: Plan) -> Work[None]:
        found = self._lab.experiments.outcome(plan_id(plan))
        if found is None or not found.finished:
            yield from self._loaded(member)
            yield from relay(self._lab.help(plan), lambda p: self._told(p, member.name))

    def _measured(self, plan: Plan, told: Callable[[Progress], Progress]) -> Work[Outcome]:
        yield from relay(self._lab.help(plan), told)
        while (found := self._lab.experiments.outcome(plan_id(plan))) is None or not found.finished:
            yield Progress(0, 0, "another process chooses", waiting=True)
        return found
