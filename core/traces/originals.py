"""The traces of a set as they came, before corrections: files of a saved set's folder, or those of the embedded pair.

Both are read by the same methods, so that the caller need not know which it is.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from core.disk import files
from core.errors import BadInput
from core.traces import set_files
from core.traces.events import digest_of
from core.traces.set_files import EMBEDDED, OWN_FORM, SetFacts, TraceRow
from core.values import Trace

EMBEDDED_NAME = "Embedded traces"


@dataclass(frozen=True)
class SavedSet:
    """A set that the user keeps. Its methods raise OSError and DamagedSet."""

    set_id: str
    folder: Path
    """Its traces, and what is laid over them."""
    fixed = False
    """Whether it keeps its name and cannot be deleted."""

    def exists(self) -> bool:
        """Whether there is such a set, damaged or not."""
        return self.folder.is_dir()

    def make_folder(self) -> None:
        """Nothing: the folder came with the set."""

    def facts(self) -> SetFacts:
        """What is known of the whole."""
        return set_files.read_facts(self.folder)

    def rows(self) -> tuple[TraceRow, ...]:
        """(n_traces,) what a list shows of each."""
        return set_files.read_rows(self.folder)

    def traces(self) -> Iterator[Trace]:
        """All traces, one at a time."""
        return set_files.read_traces(self.folder)

    def trace(self, row: TraceRow) -> Trace:
        """The trace of a row."""
        return set_files.read_trace(self.folder, row)


@dataclass(frozen=True)
class EmbeddedSet:
    """The traces that come with the pair; the folder holds what is laid over them and is made with the first of it."""

    parent: Path
    given: tuple[Trace, ...]
    set_id = EMBEDDED
    fixed = True

    @functools.cached_property
    def folder(self) -> Path:
        """Other traces have another folder: corrections of old ones do not fit new ones."""
        return self.parent / f"embedded-{digest_of(self.given)}"

    @functools.cached_property
    def _rows(self) -> tuple[TraceRow, ...]:
        return tuple(set_files.row_of(trace, index=index) for index, trace in enumerate(self.given))

    def exists(self) -> bool:
        """Always; without traces it is an empty set."""
        return True

    def make_folder(self) -> None:
        """Make the folder where it is missing. Raises OSError."""
        files.private_folder(self.parent)
        files.private_folder(self.folder)

    def facts(self) -> SetFacts:
        """What is known of the whole."""
        return SetFacts(
            name=EMBEDDED_NAME,
            source="traces.jsonl",
            form=OWN_FORM,
            saved_at=0.0,
            n_traces=len(self.given),
            n_characters=sum(len(trace.text) for trace in self.given),
            counts=summed(row.counts for row in self.rows()),
            digest=self.folder.name.removeprefix("embedded-"),
        )

    def rows(self) -> tuple[TraceRow, ...]:
        """(n_traces,) what a list shows of each."""
        return self._rows

    def traces(self) -> Iterator[Trace]:
        """All traces, one at a time."""
        return iter(self.given)

    def trace(self, row: TraceRow) -> Trace:
        """The trace of a row."""
        return self.given[row.index]


Original = SavedSet | EmbeddedSet


def summed(counts: Iterable[dict[str, int]]) -> dict[str, int]:
    """Parts per label over all."""
    total: Counter[str] = Counter()
    for row in counts:
        total.update(row)
    return dict(total)


def damage_of(original: Original) -> BadInput:
    """What is said of a set whose files are damaged."""
    if original.fixed:
        return BadInput(
            "The corrections or labellings of the embedded traces are damaged.",
            f"Delete the folder {original.folder.name} of the cache's traces.",
        )
    return BadInput(f"The trace set {original.set_id} is damaged.", "Delete it, and import its file again.")
