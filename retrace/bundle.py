"""`bundle` and `open`: results as one file, and a look into one. No model, no torch."""

from __future__ import annotations

import argparse
import os
import re
import sqlite3
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

from core import settings
from core.bundles import contents
from core.bundles.manifest import Manifest, Place
from core.bundles.reading import open_bundle
from core.bundles.writing import SUFFIX, write_bundle
from core.disk.carried import Carried, carried
from core.disk.files import refusal_of
from core.disk.store import Store
from core.errors import BadInput, UserFacingError
from core.experiments.folder import ExperimentFolder
from core.experiments.plans import plan_id
from core.experiments.values import Outcome, Plan
from core.jobs import Progress
from core.runs.history import RunHistory
from retrace.console import Console, emit
from retrace.results import PLAN, RESULTS, Results
from retrace.session import Stop

EXPERIMENT_ID = re.compile(r"[0-9a-f]{20}")
CACHE_FOLDERS = ("values", "experiments", "directions")


def bundle(args: argparse.Namespace, console: Console, stop: Stop) -> None:
    """Write the bundle. Raises BadInput where there is nothing to put in, UserFacingError when the disk refuses it."""
    out: Path = args.out
    if out.suffix != SUFFIX:
        raise BadInput(f"{out.name!r} is no name for a bundle.", f"Let it end in {SUFFIX}.")
    if not out.absolute().parent.is_dir():
        raise BadInput(f"There is no folder {str(out.absolute().parent)!r}.", "Name a file in a folder that is there.")

    def tell(done: int, total: int) -> None:
        stop.check()
        console.show(Progress(done, total, "writing the bundle"), None)

    root = Path(args.what) if _is_cache(Path(args.what)) else Path(args.cache)
    try:
        with carried(root) as store:
            found = _contents(args.what, root, store, sums=not args.no_sums)
            found = replace(found, title=args.title) if args.title else found
            made = write_bundle(out, found, tell=tell)
    except (OSError, sqlite3.Error) as error:
        why = refusal_of(error) if isinstance(error, OSError) else "the database refused it"
        raise UserFacingError(f"The cache {str(root)!r} cannot be read: {why}.", "Check its rights.") from error
    finally:
        console.clear()
    emit({"file": str(out), **listing(made)}, indent=1)


def open_file(args: argparse.Namespace, console: Console, stop: Stop) -> None:
    """Check a bundle and say what it holds, or show it in the pages. Raises BadBundle, BadInput."""
    path: Path = args.file
    try:
        with path.open("rb") as file:
            if not path.is_file():
                raise BadInput(f"{str(path)!r} is no file.", "Name a bundle.")
            found = open_bundle(file)
    except OSError as error:
        raise BadInput(f"The bundle {str(path)!r} cannot be read: {refusal_of(error)}.", "Check its name.") from error
    if args.check:
        emit({"file": str(path), "whole": True, **listing(found.manifest, files=True)}, indent=1)
        return
    console.say(f"Retrace shows {path.name} at http://127.0.0.1:{args.port}")
    os.environ[settings.BUNDLE] = str(path.absolute())
    os.environ[settings.CACHE] = str(Path(args.cache).absolute())
    os.chdir(settings.PROJECT)
    os.execv(sys.executable, server_command(args.port, headless=args.headless))  # noqa: S606


def server_command(port: int, *, headless: bool) -> list[str]:
    """The command that starts the pages."""
    flags = ["--server.port", str(port), "--server.headless", "true" if headless else "false"]
    return [sys.executable, "-m", "retrace.serve", *flags]


def listing(manifest: Manifest, *, files: bool = False) -> dict[str, object]:
    """What a bundle holds, for programs and people."""
    places: tuple[Place, ...] = get_args(Place)
    made = datetime.fromtimestamp(manifest.made_at, UTC)
    found: dict[str, object] = {
        "title": manifest.title,
        "kind": manifest.kind,
        "made": made.isoformat(timespec="seconds"),
        "bytes": manifest.size,
        "holds": {place: n for place in places if (n := manifest.count(place))},
        "experiments": [
            {"id": plan.experiment_id, "title": plan.title, "pair": [plan.base, plan.reasoner], "points": plan.done}
            for plan in manifest.plans
        ],
        "versions": manifest.versions,
    }
    if files:
        found["files"] = [{"name": item.name, "place": item.place, "bytes": item.size} for item in manifest.items]
    return found


def _contents(what: str, root: Path, store: Carried, *, sums: bool) -> contents.Contents:
    """What is asked for. Raises BadInput where it is nothing that can be bundled."""
    path = Path(what)
    if what == "all" or _is_cache(path):
        return contents.of_project(root, store, sums=sums)
    if what == "runs":
        return contents.of_runs(root, store, run_ids(root))
    if what == "directions":
        return contents.of_directions(root)
    if what == "talk":
        return contents.of_talk(root, store, sums=sums)
    if (path / PLAN).is_file():
        return contents.of_experiment(root, store, *_results(path, root), sums=sums)
    if path.is_dir():
        return contents.of_directions(path)
    if EXPERIMENT_ID.fullmatch(what):
        experiments = ExperimentFolder(root)
        return contents.of_experiment(root, store, experiments.plan(what), experiments.outcome(what), sums=sums)
    raise BadInput(
        f"{what!r} is nothing that can be bundled.",
        "Name a folder of results, an experiment's id, a cache folder, or all, talk, runs or directions.",
    )


def _results(folder: Path, root: Path) -> tuple[Plan, Outcome | None]:
    """Plan and outcome of a folder of results; the cache may know more of the outcome, or all that is known."""
    results = Results(folder)
    plan = results.plan()
    here = results.outcome() if (folder / RESULTS).exists() else None
    return plan, here or ExperimentFolder(root).outcome(plan_id(plan))


def run_ids(root: Path) -> list[str]:
    """The ids of all runs of the history."""
    store = Store(root)
    try:
        return [entry.run_id for entry in RunHistory(root, store).entries(limit=10_000)]
    finally:
        store.close()


def _is_cache(path: Path) -> bool:
    return path.is_dir() and not (path / PLAN).exists() and any((path / name).is_dir() for name in CACHE_FOLDERS)
