"""Saved sets of traces: the user's data, one folder each, kept until the user deletes them.

The traces that come with the embedded pair are the first set; it can be corrected and labelled like any other, but
neither renamed nor deleted. Several threads and processes may share the folder.
"""

from __future__ import annotations

import builtins
import contextlib
import dataclasses
import hashlib
import os
import re
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from core.disk import files
from core.errors import BadInput, UserFacingError
from core.text.lines import shown_line
from core.traces import edits as kept
from core.traces import set_files
from core.traces.edits import Edit, Labelling, Parts
from core.traces.events import digest_of
from core.traces.set_files import EMBEDDED, TraceRow, TraceSet, TraceWriter, checked_name, disk_errors, facts_of
from core.values import Part, Trace

EMBEDDED_NAME = "Embedded traces"
SET_ID = re.compile(r"[0-9a-f]{12}")
KEPT_CHARACTERS = 20_000_000
"""A set with no more characters stays in memory after it was loaded, until another one is."""
_NONE: tuple[Trace, ...] = ()


class TraceFolder:
    """The sets under `root`/traces."""

    def __init__(self, root: Path, *, embedded: Callable[[], tuple[Trace, ...]] = lambda: _NONE) -> None:
        self.folder = Path(root).absolute() / "traces"
        self._embedded = embedded
        self._rows: dict[str, tuple[str, tuple[TraceRow, ...]]] = {}
        self._kept: tuple[str, tuple[Trace, ...]] = ("", ())
        self._digested: tuple[object, str] = (None, "")
        files.remove_unfinished(self.folder)

    @contextlib.contextmanager
    def new(self, set_id: str) -> Iterator[TraceWriter]:
        """Write a new set: it is there when the block ends, and nothing of it is left when the block raises.

        The caller adds traces and calls `finish`. Raises UserFacingError when the disk refuses it.
        """
        assert SET_ID.fullmatch(set_id), set_id
        with disk_errors("The traces could not be saved"), files.whole_folder(self.folder / set_id) as folder:
            writer = TraceWriter(folder)
            try:
                yield writer
            finally:
                writer.close()

    def save(self, traces: Sequence[Trace], *, name: str, source: str = "", form: str = "") -> str:
        """Keep a sequence of traces as a new set and return its id. Raises UserFacingError, BadInput for a bad name."""
        set_id, name = os.urandom(6).hex(), checked_name(name)
        with self.new(set_id) as writer:
            for trace in traces:
                writer.add(trace)
            writer.finish(facts_of(name=name, source=source, form=form))
        return set_id

    def list(self) -> list[TraceSet]:
        """The embedded set, where there is one, then the saved ones, newest first; damaged ones are left out."""
        embedded = [self.info(EMBEDDED)] if self._embedded() else []
        saved = []
        for path in self.folder.iterdir() if self.folder.is_dir() else ():
            if SET_ID.fullmatch(path.name):
                with contextlib.suppress(UserFacingError):
                    saved.append(self.info(path.name))
        return embedded + sorted(saved, key=lambda found: found.saved_at, reverse=True)

    def broken(self) -> builtins.list[str]:
        """Ids of the sets that cannot be read; their folders are left as they are."""
        intact = {found.set_id for found in self.list()}
        names = [p.name for p in self.folder.iterdir()] if self.folder.is_dir() else []
        return sorted(name for name in names if SET_ID.fullmatch(name) and name not in intact)

    def info(self, set_id: str) -> TraceSet:
        """One set's line of the list. Raises BadInput."""
        with self._reading(set_id) as folder:
            facts, edits = self._facts(set_id), kept.read_edits(folder)
            counts = dict(facts["counts"])
            if edits:
                counts = _summed(row.counts for row in self.rows(set_id))
            return TraceSet(
                set_id=set_id,
                name=str(facts["name"]),
                source=str(facts["source"]),
                form=str(facts["form"]),
                saved_at=float(facts["saved_at"]),
                n_traces=int(facts["n_traces"]),
                n_characters=int(facts["n_characters"]),
                counts=dict(sorted(counts.items(), key=lambda item: (-item[1], item[0]))),
                digest=_digest(str(facts["digest"]), edits),
                n_edits=len(edits),
            )

    def load(self, set_id: str) -> tuple[Trace, ...]:
        """All traces of a set, corrections included. Raises BadInput."""
        info = self.info(set_id)
        if self._kept[0] == info.digest:
            return self._kept[1]
        traces = tuple(self.iterate(set_id))
        if info.n_characters <= KEPT_CHARACTERS:
            self._kept = (info.digest, traces)
        return traces

    def iterate(self, set_id: str) -> Iterator[Trace]:
        """The traces of a set one at a time, corrections included. Raises BadInput."""
        with self._reading(set_id) as folder:
            edited = kept.edited_parts(kept.read_edits(folder))
            found = self._embedded() if set_id == EMBEDDED else set_files.read_traces(folder)
            for index, trace in enumerate(found):
                yield dataclasses.replace(trace, parts=edited[index]) if index in edited else trace

    def rows(self, set_id: str) -> tuple[TraceRow, ...]:
        """What a list shows of each trace, corrections included. Raises BadInput."""
        with self._reading(set_id) as folder:
            edits = kept.read_edits(folder)
            digest = _digest(str(self._facts(set_id)["digest"]), edits)
            known = self._rows.get(set_id)
            if known is None or known[0] != digest:
                known = (digest, self._read_rows(set_id, folder, kept.edited_parts(edits)))
                self._rows[set_id] = known
            return known[1]

    def trace(self, set_id: str, index: int) -> Trace:
        """One trace, corrections included. Raises BadInput for an unknown set or index."""
        rows = self.rows(set_id)
        if not 0 <= index < len(rows):
            raise BadInput(f"There is no trace {index} in this set of {len(rows)}.", "Choose one from the list.")
        with self._reading(set_id) as folder:
            trace = self._embedded()[index] if set_id == EMBEDDED else set_files.read_trace(folder, rows[index])
            edited = kept.edited_parts(kept.read_edits(folder))
            return dataclasses.replace(trace, parts=edited[index]) if index in edited else trace

    def report(self, set_id: str) -> dict[str, Any]:
        """What the import said about the set, {} where there was none. Raises BadInput."""
        with self._reading(set_id):
            return dict(self._facts(set_id).get("report") or {})

    def rename(self, set_id: str, name: str) -> None:
        """Give a set another name. Raises BadInput, UserFacingError."""
        name = checked_name(name)
        with self._changing(set_id, own=True) as folder:
            set_files.write_facts(folder, set_files.read_facts(folder) | {"name": name})

    def delete(self, set_id: str) -> None:
        """Delete a set with its corrections and labellings, damaged or not. Raises BadInput, UserFacingError."""
        if not SET_ID.fullmatch(set_id) or not (self.folder / set_id).is_dir():
            raise _not_there(set_id)
        with disk_errors("The set could not be deleted"):
            doomed = self.folder / f".{os.urandom(8).hex()}.tmp"
            os.rename(self.folder / set_id, doomed)
            shutil.rmtree(doomed)

    def edit(self, set_id: str, index: int, parts: Sequence[Part], *, note: str) -> None:
        """Correct the parts of one trace; `note` says in words what was done. Raises BadInput, UserFacingError."""
        trace = dataclasses.replace(self.trace(set_id, index), parts=tuple(parts))
        with self._changing(set_id) as folder:
            edit = Edit(index=index, note=note, parts=trace.parts, made_at=time.time())
            kept.write_edits(folder, [*kept.read_edits(folder), edit])

    def undo(self, set_id: str) -> Edit:
        """Take back the latest correction and return it. Raises BadInput when there is none, UserFacingError."""
        with self._changing(set_id) as folder:
            edits = kept.read_edits(folder)
            if not edits:
                raise BadInput("There is no correction to take back.", "Relabel a part first.")
            kept.write_edits(folder, edits[:-1])
        return edits[-1]

    def edits(self, set_id: str) -> tuple[Edit, ...]:
        """The corrections of a set, oldest first. Raises BadInput."""
        with self._reading(set_id) as folder:
            return kept.read_edits(folder)

    def save_labels(self, set_id: str, name: str, parts: Sequence[Sequence[Part]]) -> None:
        """Keep a labeller's parts, one sequence per trace of the set; the same name again replaces them.

        Raises BadInput, UserFacingError.
        """
        name, n_traces = checked_name(name), self.info(set_id).n_traces
        if len(parts) != n_traces:
            raise BadInput(f"{len(parts)} traces were labelled, the set has {n_traces}.", "Label the whole set.")
        with self._changing(set_id) as folder:
            kept.write_labelling(folder, name, parts)

    def labellings(self, set_id: str) -> tuple[Labelling, ...]:
        """The labellings of a set, the latest first; its own parts are not among them. Raises BadInput."""
        with self._reading(set_id) as folder:
            return kept.read_labellings(folder)

    def load_labels(self, set_id: str, name: str) -> tuple[Parts, ...]:
        """(n_traces,) the parts of each trace by one labelling. Raises BadInput."""
        with self._reading(set_id) as folder:
            found = kept.read_labelling(folder, checked_name(name))
        if found is None:
            raise BadInput(f"This set has no labelling {name!r}.", "Choose one from the list.")
        return found

    def delete_labels(self, set_id: str, name: str) -> None:
        """Forget a labelling. Raises BadInput, UserFacingError."""
        with self._changing(set_id) as folder:
            kept.delete_labelling(folder, checked_name(name))

    @contextlib.contextmanager
    def _reading(self, set_id: str) -> Iterator[Path]:
        """The set's folder; that of the embedded set may be missing. What is wrong becomes a BadInput."""
        folder = self._path(set_id)
        if set_id != EMBEDDED and not folder.is_dir():
            raise _not_there(set_id)
        try:
            yield folder
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BadInput(
                f"The trace set {set_id} cannot be read: {error}.", "Delete it, and import the file again."
            ) from error

    @contextlib.contextmanager
    def _changing(self, set_id: str, *, own: bool = False) -> Iterator[Path]:
        """The set's folder, held against other writers; `own` refuses the embedded set."""
        if own and set_id == EMBEDDED:
            raise BadInput("The embedded traces have a fixed name.", "Rename a set that you imported.")
        with self._reading(set_id) as folder, disk_errors("The change could not be saved"):
            if set_id == EMBEDDED:
                files.private_folder(self.folder)
                files.private_folder(folder)
            with files.locked_folder(folder):
                yield folder

    def _path(self, set_id: str) -> Path:
        if set_id == EMBEDDED:
            return self.folder / f"embedded-{self._embedded_digest()}"
        if not SET_ID.fullmatch(set_id):
            raise _not_there(set_id)
        return self.folder / set_id

    def _embedded_digest(self) -> str:
        traces = self._embedded()
        if self._digested[0] is not traces:
            self._digested = (traces, digest_of(traces))
        return self._digested[1]

    def _facts(self, set_id: str) -> dict[str, Any]:
        if set_id != EMBEDDED:
            return set_files.read_facts(self._path(set_id))
        traces = self._embedded()
        return facts_of(name=EMBEDDED_NAME, source="traces.jsonl", form=set_files.OWN_FORM) | {
            "saved_at": 0.0,
            "n_traces": len(traces),
            "n_characters": sum(len(trace.text) for trace in traces),
            "counts": _summed(row.counts for row in map(_row, enumerate(traces))),
            "digest": self._embedded_digest(),
        }

    def _read_rows(self, set_id: str, folder: Path, edited: dict[int, Parts]) -> tuple[TraceRow, ...]:
        embedded = set_id == EMBEDDED
        rows = tuple(map(_row, enumerate(self._embedded()))) if embedded else set_files.read_rows(folder)
        return tuple(
            dataclasses.replace(row, counts=dict(Counter(part.label for part in edited[row.index])))
            if row.index in edited
            else row
            for row in rows
        )


def _row(item: tuple[int, Trace]) -> TraceRow:
    return set_files.row_of(item[1], index=item[0])


def _summed(counts: Iterable[dict[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for row in counts:
        total.update(row)
    return dict(total)


def _digest(digest: str, edits: Sequence[Edit]) -> str:
    """The content's identity: that of the imported traces, changed by every correction in force."""
    if not edits:
        return digest
    return hashlib.sha256(repr((digest, sorted(kept.edited_parts(edits).items()))).encode()).hexdigest()


def _not_there(set_id: str) -> BadInput:
    return BadInput(f"There is no trace set {shown_line(str(set_id), 40)!r}.", "Choose one from the list of sets.")
