"""What goes into a bundle: of a cache folder, all that belongs to an experiment, to runs, to directions, or all of it.

Nothing is read before it is written: a source says where its bytes are.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from core.bundles.layout import Chunks
from core.bundles.manifest import Kind, Place, PlanLine, is_key
from core.disk import files
from core.disk.carried import Carried, kind_of
from core.disk.kept import SUFFIX
from core.errors import BadInput, UserFacingError
from core.experiments.folder import ExperimentFolder
from core.experiments.plans import outcome_json, plan_id, plan_json
from core.experiments.values import Outcome, Plan
from core.remembered import KIND as PAIR
from core.talk.folder import FOLDER as TALK
from core.talk.folder import TALK_ID, TalkFolder

FOLDERS: dict[Place, str] = {
    "direction": "directions",
    "means": "mean_vectors",
    "run": "history",
    "experiment": "experiments",
    "traces": "traces",
    "talk": TALK,
}
"""Where, below a cache folder, the user's own values of a place lie."""
CELL, GENERATION, LENS = "dose_cell", "generation", "lens"
_OF_THIS_MACHINE = ("speed",)
_UNFINISHED = "unfinished"


@dataclass(frozen=True, kw_only=True)
class Source:
    """Something that goes into a bundle."""

    place: Place
    key: str
    chunks: Chunks


@dataclass(frozen=True, kw_only=True)
class Contents:
    """All that goes into a bundle, and what the manifest says of it."""

    kind: Kind
    title: str
    plans: tuple[PlanLine, ...]
    sources: tuple[Source, ...]


def path_in(root: Path, place: Place, key: str) -> Path:
    """The file of a cache folder in which one of the user's own values lies."""
    return root / FOLDERS[place] / (key if place in ("experiment", "traces") else f"{key}{SUFFIX}")


def of_project(root: Path, carried: Carried, *, sums: bool) -> Contents:
    """Everything of a cache folder but what is unfinished or holds for one machine; `sums`: extraction's too."""
    values = [key for key in carried.value_keys() if _travels(key)]
    large = [key for key in carried.file_keys() if _travels(key)] if sums else []
    own = [source for place in FOLDERS for source in _own(root, place)]
    experiments = ExperimentFolder(root)
    plans = tuple(_line(one.plan, experiments.outcome(one.experiment_id)) for one in experiments.list())
    sources = (*own, *_values(carried, values), *_files(carried, large))
    return Contents(kind="project", title="All results", plans=plans, sources=sources)


def of_experiment(root: Path, carried: Carried, plan: Plan, outcome: Outcome | None, *, sums: bool) -> Contents:
    """An experiment with the texts of all its points, its traces and directions; `sums`: those of its pass too."""
    own = _experiment(plan, outcome)
    if plan.traces.kind == "set":
        own += [source for source in _own(root, "traces") if source.key.partition("/")[0] == plan.traces.name]
    if plan.saved is not None:
        own += _own(root, "direction", [plan.saved.base, plan.saved.reasoner])
    cells = _cells(outcome)
    prints = tuple(one for one in (outcome.fingerprints if outcome else plan.fingerprints) if one)
    held = [key for key in carried.value_keys() if key in cells or _is_of(carried, key, prints)]
    large = carried.file_keys() if sums else []
    mine = [key for key in large if _travels(key) and carried.file_mentions(key, prints)]
    sources = (*own, *_values(carried, held), *_files(carried, mine))
    line = _line(plan, outcome)
    return Contents(kind="experiment", title=line.title, plans=(line,), sources=sources)


def of_runs(root: Path, carried: Carried, run_ids: Collection[str], *, title: str = "Runs") -> Contents:
    """Runs of the history, kept or only stored. Raises BadInput where none of them is there."""
    kept = _own(root, "run", run_ids)
    there = {source.key for source in kept}
    stored = [
        key
        for key in carried.value_keys()
        if kind_of(key) == PAIR or (kind_of(key) == GENERATION and _run_id(key) in set(run_ids) - there)
    ]
    sources = (*kept, *_values(carried, stored))
    if not there and not any(kind_of(key) == GENERATION for key in stored):
        raise BadInput("None of these runs is kept here.", "Choose runs of the history.")
    return Contents(kind="runs", title=title, plans=(), sources=sources)


def of_talk(root: Path, carried: Carried, *, sums: bool) -> Contents:
    """The talk with the runs and the experiments that it names, as far as they are there. Raises BadInput where it is
    empty or damaged.
    """
    talk = TalkFolder(root).read()
    if not talk.items:
        raise BadInput("The talk is empty.", "Add comparisons and figures to it first.")
    parts = [_of_experiments(root, carried, talk.experiment_ids, sums=sums)]
    with contextlib.suppress(BadInput):
        parts.append(of_runs(root, carried, talk.run_ids))
    found = [*_own(root, "talk", [TALK_ID]), *(source for part in parts for source in part.sources)]
    sources = tuple({(source.place, source.key): source for source in found}.values())
    return Contents(kind="talk", title="Talk", plans=parts[0].plans, sources=sources)


def _of_experiments(root: Path, carried: Carried, experiment_ids: Iterable[str], *, sums: bool) -> Contents:
    """Those of some experiments that are there, together."""
    experiments, found = ExperimentFolder(root), list[Contents]()
    for experiment_id in experiment_ids:
        with contextlib.suppress(UserFacingError):
            plan, outcome = experiments.plan(experiment_id), experiments.outcome(experiment_id)
            found.append(of_experiment(root, carried, plan, outcome, sums=sums))
    plans = tuple(line for one in found for line in one.plans)
    return Contents(
        kind="talk", title="", plans=plans, sources=tuple(source for one in found for source in one.sources)
    )


def of_directions(folder: Path) -> Contents:
    """The saved directions, and sets of mean vectors, of a cache folder or of a folder of such files.

    Raises BadInput where there are none.
    """
    root = folder.parent if folder.name == FOLDERS["direction"] else folder
    sources = [*_own(root, "direction"), *_own(root, "means")]
    if not sources:
        raise BadInput(f"There are no saved directions in {str(folder)!r}.", "Save one on the Extraction page first.")
    return Contents(kind="directions", title="Directions", plans=(), sources=tuple(sources))


def _own(root: Path, place: Place, keys: Iterable[str] | None = None) -> list[Source]:
    """The user's own values of a place, or those of some keys, as far as they are there."""
    found = sorted(set(_keys(root, place))) if keys is None else [key for key in keys if is_key(place, key)]
    paths = [(key, path_in(root, place, key)) for key in found]
    return [Source(place=place, key=key, chunks=partial(_read, path)) for key, path in paths if path.is_file()]


def _keys(root: Path, place: Place) -> Iterator[str]:
    folder = root / FOLDERS[place]
    for path in folder.rglob("*") if folder.is_dir() else []:
        key = path.relative_to(folder).as_posix()
        key = key if place in ("experiment", "traces") else key.removesuffix(SUFFIX)
        if is_key(place, key):
            yield key


def _read(path: Path) -> Iterator[bytes]:
    yield files.read_regular(path)


def _values(carried: Carried, keys: Iterable[str]) -> list[Source]:
    return [Source(place="value", key=key, chunks=partial(carried.value_chunks, key)) for key in keys]


def _files(carried: Carried, keys: Iterable[str]) -> list[Source]:
    found = []
    for key in keys:
        parts = carried.part_names(key)
        found += [Source(place="part", key=name, chunks=partial(carried.part_chunks, name)) for name in parts]
        if not parts:
            found.append(Source(place="file", key=key, chunks=partial(carried.file_chunks, key)))
    return found


def _travels(key: str) -> bool:
    kind = kind_of(key)
    return not kind.startswith(_UNFINISHED) and kind not in _OF_THIS_MACHINE


def _cells(outcome: Outcome | None) -> set[str]:
    points = (*outcome.reported, *outcome.chosen_from) if outcome else ()
    return {key for point in points for key in point.cells}


def _is_of(carried: Carried, key: str, fingerprints: Collection[str]) -> bool:
    """Whether a small value says of the pair what pages show beside its experiment."""
    data = carried.value(key) if kind_of(key) in (PAIR, LENS) else None
    return data is not None and any(one.encode() in data for one in fingerprints)


def _run_id(key: str) -> str:
    return key.rpartition("-")[2][:20]


def _experiment(plan: Plan, outcome: Outcome | None) -> list[Source]:
    """A plan and what came out of it, as they are written."""
    experiment_id = plan_id(plan)
    texts: dict[str, Callable[[], str]] = {f"{experiment_id}.plan.json": partial(plan_json, plan)}
    if outcome is not None:
        texts[f"{experiment_id}.outcome.json"] = partial(outcome_json, outcome)
    return [Source(place="experiment", key=key, chunks=partial(_encoded, text)) for key, text in texts.items()]


def _encoded(text: Callable[[], str]) -> tuple[bytes]:
    return (text().encode(),)


def _line(plan: Plan, outcome: Outcome | None) -> PlanLine:
    pair = plan.pair
    return PlanLine(
        experiment_id=plan_id(plan),
        title=plan.title or f"{pair.reasoner.name}: {', '.join(plan.figures)}",
        base=pair.base.name,
        reasoner=pair.reasoner.name,
        precision=pair.reasoner.precision,
        done=outcome.done if outcome else 0,
        total=outcome.total if outcome else 0,
    )
