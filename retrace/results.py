"""The folder of a run: its plan, its results, and the report made of them; each file is there whole or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from core.disk import files
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

PLAN, RESULTS, REPORT, FIGURES = "plan.json", "results.json", "report.html", "figures"
_SPARE_BYTES = 20 << 20
"""What report and figures may take."""


def read_file(path: Path, *, limit: int, what: str) -> bytes:
    """The bytes of a file that the user names, wherever a link leads. Raises BadInput."""
    try:
        return files.read_regular(path.resolve(), limit=limit)
    except (OSError, RuntimeError) as error:
        reason = (error.strerror if isinstance(error, OSError) else "") or f"it is no file of at most {limit >> 20} MB"
        raise BadInput(f"{what} {str(path)!r} cannot be read: {reason}.", "Check its name and its rights.") from error


class OutFolder:
    """The folder that --out names, which one run holds."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextlib.contextmanager
    def held(self, check: Callable[[], None]) -> Iterator[None]:
        """Hold the folder for a run; `check` raises BadInput where it is not one of this run's, and is asked twice.

        A folder that nothing is put into is not left behind. Raises BadInput for a folder in use, or on a full disk.
        """
        check()
        check_room(self.folder, _SPARE_BYTES)
        is_new = not self.folder.exists()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            fd = os.open(self.folder, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise _unusable(self.folder, error) from error
        try:
            if not files.try_lock(fd) or not os.access(self.folder, os.W_OK):
                raise BadInput(
                    f"The folder {str(self.folder)!r} is in use by another run, or closed to writing.",
                    "Wait for that run to end, or name another folder.",
                )
            check()
            files.remove_unfinished(self.folder)
            yield
            is_new = False
        finally:
            if is_new:
                with contextlib.suppress(OSError):
                    self.folder.rmdir()
            os.close(fd)

    def has_plan(self) -> bool:
        """Whether it holds a plan; False for one that is new or empty. Raises BadInput for other things."""
        path = self.folder
        if not os.path.lexists(path):
            return False
        if not path.is_dir():
            raise BadInput(f"{str(path)!r} is no folder.", "Name a new folder.")
        try:
            names = {name for name in os.listdir(path) if not files.UNFINISHED.fullmatch(name)}
        except OSError as error:
            raise _unusable(path, error) from error
        if PLAN not in names and names:
            raise BadInput(
                f"The folder {str(path)!r} holds other things, {sorted(names)[0]!r} among them.", "Name a new folder."
            )
        return PLAN in names

    def plan_bytes(self) -> bytes:
        """Its plan as it stands there. Raises BadInput."""
        return read_file(self.folder / PLAN, limit=MAX_PLAN_BYTES, what="The plan")

    def write(self, name: str, data: bytes) -> Path:
        """Put a file into the folder, whole. Raises UserFacingError when the disk refuses it."""
        path = self.folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            files.write_whole(path, data)
        except OSError as error:
            raise UserFacingError(
                f"{str(path)!r} cannot be written: {files.refusal_of(error)}.",
                "Free some space or check the rights, then run the same command: it goes on.",
            ) from error
        return path


class Results(OutFolder):
    """The folder of one experiment."""

    def plan(self) -> Plan:
        """Its plan. Raises BadInput where there is none."""
        if not (self.folder / PLAN).exists():
            raise BadInput(
                f"The folder {str(self.folder)!r} holds no {PLAN}.", "Name a folder that `retrace paper` or `run` made."
            )
        return read_plan(self.plan_bytes(), source=PLAN)

    def outcome(self) -> Outcome | None:
        """What came out so far; None where nothing did. Raises BadInput where it cannot be read."""
        path = self.folder / RESULTS
        if not path.exists():
            return None
        return read_outcome(read_file(path, limit=MAX_OUTCOME_BYTES, what="The results"), source=RESULTS)

    def claimed(self, plan: Plan) -> contextlib.AbstractContextManager[None]:
        """Hold the folder for a run of the plan, as `held`. Raises BadInput for a folder with another plan too."""
        return self.held(lambda: self._check(plan))

    def keep(self, plan: Plan, outcome: Outcome) -> None:
        """Put the plan and what came out so far into the folder. Raises as `write`."""
        if not (self.folder / PLAN).exists() or self.plan() != plan:
            self.write(PLAN, plan_json(plan).encode())
        self.write(RESULTS, outcome_json(outcome).encode())

    def _check(self, plan: Plan) -> None:
        if self.has_plan() and plan_id(self.plan()) != plan_id(plan):
            path = self.folder
            raise BadInput(
                f"The folder {str(path)!r} holds another plan.",
                f"Name a new folder, or go on with that plan: retrace run {path / PLAN} --out {path}",
            )


def check_room(folder: Path, needed: int) -> None:
    """Raise BadInput where the disk of the folder has less room than is needed."""
    there = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())
    free = shutil.disk_usage(there).free
    if free < needed:
        raise BadInput(
            f"This needs about {needed / 1e6:,.0f} MB at {str(folder)!r}, and {free / 1e6:,.0f} MB are free.",
            "Free some space, or name a folder on another disk.",
        )


def _unusable(path: Path, error: OSError) -> BadInput:
    return BadInput(
        f"The folder {str(path)!r} cannot be used: {files.refusal_of(error)}.", "Name a folder that you can write to."
    )
