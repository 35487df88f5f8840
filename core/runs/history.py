"""Runs that the user keeps: pinned, noted, or joined to a tree of forks. The user's data, kept until deleted.

Every other finished run is in the store, where it may be trimmed; the history shows both, and which of them were asked
side by side. No model, no torch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from core.disk import codec
from core.disk.kept import ITEM_ID, Kept, KeptFiles
from core.disk.store import Store
from core.errors import BadInput, UserFacingError
from core.runs.values import Generation, GenerationSpec

MAX_NOTE = 1000


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """A kept run: what was generated, the run it was forked from, and what the user says of it."""

    generation: Generation
    parent: str = ""
    """Run id of the run that it was forked from; "" for a run of its own."""
    forked_at: int = 0
    """How many tokens of the parent were kept."""
    pinned_at: float = 0.0
    """When it was pinned, in seconds since 1970; 0 when it is not."""
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class HistoryEntry:
    """A run as the history lists it."""

    run_id: str
    record: RunRecord
    stored_at: float
    kept: bool
    """Whether it is a file of its own, or only in the store, which may trim it."""


def run_id_of(spec: GenerationSpec) -> str:
    """The id of the run that a spec asks for: 20 hex digits of its key."""
    return _id_of_key(codec.key_of("generation", spec))


def _id_of_key(key: str) -> str:
    return key.rpartition("-")[2][:20]


class RunHistory:
    """The kept runs under `root`/history, and those of the store. Safe to use from any thread."""

    def __init__(self, root: Path, store: Store) -> None:
        self._store = store
        self._kept = KeptFiles(Path(root).absolute() / "history", RunRecord, noun="run", again="generate it again")

    def entries(self, limit: int = 200) -> list[HistoryEntry]:
        """Pinned runs first, then all others, newest first; at most `limit` of the store's."""
        found = self._kept_entries()
        for stored in self._store.recent("generation", Generation, limit):
            run_id = run_id_of(stored.value.spec)
            if run_id not in found:
                record = RunRecord(generation=stored.value)
                found[run_id] = HistoryEntry(run_id=run_id, record=record, stored_at=stored.stored_at, kept=False)
        return sorted(found.values(), key=lambda e: (e.record.pinned_at > 0, e.stored_at), reverse=True)

    def find(self, run_id: str) -> RunRecord | None:
        """The run of the id, kept or in the store; None where there is none."""
        found = self.entry(run_id)
        return found.record if found is not None else None

    def entry(self, run_id: str) -> HistoryEntry | None:
        """As `find`, with when it was stored."""
        try:
            return _entry(self._kept.get(run_id))
        except UserFacingError:
            if not ITEM_ID.fullmatch(run_id):
                return None
        for stored in self._store.recent("generation", Generation, 1, digits=run_id):
            record = RunRecord(generation=stored.value)
            return HistoryEntry(run_id=run_id, record=record, stored_at=stored.stored_at, kept=False)
        return next((entry for entry in self.entries() if entry.run_id == run_id), None)

    def pinned_ids(self) -> frozenset[str]:
        """The ids of all pinned runs."""
        return frozenset(run_id for run_id, entry in self._kept_entries().items() if entry.record.pinned_at)

    def kept(self, spec: GenerationSpec) -> RunRecord | None:
        """The kept run of a spec, or None."""
        return self.kept_by(self._store.keys_of("generation", spec))

    def kept_by(self, keys: Iterable[str]) -> RunRecord | None:
        """As `kept`, for the keys that the store has for the spec."""
        try:
            found = (self._known(_id_of_key(key)) for key in keys)
            known = next((kept for kept in found if kept is not None), None)
        except UserFacingError:
            return None
        return known.value if known else None

    def keep(self, generation: Generation, *, parent: Generation | None = None, forked_at: int = 0) -> str:
        """Keep a run, with its parent where it is a fork, and return its id; a kept run keeps note and pin.

        Raises UserFacingError when the disk refuses it.
        """
        run_id = run_id_of(generation.spec)
        above = self.keep(parent) if parent is not None else ""
        known = self._known(run_id)
        record = replace(known.value, generation=generation) if known else RunRecord(generation=generation)
        if above and above != run_id:
            record = replace(record, parent=above, forked_at=forked_at)
        if known is None or record != known.value:
            self._put(run_id, record, known)
        return run_id

    def pin(self, generation: Generation, when: float) -> None:
        """Pin a run at that time, or with 0 unpin it. Raises UserFacingError as `keep`."""
        self._change(generation, pinned_at=when)

    def annotate(self, generation: Generation, note: str) -> None:
        """Set the note of a run. Raises UserFacingError as `keep`."""
        self._change(generation, note=note[:MAX_NOTE])

    def delete(self, spec: GenerationSpec) -> None:
        """Forget a run, kept or stored; its forks stay."""
        run_id = run_id_of(spec)
        if self._known(run_id) is not None:
            self._kept.delete(run_id)
        self._store.delete("generation", spec)
        self._store.delete("unfinished", spec)

    def tree(self, run_id: str) -> list[tuple[int, HistoryEntry]]:
        """(depth, run) of every run of the tree of forks that the run belongs to, parents before their forks."""
        found = self._kept_entries()
        if run_id not in found:
            return []
        root, seen = run_id, {run_id}
        while (above := found[root].record.parent) in found and above not in seen:
            root = above
            seen.add(root)
        children: dict[str, list[HistoryEntry]] = {}
        for entry in sorted(found.values(), key=lambda e: (e.record.forked_at, e.stored_at)):
            children.setdefault(entry.record.parent, []).append(entry)
        rows, waiting, drawn = [], [(0, found[root])], set()
        while waiting:
            depth, entry = waiting.pop()
            if entry.run_id not in drawn:
                drawn.add(entry.run_id)
                rows.append((depth, entry))
                waiting += [(depth + 1, child) for child in reversed(children.get(entry.run_id, []))]
        return rows

    def _kept_entries(self) -> dict[str, HistoryEntry]:
        return {kept.item_id: _entry(kept) for kept in self._kept.scan()[0]}

    def _change(self, generation: Generation, **changes: object) -> None:
        run_id = self.keep(generation)
        known = self._kept.get(run_id)
        self._put(run_id, replace(known.value, **changes), known)  # type: ignore[arg-type]

    def _known(self, run_id: str) -> Kept[RunRecord] | None:
        """The kept run, or None where there is none or its file is damaged. Raises UserFacingError as the disk does."""
        try:
            return self._kept.get(run_id)
        except BadInput:
            return None

    def _put(self, run_id: str, record: RunRecord, known: Kept[RunRecord] | None) -> None:
        self._kept.put(run_id, record, title="run", saved_at=known.saved_at if known else None)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Runs that were asked side by side."""

    question: str
    run_ids: tuple[str, ...]
    """(n_lanes,) in the order of the lanes."""

    @property
    def comparison_id(self) -> str:
        """20 hex digits that follow from the lanes: the same lanes asked again are the same comparison."""
        return hashlib.sha256("\n".join(self.run_ids).encode()).hexdigest()[:20]


@dataclass(frozen=True, kw_only=True)
class ComparisonEntry:
    """A comparison as the history lists it."""

    comparison: Comparison
    asked_at: float
    """When it was asked last, in seconds since 1970."""
    pinned: bool
    """Whether every one of its runs is."""


class Comparisons:
    """Pinned ones are files under `root`/comparisons, all others are in the store. Safe to use from any thread."""

    def __init__(self, root: Path, store: Store, history: RunHistory) -> None:
        self._store, self._history = store, history
        folder = Path(root).absolute() / "comparisons"
        self._kept = KeptFiles(folder, Comparison, noun="comparison", again="run its lanes again")

    def note(self, specs: Sequence[GenerationSpec]) -> None:
        """These lanes are asked side by side now."""
        if specs:
            found = comparison_of(specs)
            self._store.put("comparison", found, found)

    def entries(self, limit: int = 200) -> list[ComparisonEntry]:
        """Pinned ones first, then all others, the one that was asked last first; at most `limit` of the store's."""
        asked = {kept.value: kept.saved_at for kept in self._kept.scan()[0]}
        asked |= {stored.value: stored.stored_at for stored in self._store.recent("comparison", Comparison, limit)}
        pinned = self._history.pinned_ids()
        entries = [
            ComparisonEntry(comparison=one, asked_at=at, pinned=pinned.issuperset(one.run_ids))
            for one, at in asked.items()
        ]
        return sorted(entries, key=lambda entry: (entry.pinned, entry.asked_at), reverse=True)

    def records(self, comparison: Comparison) -> list[RunRecord]:
        """Its runs in their order; one that is gone, or was never finished, is left out."""
        found = (self._history.find(run_id) for run_id in comparison.run_ids)
        return [record for record in found if record is not None]

    def pin(self, generations: Sequence[Generation], when: float) -> None:
        """Pin all these lanes at that time, or with 0 unpin them. Raises UserFacingError when the disk refuses it."""
        for generation in generations:
            self._history.pin(generation, when)
        found = comparison_of([generation.spec for generation in generations])
        if when:
            self._kept.put(found.comparison_id, found, title=found.question[:60])
        elif self._is_kept(found):
            self.note([generation.spec for generation in generations])
            self._kept.delete(found.comparison_id)

    def delete(self, comparison: Comparison) -> None:
        """Forget that these runs were asked together; the runs stay."""
        self._store.delete("comparison", comparison)
        if self._is_kept(comparison):
            self._kept.delete(comparison.comparison_id)

    def _is_kept(self, comparison: Comparison) -> bool:
        return any(kept.item_id == comparison.comparison_id for kept in self._kept.scan()[0])


def comparison_of(specs: Sequence[GenerationSpec]) -> Comparison:
    """The comparison of these lanes, of which there is at least one."""
    return Comparison(question=specs[0].prompt.question, run_ids=tuple(map(run_id_of, specs)))


def search(entries: list[HistoryEntry], words: str) -> list[HistoryEntry]:
    """The runs that hold every one of the words."""
    return [entry for entry in entries if holds(entry.record, words)]


def holds(record: RunRecord, words: str) -> bool:
    """Whether question, note, model, device, directions or text hold every one of the words, in any case."""
    text = _text_of(record)
    return all(word in text for word in words.casefold().split())


def _text_of(record: RunRecord) -> str:
    spec = record.generation.spec
    names = " ".join(edit.direction.name for edit in spec.steering)
    model = f"{spec.model.repo_id} {spec.model.name} {spec.model.device}"
    return f"{spec.prompt.question} {record.note} {model} {names} {record.generation.text}".casefold()


def _entry(kept: Kept[RunRecord]) -> HistoryEntry:
    return HistoryEntry(run_id=kept.item_id, record=kept.value, stored_at=kept.saved_at, kept=True)
