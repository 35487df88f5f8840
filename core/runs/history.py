"""Runs that the user keeps: pinned, noted, or joined to a tree of forks. The user's data, kept until deleted.

Every other finished run is in the store, where it may be trimmed; the history shows both. No model, no torch.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from core.disk import codec
from core.disk.kept import Kept, KeptFiles
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
        """The run of the id, kept or among the newest of the store; None where there is none."""
        found = self.entry(run_id)
        return found.record if found is not None else None

    def entry(self, run_id: str) -> HistoryEntry | None:
        """As `find`, with when it was stored."""
        try:
            return _entry(self._kept.get(run_id))
        except UserFacingError:
            return next((e for e in self.entries() if e.run_id == run_id), None)

    def kept(self, spec: GenerationSpec) -> RunRecord | None:
        """The kept run of a spec, or None."""
        try:
            found = (self._known(_id_of_key(key)) for key in self._store.keys_of("generation", spec))
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


def search(entries: list[HistoryEntry], words: str) -> list[HistoryEntry]:
    """The runs whose question, note, model, device, directions or text hold every one of the words, in any case."""
    wanted = words.casefold().split()
    return [entry for entry in entries if all(word in _text_of(entry.record) for word in wanted)]


def _text_of(record: RunRecord) -> str:
    spec = record.generation.spec
    names = " ".join(edit.direction.name for edit in spec.steering)
    model = f"{spec.model.repo_id} {spec.model.name} {spec.model.device}"
    return f"{spec.prompt.question} {record.note} {model} {names} {record.generation.text}".casefold()


def _entry(kept: Kept[RunRecord]) -> HistoryEntry:
    return HistoryEntry(run_id=kept.item_id, record=kept.value, stored_at=kept.saved_at, kept=True)
