"""Series that are kept: of each its plan, the experiments of its pairs, and how alike their directions are.

They stand in the cache folder beside single experiments, each in a folder of its own, until the user deletes them.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from core.disk import files
from core.disk.codec import canonical_json
from core.disk.fields import decode, encode
from core.disk.kept import ITEM_ID
from core.errors import BadInput, UserFacingError
from core.experiments.folder import ExperimentFolder
from core.experiments.plans import MAX_PLAN_BYTES, fields_json, plan_id, read_fields
from core.experiments.values import Outcome, Plan
from core.series.values import CosineRow, Measured, Series, SeriesPlan, choice_of, choosing_plan, member_plan

SCHEMA = "retrace-series/1"
FOLDER, _PLAN, _COSINES = "series", "plan.json", "cosines"
_MAX_COSINES = 1 << 22

log = logging.getLogger(__name__)


def series_json(series: SeriesPlan) -> str:
    """The plan as JSON; `read_series` reads it back."""
    return fields_json(SeriesPlan, series, SCHEMA)


def read_series(data: bytes, *, source: str = "The plan") -> SeriesPlan:
    """The plan in a file. Raises BadInput for what is none, for an unknown schema and for fields that do not fit."""
    return read_fields(SeriesPlan, data, schema=SCHEMA, limit=MAX_PLAN_BYTES, source=source)


def is_series(data: bytes) -> bool:
    """Whether a file says that it is a series, and not the plan of one experiment."""
    return re.match(rb'\s*\{\s*"schema": "retrace-series/', data) is not None


def series_id(series: SeriesPlan) -> str:
    """(20,) hex that names it by all that its results depend on: neither by titles, nor by where anything lies."""
    choosing = choosing_plan(series)
    plans = [plan_id(choosing)] if choosing else []
    plans += [plan_id(member_plan(series, member, None)) for member in series.members]
    said = canonical_json({"one_place": series.one_place, "plans": plans, "steps": list(series.steps)})
    return hashlib.sha256(said).hexdigest()[:20]


@dataclass(frozen=True, kw_only=True)
class SavedSeries:
    """A series in the folder, its id, and when its plan was saved, in seconds since 1970."""

    series_id: str
    plan: SeriesPlan
    saved_at: float


class SeriesFolder:
    """The series under `root`/series. Safe to use from any thread; several processes may share it."""

    def __init__(self, root: Path) -> None:
        self.folder = Path(root).absolute() / FOLDER
        self._experiments: dict[str, ExperimentFolder] = {}

    def save(self, series: SeriesPlan) -> str:
        """Keep the plan and return its id. Raises UserFacingError when the disk refuses it."""
        found = series_id(series)
        self._write(self._place(found) / _PLAN, series_json(series))
        return found

    def list(self) -> tuple[SavedSeries, ...]:
        """The series that can be read, newest first."""
        found = []
        for path in self.folder.glob(f"*/{_PLAN}"):
            try:
                plan, at = self.plan(path.parent.name), path.lstat().st_mtime
            except (UserFacingError, OSError) as error:
                log.warning("the series %s cannot be read: %s", path.parent.name, error)
                continue
            found.append(SavedSeries(series_id=path.parent.name, plan=plan, saved_at=at))
        return tuple(sorted(found, key=lambda one: one.saved_at, reverse=True))

    def plan(self, found: str) -> SeriesPlan:
        """The plan of the id. Raises BadInput where it is not there or damaged."""
        path = self._place(found) / _PLAN
        try:
            data = files.read_regular(path, limit=MAX_PLAN_BYTES)
        except OSError as error:
            raise BadInput(f"There is no series {found!r}.", "Choose one from the list.") from error
        return read_series(data, source=f"The plan of the series {found}")

    def load(self, series: SeriesPlan) -> Series:
        """What came out of it so far."""
        place = self.experiments(series_id(series))
        choosing = choosing_plan(series)
        chosen = place.outcome(plan_id(choosing)) if choosing else None
        measured = []
        for member in series.members:
            found: Outcome | None = None
            cosines: Sequence[CosineRow] = ()
            if choosing is None or (chosen is not None and chosen.finished):
                plan = member_plan(series, member, choice_of(series, chosen))
                found, cosines = place.outcome(plan_id(plan)), self.cosines(series, plan) or ()
            measured.append(Measured(member=member, outcome=found, cosines=tuple(cosines)))
        return Series(plan=series, choosing=chosen, measured=tuple(measured))

    def experiments(self, found: str) -> ExperimentFolder:
        """The experiments of the series of that id."""
        if found not in self._experiments:
            self._experiments[found] = ExperimentFolder(self._place(found))
        return self._experiments[found]

    def cosines(self, series: SeriesPlan, plan: Plan) -> tuple[CosineRow, ...] | None:
        """How alike the directions of one of its pairs are; None where it is not kept."""
        try:
            data = files.read_regular(self._cosines(series, plan), limit=_MAX_COSINES)
            rows: tuple[CosineRow, ...] = decode(tuple[CosineRow, ...], json.loads(data), "", {})
            return rows
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            return None

    def keep_cosines(self, series: SeriesPlan, plan: Plan, rows: tuple[CosineRow, ...]) -> None:
        """Keep them. Raises UserFacingError when the disk refuses it."""
        self._write(self._cosines(series, plan), json.dumps(encode(tuple[CosineRow, ...], rows, "", {})))

    def delete(self, found: str) -> None:
        """Delete a series; its cells stay in the store. Raises BadInput where there is none."""
        place = self._place(found)
        if not (place / _PLAN).exists():
            raise BadInput(f"There is no series {found!r}.", "Choose one from the list.")
        (place / _PLAN).unlink(missing_ok=True)
        shutil.rmtree(place, ignore_errors=True)

    def _cosines(self, series: SeriesPlan, plan: Plan) -> Path:
        return self._place(series_id(series)) / _COSINES / f"{plan_id(plan)}.json"

    def _place(self, found: str) -> Path:
        if not ITEM_ID.fullmatch(found):
            raise BadInput(f"There is no series {found[:40]!r}.", "Choose one from the list.")
        return self.folder / found

    def _write(self, path: Path, text: str) -> None:
        try:
            files.private_folder(path.parent)
            files.write_whole(path, text.encode())
        except OSError as error:
            raise UserFacingError(
                f"The results could not be kept: {files.refusal_of(error)}.",
                "Free some space or check the rights of the cache folder, then run it again.",
            ) from error
