"""Experiments that are kept: a plan and what came out of it, two readable files each, until the user deletes them."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path

from core.disk import files
from core.disk.kept import ITEM_ID
from core.errors import BadInput, UserFacingError
from core.experiments.plans import (
    MAX_OUTCOME_BYTES,
    MAX_PLAN_BYTES,
    outcome_json,
    plan_id,
    plan_json,
    read_outcome,
    read_plan,
)
from core.experiments.values import Outcome, Plan
from core.text.lines import kept_line

MAX_TITLE = 120
_PLAN, _OUTCOME = ".plan.json", ".outcome.json"

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class SavedExperiment:
    """A plan in the folder, its id, and when it was saved, in seconds since 1970."""

    experiment_id: str
    plan: Plan
    saved_at: float


class ExperimentFolder:
    """The experiments under `root`/experiments. Safe to use from any thread; several processes may share it."""

    def __init__(self, root: Path) -> None:
        self.folder = Path(root).absolute() / "experiments"
        self._read: dict[Path, tuple[tuple[int, int, int], Plan | Outcome]] = {}
        files.remove_unfinished(self.folder)

    def save(self, plan: Plan) -> str:
        """Keep the plan and return its id; an equal plan keeps its file, under the latest title.

        Raises UserFacingError when the disk refuses it.
        """
        experiment_id = plan_id(plan)
        self._write(self._path(experiment_id, _PLAN), plan_json(plan))
        return experiment_id

    def list(self) -> list[SavedExperiment]:
        """The experiments that can be read, newest first; a file that cannot is left alone and logged."""
        found = []
        for path in self.folder.glob(f"*{_PLAN}") if self.folder.is_dir() else []:
            experiment_id = path.name.removesuffix(_PLAN)
            if not ITEM_ID.fullmatch(experiment_id):
                continue
            try:
                saved_at = path.lstat().st_mtime
                found.append(
                    SavedExperiment(experiment_id=experiment_id, plan=self.plan(experiment_id), saved_at=saved_at)
                )
            except (UserFacingError, OSError) as error:
                log.warning("The experiment %s cannot be read: %s", experiment_id, error)
        return sorted(found, key=lambda one: one.saved_at, reverse=True)

    def plan(self, experiment_id: str) -> Plan:
        """The plan of the id. Raises BadInput when it is not there or is damaged."""
        found = self._load(self._path(experiment_id, _PLAN), experiment_id)
        assert isinstance(found, Plan)
        return found

    def outcome(self, experiment_id: str) -> Outcome | None:
        """What came out of it so far; None where nothing did, or where its file is damaged."""
        try:
            found = self._load(self._path(experiment_id, _OUTCOME), experiment_id)
        except UserFacingError as error:
            if self._path(experiment_id, _OUTCOME).exists():
                log.warning("The results of the experiment %s cannot be read: %s", experiment_id, error)
            return None
        assert isinstance(found, Outcome)
        return found

    def kept_at(self, experiment_id: str) -> float:
        """When what came out of it was kept last, in seconds since 1970; 0 where nothing is."""
        try:
            return self._path(experiment_id, _OUTCOME).lstat().st_mtime
        except OSError:
            return 0.0

    def keep(self, experiment_id: str, outcome: Outcome) -> None:
        """Keep what came out so far, whole or not at all. Raises UserFacingError when the disk refuses it."""
        self._write(self._path(experiment_id, _OUTCOME), outcome_json(outcome))

    def rename(self, experiment_id: str, title: str) -> None:
        """Give an experiment another title. Raises BadInput when it is not there, UserFacingError as `save`."""
        plan = replace(self.plan(experiment_id), title=kept_line(title, MAX_TITLE))
        self._write(self._path(experiment_id, _PLAN), plan_json(plan))

    def delete(self, experiment_id: str) -> None:
        """Delete an experiment, damaged or not; its cells stay in the store. Raises BadInput when it is not there."""
        try:
            self._path(experiment_id, _PLAN).unlink()
        except OSError as error:
            raise _not_there(experiment_id) from error
        self._path(experiment_id, _OUTCOME).unlink(missing_ok=True)

    def _path(self, experiment_id: str, suffix: str) -> Path:
        if not isinstance(experiment_id, str) or not ITEM_ID.fullmatch(experiment_id):
            raise _not_there(str(experiment_id))
        return self.folder / f"{experiment_id}{suffix}"

    def _load(self, path: Path, experiment_id: str) -> Plan | Outcome:
        """Read a file, or remember it while it is unchanged."""
        try:
            status = path.lstat()
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
            known = self._read.get(path)
            if known is not None and known[0] == stamp:
                return known[1]
            is_plan = path.name.endswith(_PLAN)
            data = files.read_regular(path, limit=MAX_PLAN_BYTES if is_plan else MAX_OUTCOME_BYTES)
        except (OSError, MemoryError) as error:
            raise _not_there(experiment_id) from error
        source = f"The file {path.name}"
        found: Plan | Outcome = read_plan(data, source=source) if is_plan else read_outcome(data, source=source)
        self._read[path] = (stamp, found)
        return found

    def _write(self, path: Path, text: str) -> None:
        try:
            files.private_folder(self.folder)
            files.write_whole(path, text.encode())
        except OSError as error:
            raise UserFacingError(
                f"The experiment could not be kept: {files.refusal_of(error)}.",
                "Free some space or check the rights of the cache folder, then run it again.",
            ) from error


def _not_there(experiment_id: str) -> BadInput:
    return BadInput(f"There is no experiment {experiment_id[:40]!r}.", "Choose one from the list of experiments.")
