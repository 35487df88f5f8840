"""Fetching as a job of the app's engine. Importing it costs no torch."""

from __future__ import annotations

from pathlib import Path

from core.engine import Engine
from core.fetching.catalogue import Source, check_here
from core.fetching.work import fetch
from core.jobs import NOBODY, Caller, JobId
from core.values import PairSpec

_HOURS = 24 * 3600.0


class FetchJobs:
    """What is fetched into one cache folder."""

    def __init__(self, root: Path, engine: Engine) -> None:
        self.root, self._engine = root, engine

    def check(self, pair: PairSpec) -> None:
        """Raise BadInput where a model of the pair can be fetched and was not."""
        for model in (pair.base, pair.reasoner):
            check_here(model.repo_id, self.root)

    def get(self, source: Source, caller: Caller = NOBODY) -> JobId[Path]:
        """Job whose result is the model's folder; it goes on when its tab is closed."""
        title, work = f"Getting {source.title}", fetch(source, self.root)
        return self._engine.submit(
            "fetch", work, title=title, caller=caller, seconds=_HOURS, lasting=True, about=source
        )
