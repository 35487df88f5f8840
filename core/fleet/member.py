"""What a worker does: it holds one model at a time, and makes cells and sums with it. Imports torch when it begins.

Everything goes in and out as the bytes that the store keeps.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

from core.disk import codec
from core.errors import ModelUnavailable, OutOfMemory, UserFacingError
from core.extraction.merging import Material, Share, sums_of
from core.extraction.moments import MomentsSpec
from core.fleet.hands import Answer, Outcome, Task, source_digest
from core.jobs import finish
from core.models.loaded import LoadedModel, load_model, set_threads, unload
from core.runs.cells import DoseCellSpec
from core.runs.work import run_cell
from core.values import ModelSpec

log = logging.getLogger(__name__)


@dataclass
class Member:
    """A worker. `device` takes the place of the one that a task names; "" for none."""

    device: str = ""
    held: LoadedModel | None = None

    def do(self, ticket: int, task: Task) -> Answer:
        """Do a task; a fault is an answer too."""
        if task.source != source_digest():
            remedy = "Bring the same version to every host."
            return Answer(
                ticket=ticket, outcome="unable", why="A worker has another version of Retrace.", remedy=remedy
            )
        methods: dict[str, Callable[[Task], bytes]] = {"cell": self._cell, "sums": self._sums}
        try:
            return Answer(ticket=ticket, outcome="done", data=methods[task.does](task))
        except UserFacingError as error:
            unable = isinstance(error, ModelUnavailable | OutOfMemory)
            ended: Outcome = "unable" if unable else "failed"
            return Answer(ticket=ticket, outcome=ended, why=error.problem, remedy=error.remedy)
        except Exception as error:
            log.exception("a task failed")
            remedy = "The log of the worker has the details."
            return Answer(ticket=ticket, outcome="failed", why=f"{type(error).__name__} in a worker.", remedy=remedy)

    def _cell(self, task: Task) -> bytes:
        spec = codec.load(DoseCellSpec, task.data)
        return codec.dump(finish(run_cell(self._model(spec.model, spec.fingerprint), spec, batch=len(spec.prompts))))

    def _sums(self, task: Task) -> bytes:
        spec, share = codec.load(MomentsSpec, task.data), codec.load(Share, task.more[0])
        material = codec.load(Material, task.more[1])
        return codec.dump(sums_of(self._model(spec.model, spec.fingerprint), material, spec, share))

    def _model(self, spec: ModelSpec, fingerprint: str) -> LoadedModel:
        """The model of exactly these weights, loaded unless it is held. Raises ModelUnavailable or OutOfMemory."""
        held = self.held
        if held is not None and held.spec.precision == spec.precision and held.has_weights(fingerprint):
            return held
        if held is not None:
            self.held = None
            unload(held)
        loaded = load_model(replace(spec, device=self.device) if self.device else spec)
        if not loaded.has_weights(fingerprint):
            unload(loaded)
            raise ModelUnavailable(
                f"{spec.name} has other weights on this worker than the plan names.",
                "Bring the same files to every host, or name a commit of the hub.",
            )
        set_threads(loaded)
        self.held = loaded
        return loaded
