"""Saved sets of traces: the user's data, one folder each, kept until the user deletes them.

The traces that come with the embedded pair are the first set; it can be corrected and labelled like any other, but
neither renamed nor deleted. Several threads and processes may share the folder.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.disk import files
from core.errors import BadInput, UserFacingError
from core.text.lines import shown_line
from core.traces.edits import (
    Edit,
    Labelling,
    Parts,
    corrected,
    delete_labelling,
    digest_with,
    edited_parts,
    read_edits,
    read_labelling,
    read_labellings,
    recounted,
    write_edits,
    write_labelling,
)
from core.traces.originals import EmbeddedSet, Original, SavedSet, damage_of, summed
from core.traces.set_files import (
    EMBEDDED,
    DamagedSet,
    TraceRow,
    TraceSet,
    TraceWriter,
    checked_name,
    disk_errors,
    facts_of,
    write_facts,
)
from core.values import Part, Trace

log = logging.getLogger(__name__)
SET_ID = re.compile(r"[0-9a-f]{12}")
IN_MEMORY_CHARACTERS = 20_000_000
"""A set with no more characters stays in memory after it was loaded, until another one is."""


@dataclass(frozen=True, kw_only=True)
class UnreadableSet:
    """A set that cannot be listed, why, and whether that is for good; what the disk refuses may be read later."""

    set_id: str
    error: UserFacingError
    damaged: bool


class TraceFolder:
    """The sets under `root`/traces."""

    def __init__(self, root: Path, *, embedded: Callable[[], tuple[Trace, ...]] = tuple) -> None:
        self.folder = Path(root).absolute() / "traces"
        self._given = embedded
        self._embedded = EmbeddedSet(self.folder, ())
        self._rows: dict[str, tuple[str, tuple[TraceRow, ...]]] = {}
        self._loaded: tuple[str, tuple[Trace, ...]] = ("", ())
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
        """The embedded set, where there is one, then the saved ones, newest first; unreadable ones are left out."""
        return sorted(self._scan()[0], key=lambda found: (found.embedded, found.saved_at), reverse=True)

    def unreadable(self) -> tuple[UnreadableSet, ...]:
        """The sets that are not listed, by id; their folders are left as they are."""
        return tuple(sorted(self._scan()[1], key=lambda found: found.set_id))

    def info(self, set_id: str) -> TraceSet:
        """One set's line of the list. Raises BadInput, UserFacingError."""
        with self._reading(set_id) as original:
            facts, edits = original.facts(), read_edits(original.folder)
            counts = summed(row.counts for row in self.rows(set_id)) if edits else facts.counts
            return TraceSet(
                set_id=set_id,
                name=facts.name,
                source=facts.source,
                form=facts.form,
                saved_at=facts.saved_at,
                n_traces=facts.n_traces,
                n_characters=facts.n_characters,
                counts=dict(sorted(counts.items(), key=lambda item: (-item[1], item[0]))),
                digest=digest_with(facts.digest, edits),
                n_edits=len(edits),
            )

    def load(self, set_id: str) -> tuple[Trace, ...]:
        """All traces of a set, corrections included. Raises BadInput."""
        info = self.info(set_id)
        if self._loaded[0] == info.digest:
            return self._loaded[1]
        traces = tuple(self.iterate(set_id))
        if info.n_characters <= IN_MEMORY_CHARACTERS:
            self._loaded = (info.digest, traces)
        return traces

    def iterate(self, set_id: str) -> Iterator[Trace]:
        """The traces of a set one at a time, corrections included. Raises BadInput, UserFacingError."""
        with self._reading(set_id) as original:
            edited = edited_parts(read_edits(original.folder))
            for index, trace in enumerate(original.traces()):
                yield corrected(trace, edited.get(index))

    def rows(self, set_id: str) -> tuple[TraceRow, ...]:
        """What a list shows of each trace, corrections included. Raises BadInput, UserFacingError."""
        with self._reading(set_id) as original:
            edits = read_edits(original.folder)
            digest = digest_with(original.facts().digest, edits)
            known = self._rows.get(set_id)
            if known is None or known[0] != digest:
                edited = edited_parts(edits)
                known = (digest, tuple(recounted(row, edited.get(row.index)) for row in original.rows()))
                self._rows[set_id] = known
            return known[1]

    def trace(self, set_id: str, index: int) -> Trace:
        """One trace, corrections included. Raises BadInput for an unknown set or index, UserFacingError."""
        rows = self.rows(set_id)
        if not 0 <= index < len(rows):
            raise BadInput(f"There is no trace {index} in this set of {len(rows)}.", "Choose one from the list.")
        with self._reading(set_id) as original:
            edited = edited_parts(read_edits(original.folder))
            return corrected(original.trace(rows[index]), edited.get(index))

    def report(self, set_id: str) -> dict[str, object]:
        """What the import said about the set, {} where there was none. Raises BadInput, UserFacingError."""
        with self._reading(set_id) as original:
            return original.facts().report or {}

    def rename(self, set_id: str, name: str) -> None:
        """Give a set another name. Raises BadInput, UserFacingError."""
        name = checked_name(name)
        if self._original(set_id).fixed:
            raise BadInput("The embedded traces have a fixed name.", "Rename a set that you imported.")
        with self._changing(set_id) as original:
            write_facts(original.folder, dataclasses.replace(original.facts(), name=name))

    def delete(self, set_id: str) -> None:
        """Delete a set with its corrections and labellings, damaged or not. Raises BadInput, UserFacingError."""
        original = self._original(set_id)
        if original.fixed:
            raise BadInput("The embedded traces cannot be deleted.", "Choose a set that you imported.")
        with disk_errors("The set could not be deleted"):
            doomed = self.folder / f".{os.urandom(8).hex()}.tmp"
            os.rename(original.folder, doomed)
            shutil.rmtree(doomed)

    def edit(self, set_id: str, index: int, parts: Sequence[Part], *, note: str) -> None:
        """Correct the parts of one trace; `note` says in words what was done. Raises BadInput, UserFacingError."""
        trace = dataclasses.replace(self.trace(set_id, index), parts=tuple(parts))
        with self._changing(set_id) as original:
            edit = Edit(index=index, note=note, parts=trace.parts, made_at=time.time())
            write_edits(original.folder, [*read_edits(original.folder), edit])

    def undo(self, set_id: str) -> Edit:
        """Take back the latest correction and return it. Raises BadInput when there is none, UserFacingError."""
        with self._changing(set_id) as original:
            edits = read_edits(original.folder)
            if not edits:
                raise BadInput("There is no correction to take back.", "Relabel a part first.")
            write_edits(original.folder, edits[:-1])
        return edits[-1]

    def edits(self, set_id: str) -> tuple[Edit, ...]:
        """The corrections of a set, oldest first. Raises BadInput."""
        with self._reading(set_id) as original:
            return read_edits(original.folder)

    def save_labels(self, set_id: str, name: str, parts: Sequence[Sequence[Part]]) -> None:
        """Keep a labeller's parts, one sequence per trace of the set; the same name again replaces them.

        Raises BadInput, UserFacingError.
        """
        name, n_traces = checked_name(name), self.info(set_id).n_traces
        if len(parts) != n_traces:
            raise BadInput(f"{len(parts)} traces were labelled, the set has {n_traces}.", "Label the whole set.")
        with self._changing(set_id) as original:
            write_labelling(original.folder, name, parts)

    def labellings(self, set_id: str) -> tuple[Labelling, ...]:
        """The labellings of a set, the latest first; its own parts are not among them. Raises BadInput."""
        with self._reading(set_id) as original:
            return read_labellings(original.folder)

    def load_labels(self, set_id: str, name: str) -> tuple[Parts, ...]:
        """(n_traces,) the parts of each trace by one labelling. Raises BadInput."""
        with self._reading(set_id) as original:
            found = read_labelling(original.folder, checked_name(name))
        if found is None:
            raise BadInput(f"This set has no labelling {name!r}.", "Choose one from the list.")
        return found

    def delete_labels(self, set_id: str, name: str) -> None:
        """Forget a labelling. Raises BadInput, UserFacingError."""
        with self._changing(set_id) as original:
            delete_labelling(original.folder, checked_name(name))

    def _scan(self) -> tuple[Sequence[TraceSet], Sequence[UnreadableSet]]:
        """The sets that can be listed, and those that cannot, in no order."""
        names = [path.name for path in self.folder.iterdir()] if self.folder.is_dir() else []
        ids = [EMBEDDED] if self._given() else []
        good, bad = [], []
        for set_id in ids + [name for name in names if SET_ID.fullmatch(name)]:
            try:
                good.append(self.info(set_id))
            except Exception as error:
                if self._original_of(set_id).exists():
                    bad.append(_unreadable(set_id, error))
        return good, bad

    def _original_of(self, set_id: str) -> Original:
        if set_id != EMBEDDED:
            return SavedSet(set_id, self.folder / set_id)
        if self._embedded.given is not (given := self._given()):
            self._embedded = EmbeddedSet(self.folder, given)
        return self._embedded

    def _original(self, set_id: str) -> Original:
        """The set without what is laid over it. Raises BadInput where there is none of that id."""
        known = set_id == EMBEDDED or SET_ID.fullmatch(set_id)
        if not known or not self._original_of(set_id).exists():
            raise _not_there(set_id)
        return self._original_of(set_id)

    @contextlib.contextmanager
    def _reading(self, set_id: str) -> Iterator[Original]:
        """The set. Damage becomes a BadInput, what the disk refuses a UserFacingError; a fault of ours passes."""
        original = self._original(set_id)
        try:
            yield original
        except (DamagedSet, FileNotFoundError) as error:
            if not original.exists():
                raise _not_there(set_id) from error
            cause = error if isinstance(error, DamagedSet) else DamagedSet("a file is missing")
            raise damage_of(original) from cause
        except (OSError, MemoryError) as error:
            raise UserFacingError(
                f"The trace set {set_id} cannot be read now: {files.refusal_of(error)}.", files.READ_AGAIN
            ) from error

    @contextlib.contextmanager
    def _changing(self, set_id: str) -> Iterator[Original]:
        """The set, held against other writers."""
        with self._reading(set_id) as original, disk_errors("The change could not be saved"):
            original.make_folder()
            with files.locked_folder(original.folder):
                yield original


def _unreadable(set_id: str, error: Exception) -> UnreadableSet:
    damaged = isinstance(error.__cause__, DamagedSet)
    if not isinstance(error, UserFacingError):
        log.error("the trace set %s cannot be listed", set_id, exc_info=error)
        why = f"something went wrong inside Retrace ({type(error).__name__})"
        error = UserFacingError(f"The trace set {set_id} cannot be listed: {why}.", "The log has the details.")
    return UnreadableSet(set_id=set_id, error=error, damaged=damaged)


def _not_there(set_id: str) -> BadInput:
    return BadInput(f"There is no trace set {shown_line(str(set_id), 40)!r}.", "Choose one from the list of sets.")
