"""Merging a bundle into a cache: nothing is lost, nothing is doubled, and what came in says where it came from.

Values of equal keys are equal, so that the one that is here stays. The user's own values are looked into before they
are written: each must be what its name stands for.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from core.bundles.contents import path_in
from core.bundles.layout import BadBundle
from core.bundles.manifest import Item, Place
from core.bundles.origins import Origin, Origins
from core.bundles.reading import Bundle
from core.bundles.trace_sets import merge_set
from core.directions.direction import Direction
from core.directions.folder import id_of
from core.directions.mean_vectors import MeanVectors, set_id_of
from core.disk import codec, files
from core.disk.carried import carried
from core.errors import BadInput, UserFacingError
from core.experiments.plans import plan_id, plan_of_outcome, read_outcome, read_plan
from core.runs.history import MAX_NOTE, RunRecord, run_id_of
from core.talk.items import Talk

T = TypeVar("T")
PLAN, OUTCOME = ".plan.json", ".outcome.json"


@dataclass(frozen=True, kw_only=True)
class Merged:
    """What a merge did."""

    new: frozenset[str]
    """What was not here before, as "place/key"."""
    same: int
    """How many things were here already."""
    notes: tuple[str, ...] = ()
    """What was kept as it is here although the bundle has it otherwise, a sentence each."""


@dataclass
class _Tally:
    new: set[str] = field(default_factory=set)
    same: int = 0
    notes: list[str] = field(default_factory=list)

    def count(self, item: Item, *, is_new: bool) -> None:
        if is_new:
            self.new.add(f"{item.place}/{item.key}")
        else:
            self.same += 1


def merge(bundle: Bundle, root: Path, *, room: float = float("inf")) -> Merged:
    """Bring all that the bundle holds into the cache under `root`; `room` is how many bytes of results it may take.

    Raises BadBundle for a thing that is not what its name says, BadInput where there is no room, UserFacingError when
    the disk refuses it; what was brought in until then is whole, and merging again goes on from there.
    """
    items = bundle.manifest.items
    size = sum(item.size for item in items if item.place in ("value", "file", "part"))
    if size > room:
        raise BadInput(
            f"The results of this bundle take {size / 1e6:,.0f} MB, and there is room for {max(room, 0) / 1e6:,.0f} MB "
            "before older results would be dropped.",
            "Free some results, or look at the bundle without merging it.",
        )
    tally = _Tally()
    try:
        _merge_stored(bundle, root, tally)
        _merge_own(bundle, root, tally)
        for set_id, parts in _sets(items).items():
            merge_set(bundle, root, set_id, parts, tally.count, tally.notes)
        _keep_origin(bundle, root, tally)
    except (OSError, sqlite3.Error) as error:
        why = files.refusal_of(error) if isinstance(error, OSError) else "the database refused it"
        raise UserFacingError(
            f"The bundle could not be merged: {why}.", "Free some space or check the rights of the cache folder."
        ) from error
    return Merged(new=frozenset(tally.new), same=tally.same, notes=tuple(tally.notes))


def _merge_stored(bundle: Bundle, root: Path, tally: _Tally) -> None:
    values = [item for item in bundle.manifest.items if item.place == "value"]
    large = [item for item in bundle.manifest.items if item.place == "file"]
    parts = [item for item in bundle.manifest.items if item.place == "part"]
    if not (values or large or parts):
        return
    now = time.time()

    def read() -> Iterator[tuple[str, bytes, float]]:
        for item in values:
            data = bundle.read(item)
            if not codec.belongs_to(data, item.key):
                raise BadBundle(f"{item.name} is not a value of its key.")
            yield item.key, data, now

    with carried(root) as store:
        new = set(store.put_values(read()))
        for item in values:
            tally.count(item, is_new=item.key in new)
        for item in large:
            tally.count(item, is_new=store.put_file(item.key, bundle.chunks(item)))
        for stage, of_it in itertools.groupby(sorted(parts, key=_stage_of), key=_stage_of):
            mine = list(of_it)
            is_new = store.put_parts(stage, (_part(bundle, item) for item in mine))
            for item in mine:
                tally.count(item, is_new=is_new)


def _stage_of(item: Item) -> str:
    """The value of many parts that an item is one of."""
    return item.key.partition("/")[0]


def _part(bundle: Bundle, item: Item) -> tuple[str, bytes]:
    """(name, bytes) of a part. Raises BadBundle where it is not the part that its key names."""
    stage, _, name = item.key.partition("/")
    data = bundle.read(item)
    if not codec.belongs_to(data, f"{stage.partition('.')[0]}/{name}"):
        raise BadBundle(f"{item.name} is not a value of its key.")
    return name, data


def _merge_own(bundle: Bundle, root: Path, tally: _Tally) -> None:
    own = [item for item in bundle.manifest.items if item.place in _OWN]
    for item in sorted(own, key=lambda item: item.key.endswith(OUTCOME)):
        path, data = path_in(root, item.place, item.key), bundle.read(item)
        there = _here(path)
        try:
            made = _OWN[item.place](path, data, there)
        except codec.CorruptValue as error:
            raise BadBundle(f"{item.name} is damaged.") from error
        except BadBundle:
            raise
        except UserFacingError as error:
            tally.notes.append(f"{item.name} was left out. {error.problem}")
            continue
        if made is not None:
            files.private_folder(path.parent.parent)
            files.private_folder(path.parent)
            files.write_whole(path, made)
            if there is None:
                os.utime(path, (bundle.manifest.made_at,) * 2)
        tally.count(item, is_new=there is None)


def _here(path: Path) -> bytes | None:
    try:
        return files.read_regular(path)
    except FileNotFoundError:
        return None


def _direction(path: Path, data: bytes, there: bytes | None) -> bytes | None:
    return _named(Direction, id_of, path.stem, data, there)


def _means(path: Path, data: bytes, there: bytes | None) -> bytes | None:
    return _named(MeanVectors, set_id_of, path.stem, data, there)


def _named(cls: type[T], name: Callable[[T], str], key: str, data: bytes, there: bytes | None) -> bytes | None:
    """The bytes to write; None where an intact value of the same content is here. Raises BadBundle, CorruptValue."""
    if name(codec.load(cls, data, key=key)) != key:
        raise BadBundle(f"the content of {key} is not the one that its name stands for.")
    if there is not None:
        with contextlib.suppress(codec.CorruptValue):
            codec.load(cls, there, key=key)
            return None
    return data


def _run(path: Path, data: bytes, there: bytes | None) -> bytes | None:
    """A run; of one that is here the note and the pin are joined."""
    key = path.stem
    theirs = codec.load_stamped(RunRecord, data, key=key)
    if run_id_of(theirs.value.generation.spec) != key:
        raise BadBundle(f"the content of the run {key} is not the one that its name stands for.")
    try:
        ours = codec.load_stamped(RunRecord, there, key=key) if there is not None else None
    except codec.CorruptValue:
        ours = None
    if ours is None:
        return data
    notes = dict.fromkeys(note for note in (ours.value.note, theirs.value.note) if note)
    joined = ours.value.note if theirs.value.note in ours.value.note else "\n".join(notes)[:MAX_NOTE]
    record = dataclasses.replace(
        ours.value,
        note=joined,
        pinned_at=max(ours.value.pinned_at, theirs.value.pinned_at),
        parent=ours.value.parent or theirs.value.parent,
        forked_at=ours.value.forked_at if ours.value.parent else theirs.value.forked_at,
    )
    return codec.dump(record, key=key, saved_at=ours.saved_at) if record != ours.value else None


def _talk(path: Path, data: bytes, there: bytes | None) -> bytes | None:
    """The talk; to one that is here the items are added that it has not."""
    theirs = codec.load_stamped(Talk, data, key=path.stem)
    if there is None:
        return data
    try:
        ours = codec.load_stamped(Talk, there, key=path.stem)
    except codec.CorruptValue:
        return data
    joined = ours.value.joined(theirs.value)
    return codec.dump(joined, key=path.stem, saved_at=ours.saved_at) if joined != ours.value else None


def _experiment(path: Path, data: bytes, there: bytes | None) -> bytes | None:
    """A plan, or what came out of one: of two results of one plan the further one stays."""
    if not path.name.endswith(OUTCOME):
        theirs_id = plan_id(read_plan(data, source="Its plan"))
        if there is not None and plan_id(read_plan(there, source="The plan here")) != theirs_id:
            raise BadInput("Another plan has its name here.", "Delete that one first.")
        return data if there is None else None
    beside = files.read_regular(path.with_name(path.name.replace(OUTCOME, PLAN)))
    if plan_id(plan_of_outcome(data, source="Its results")) != plan_id(read_plan(beside, source="The plan")):
        raise BadBundle(f"the results in {path.name} are of another plan.")
    if there is None or there == data:
        return data if there is None else None
    theirs = read_outcome(data, source="Its results")
    try:
        ours = read_outcome(there, source="The results here")
    except UserFacingError:
        return data
    return data if (theirs.finished, theirs.done) > (ours.finished, ours.done) else None


_OWN: dict[Place, Callable[[Path, bytes, bytes | None], bytes | None]] = {
    "direction": _direction,
    "means": _means,
    "run": _run,
    "experiment": _experiment,
    "talk": _talk,
}


def _sets(items: tuple[Item, ...]) -> dict[str, list[Item]]:
    found: dict[str, list[Item]] = {}
    for item in items:
        if item.place == "traces":
            found.setdefault(item.key.partition("/")[0], []).append(item)
    return found


def _keep_origin(bundle: Bundle, root: Path, tally: _Tally) -> None:
    if tally.new:
        said = bundle.manifest
        origin = Origin(title=said.title, made_at=said.made_at, merged_at=time.time(), new=frozenset(tally.new))
        Origins(root).keep(bundle.digest[:20], origin)
