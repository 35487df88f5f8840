"""The finetunes of the app as jobs of its engine. Importing it costs no torch."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from functools import partial
from pathlib import Path

from core.background import Background
from core.engine import Engine
from core.finetuning.costs import need_of
from core.finetuning.folder import FinetuneFolder, RunFolder
from core.finetuning.values import Finetuned, FinetuneSpec, Need
from core.jobs import NOBODY, Caller, JobId, Progress
from core.values import Trace

KIND = "finetune"
_MONTH = 30 * 86_400.0


class FinetuneJobs(FinetuneFolder):
    """Those of one cache folder, and the jobs that train them."""

    def __init__(self, root: Path, engine: Engine) -> None:
        super().__init__(root)
        self._engine = engine

    def run(
        self, spec: FinetuneSpec, traces: Sequence[Trace], caller: Caller = NOBODY, *, folder: RunFolder | None = None
    ) -> JobId[Finetuned]:
        """Job that trains the adapter of the spec, or goes on with it, in `folder` or the one of its name."""
        place = folder or self.place(spec.name)

        def work() -> Generator[Progress, None, Finetuned]:
            yield Progress(0, spec.recipe.steps, "starting")
            from core.finetuning.work import finetune

            return (yield from finetune(spec, traces, place))

        title = f"Finetuning {spec.base.name}"
        about = str(place.path)
        return self._engine.submit(KIND, work(), title=title, caller=caller, seconds=_MONTH, lasting=True, about=about)

    def need(self, spec: FinetuneSpec, caller: Caller = NOBODY) -> JobId[Need]:
        """Job whose result is what the finetune would take; nothing is loaded."""
        work = Background("retrace-finetune-need").follow(partial(need_of, spec))
        return self._engine.submit("need", work, title="Reading what a finetune needs", caller=caller)
