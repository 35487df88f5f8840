"""The series of a cache folder as jobs of its engine, and what they take. Importing it costs no torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from core.engine import Engine
from core.experiments.check import cost_of
from core.experiments.values import Choice, Plan
from core.experiments.work import Lab
from core.jobs import NOBODY, Caller, JobId, Work
from core.models.pair import ROLES, PairHolder, Role
from core.series.folder import SeriesFolder, series_id
from core.series.values import Series, SeriesPlan, choice_of, choosing_plan, member_plan
from core.series.work import SeriesLab

if TYPE_CHECKING:
    from core.models.loaded import LoadedModel

KIND = "series"
_MONTH = 30 * 86_400.0


@dataclass(frozen=True, kw_only=True)
class SeriesCost:
    """What a series takes at most."""

    points: int
    tokens: int
    disk_bytes: int
    seconds: float | None
    """Where this machine has measured how fast such models write; None where it has not."""


class SeriesJobs(SeriesFolder):
    """Those of one cache folder, and the jobs that measure them."""

    def __init__(self, root: Path, engine: Engine, lab: Lab, accept: Callable[[LoadedModel], None]) -> None:
        super().__init__(root)
        self._engine, self._lab = engine, lab
        self._work = SeriesLab(lab, self, lambda: PairHolder(accept))

    def run(self, series: SeriesPlan, caller: Caller = NOBODY) -> JobId[Series]:
        """Job that measures what is not there yet, and keeps it; its result is the Series."""
        return self._begun(KIND, self._work.run(series), series, caller)

    def help(self, series: SeriesPlan, caller: Caller = NOBODY) -> JobId[Series]:
        """Job that measures what another process, at work on the series over the same store, has not come to."""
        return self._begun("help", self._work.help(series), series, caller)

    def cost(self, series: SeriesPlan, *, n_labels: int = 6) -> SeriesCost:
        """What it takes at most, whatever is there already."""
        choosing = choosing_plan(series)
        choice = choice_of(series, None) or _some_place(series.plan) if series.one_place else None
        plans = [choosing] if choosing else []
        plans += [member_plan(series, member, choice) for member in series.members]
        costs = [cost_of(plan, n_labels=n_labels, speeds=self._speeds(plan)) for plan in plans]
        times = [sum(cost.seconds.values()) for cost in costs if cost.seconds]
        return SeriesCost(
            points=sum(cost.points for cost in costs),
            tokens=sum(cost.tokens for cost in costs),
            disk_bytes=sum(cost.disk_bytes for cost in costs),
            seconds=sum(times) if len(times) == len(costs) else None,
        )

    def _speeds(self, plan: Plan) -> dict[Role, float] | None:
        """How fast the models of a plan write; one that is not known yet, like the other of the pair."""
        found = self._lab.speeds(plan)
        known = next(iter(found.values()), None)
        return {role: found.get(role, known) for role in ROLES} if known is not None else None

    def _begun(self, kind: str, work: Work[Series], series: SeriesPlan, caller: Caller) -> JobId[Series]:
        return self._engine.submit(
            kind,
            work,
            title=series.title or "Several pairs",
            caller=caller,
            seconds=_MONTH,
            lasting=True,
            about=series_id(series),
        )


def _some_place(plan: Plan) -> Choice:
    """Stands for the place that is yet to be chosen: which it is changes no cost."""
    return Choice(layer=plan.layers[0], window=plan.windows[0], coefficient=1.0, readable=True, n_compared=1)
