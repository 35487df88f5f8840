"""Merging sets of traces: a set is a folder of files that belong together, and stays one."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from core.bundles.contents import FOLDERS
from core.bundles.layout import BadBundle
from core.bundles.manifest import Item
from core.bundles.reading import Bundle
from core.disk import files
from core.traces.set_files import FACTS, INDEX, TRACES, DamagedSet, checked_name, read_facts, read_rows, write_facts

EDITS = "edits.jsonl"
WHOLE = (FACTS, INDEX, TRACES)
"""Without these a set is none; what is laid over them, corrections and labellings, may be missing."""


class Count(Protocol):
    """Told of every file of a set whether it is new here."""

    def __call__(self, item: Item, *, is_new: bool) -> None: ...


def merge_set(bundle: Bundle, root: Path, set_id: str, items: Sequence[Item], count: Count, notes: list[str]) -> None:
    """Bring in a set, or what is laid over the embedded one. Where both sides corrected it differently, a saved set is
    brought in beside the one that is here, under an id that follows from its content. Raises BadBundle, OSError.
    """
    by_file = {item.key.partition("/")[2]: item for item in items}
    folder = root / FOLDERS["traces"] / set_id
    is_saved = not set_id.startswith("embedded-")
    if is_saved and not by_file.keys() >= set(WHOLE):
        raise BadBundle(f"the trace set {set_id} is not whole in it.")
    if not folder.is_dir():
        _bring_in(bundle, folder, by_file, is_saved=is_saved)
        for item in items:
            count(item, is_new=True)
        return
    differing = [name for name, item in by_file.items() if _differs(folder / name, item, bundle)]
    if is_saved and differing:
        _beside(bundle, folder.parent, by_file, count)
        return
    if differing:
        notes.append("The corrections or labels of the embedded traces differ; those that are here were kept.")
    with files.locked_folder(folder):
        for name, item in by_file.items():
            missing = not (folder / name).exists()
            if missing:
                files.write_whole_from(folder / name, bundle.chunks(item))
            count(item, is_new=missing)


def _differs(path: Path, item: Item, bundle: Bundle) -> bool:
    """Whether a file that is here has other content; corrections of which one side is the beginning do not differ.

    The names of a set's facts may: it is the same set under another name.
    """
    if not path.exists():
        return False
    ours = files.read_regular(path)
    if hashlib.sha256(ours).hexdigest() == item.sha256 or path.name == FACTS:
        return False
    if path.name != EDITS:
        return True
    theirs = bundle.read(item)
    if theirs.startswith(ours):
        files.write_whole(path, theirs)
    return not (ours.startswith(theirs) or theirs.startswith(ours))


def _bring_in(bundle: Bundle, folder: Path, by_file: dict[str, Item], *, is_saved: bool, name_end: str = "") -> None:
    """Write the set's folder, whole or not at all."""
    files.private_folder(folder.parent.parent)
    with files.whole_folder(folder) as place:
        for name, item in by_file.items():
            with (place / name).open("xb") as file:
                file.writelines(bundle.chunks(item))
                file.flush()
                os.fsync(file.fileno())
        if is_saved:
            _check_set(place, by_file)
        if name_end:
            facts = read_facts(place)
            write_facts(place, dataclasses.replace(facts, name=checked_name(f"{facts.name}{name_end}")))


def _check_set(folder: Path, by_file: dict[str, Item]) -> None:
    """Raise BadBundle unless the set's files can be read and its facts name its traces."""
    try:
        facts, rows = read_facts(folder), read_rows(folder)
    except DamagedSet as error:
        raise BadBundle("a trace set in it is damaged.") from error
    end = by_file[TRACES].size
    if facts.digest != by_file[TRACES].sha256 or len(rows) != facts.n_traces:
        raise BadBundle("a trace set in it does not fit its own description.")
    if any(first < 0 or length < 0 or first + length > end for first, length in (row.place for row in rows)):
        raise BadBundle("a trace set in it points outside its traces.")


def _beside(bundle: Bundle, parent: Path, by_file: dict[str, Item], count: Count) -> None:
    """Bring the set in under an id of its content; the same content a second time is there already."""
    content = "".join(f"{name}{item.sha256}" for name, item in sorted(by_file.items()))
    folder = parent / hashlib.sha256(content.encode()).hexdigest()[:12]
    is_new = not folder.is_dir()
    if is_new:
        _bring_in(bundle, folder, by_file, is_saved=True, name_end=" (merged)")
    for item in by_file.values():
        count(item, is_new=is_new)
