"""What a visitor of a shared server may do with the workbench: read what is kept, and short runs on the loaded pair.

A view of the workbench in which everything that is not named here is refused, whatever is added to it later.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NoReturn, cast

from core.attribution.readouts import SteeredSpec, StreamLensSpec
from core.attribution.values import AttributionSpec, DirectionLens, DivergenceSpec, LensSpec, ReadingSpec
from core.errors import BadInput, NotAllowed
from core.jobs import NOBODY, Caller, JobId, Snapshot
from core.runs.values import Generation, GenerationSpec, LaneKL, LaneKLSpec
from core.traces.coverage import EventTable
from core.values import T

if TYPE_CHECKING:
    from core.models.pair import Role
    from core.runs.history import ComparisonEntry, Comparisons, HistoryEntry, RunHistory
    from core.workbench import Workbench

MOST_TOKENS, MOST_LANES, LONGEST_TEXT = 256, 3, 2048
"""New tokens of a visitor's run, its lanes, and the tokens of a prompt or of a text that is read."""
SHORT_READINGS = (AttributionSpec, SteeredSpec, StreamLensSpec, DivergenceSpec)
"""What takes a forward pass or two."""

_PAIR = """devices spec facts looks_swapped readers template encode frame continuation read locate keyword_forms pieces
role_of holds loaded memory_taken moves"""
_STORE = """get get_file get_by_key keys_of parts room taken stamp files_bytes size_bytes room_bytes limit_bytes
largest_file warning root"""
_FOLDERS = {
    "moments": "get stored unfinished room most_kept check_room largest_file unfinished_bytes finished_bytes",
    "directions": "list broken load",
    "mean_vectors": "list broken load",
    "trace_sets": "list unreadable info load iterate rows trace report edits labellings load_labels",
    "journal": "",
    "history": "find kept",
    "experiments": "list plan outcome",
    "remembered": "list",
    "talk": "read",
    "finetunes": "list",
    "series": "list plan load",
    "fetching": "",
    "pair_hold": "kept_by check",
    "comparisons": "records",
}
"""By part of the workbench, what reads."""
_OWN = "cached unfinished cell cost"


def forbidden(what: str = "That") -> NotAllowed:
    """The error of what visitors may not do."""
    return NotAllowed(f"{what} is the speaker's to do.", "Visitors read what is kept here, and make short runs.")


def _refuse(*_: object, **__: object) -> NoReturn:
    raise forbidden()


class _View:
    """The named parts of an object. Other methods are refused when they are called, other values at once."""

    def __init__(self, what: object, names: str) -> None:
        self._what, self._names = what, frozenset(names.split())

    def __getattr__(self, name: str) -> object:
        found: object = getattr(self._what, name)
        if name in self._names:
            return found
        if callable(found):
            return _refuse
        raise forbidden()


class _Store(_View):
    """Values by their spec; what others asked of late is not listed."""

    def recent(self, *_: object) -> list[object]:
        return []


class _Journal(_View):
    """Interrupted runs are the speaker's to go on with."""

    def interrupted(self) -> list[object]:
        return []


class _History(_View):
    """Of the kept runs those that were pinned to be shown."""

    def __init__(self, what: RunHistory, names: str) -> None:
        super().__init__(what, names)
        self._history = what

    def entries(self, limit: int = 200) -> list[HistoryEntry]:
        return [entry for entry in self._history.entries(limit) if entry.record.pinned_at > 0]

    def tree(self, _: str) -> list[object]:
        return []


class _Comparisons(_View):
    """As with runs; what a visitor asks joins no list of the speaker's."""

    def __init__(self, what: Comparisons, names: str) -> None:
        super().__init__(what, names)
        self._comparisons = what

    def entries(self, limit: int = 200) -> list[ComparisonEntry]:
        return [entry for entry in self._comparisons.entries(limit) if entry.pinned]

    def note(self, _: Sequence[GenerationSpec]) -> None:
        return None


class _Hold(_View):
    """A visitor keeps no pair, and so releases none."""

    def release(self, _: Caller) -> None:
        return None


class _Engine(_View):
    """Every job may be looked at; only the visitor's own be kept alive or stopped."""

    def __init__(self, bench: Workbench, guest: str) -> None:
        super().__init__(bench.engine, "snapshot live wait wait_for_partial")
        self._engine, self._guest = bench.engine, guest

    def left(self) -> list[Snapshot[object]]:
        return []

    def stop(self, job_id: str) -> None:
        self._check(job_id)
        self._engine.stop(job_id)

    def watch(self, job_id: str, caller: Caller) -> None:
        self._check(job_id)
        self._engine.watch(job_id, dataclasses.replace(caller, guest=self._guest))

    def _check(self, job_id: str) -> None:
        if not self._engine.is_of(job_id, self._guest):
            raise forbidden("Another's run")


class _Guest(_View):
    """The workbench as one visitor has it; `note` is told what was asked."""

    def __init__(self, bench: Workbench, guest: str, note: Callable[[Sequence[GenerationSpec]], None]) -> None:
        super().__init__(bench, _OWN)
        self._bench, self._guest, self._note = bench, guest, note
        self.pair, self.store = _View(bench.pair, _PAIR), _Store(bench.store, _STORE)
        self.engine, self.journal = _Engine(bench, guest), _Journal(bench.journal, "")
        self.history = _History(bench.history, _FOLDERS["history"])
        self.comparisons = _Comparisons(bench.comparisons, _FOLDERS["comparisons"])
        self.pair_hold = _Hold(bench.pair_hold, _FOLDERS["pair_hold"])
        for name in _FOLDERS.keys() - {"journal", "history", "comparisons", "pair_hold"}:
            setattr(self, name, _View(getattr(bench, name), _FOLDERS[name]))

    def generate(self, specs: Sequence[GenerationSpec], caller: Caller = NOBODY) -> JobId[tuple[Generation, ...]]:
        check_run(specs)
        found = self._bench.generate(specs, self._as(caller))
        self._note(specs)
        return found

    def fork(
        self, parent: Generation, spec: GenerationSpec, at: int, caller: Caller = NOBODY
    ) -> JobId[tuple[Generation, ...]]:
        check_run([spec])
        found = self._bench.fork(parent, spec, at, self._as(caller))
        self._note([spec])
        return found

    def compare_lanes(self, spec: LaneKLSpec, caller: Caller = NOBODY) -> JobId[LaneKL]:
        check_run([spec.lane, spec.reference])
        _check_text(len(spec.token_ids))
        return self._bench.compare_lanes(spec, self._as(caller))

    def attribute(self, spec: ReadingSpec[T], caller: Caller = NOBODY) -> JobId[T]:
        _check_reading(spec)
        return self._bench.attribute(spec, self._as(caller))

    def read_direction(self, spec: LensSpec, caller: Caller = NOBODY) -> JobId[DirectionLens]:
        return self._bench.read_direction(spec, self._as(caller))

    def table_events(self, set_id: str, label: str, role: Role, caller: Caller = NOBODY) -> JobId[EventTable]:
        return self._bench.table_events(set_id, label, role, self._as(caller))

    def _as(self, caller: Caller) -> Caller:
        return dataclasses.replace(caller, guest=self._guest)


def as_guest(bench: Workbench, guest: str, note: Callable[[Sequence[GenerationSpec]], None]) -> Workbench:
    """The workbench as the visitor of this name has it."""
    return cast("Workbench", _Guest(bench, guest, note))


def check_run(specs: Sequence[GenerationSpec]) -> None:
    """Raises BadInput for a run that is too long for a visitor."""
    if len(specs) > MOST_LANES:
        raise BadInput(f"This run has {len(specs)} lanes.", f"A visitor's run has at most {MOST_LANES}.")
    longest = max((spec.sampling.max_new_tokens for spec in specs), default=0)
    if longest > MOST_TOKENS:
        raise BadInput(f"{longest:,} new tokens were asked for.", f"A visitor's run has at most {MOST_TOKENS}.")
    _check_text(max((len(spec.prompt.token_ids) for spec in specs), default=0))


def _check_reading(spec: object) -> None:
    if not isinstance(spec, SHORT_READINGS):
        raise forbidden("A reading that takes many passes")
    text = spec.reading if isinstance(spec, SteeredSpec) else spec.text if isinstance(spec, DivergenceSpec) else spec
    _check_text(len(text.token_ids))


def _check_text(n: int) -> None:
    if n > LONGEST_TEXT:
        raise BadInput(f"The text has {n:,} tokens.", f"A visitor's text has at most {LONGEST_TEXT:,}.")


def allowed() -> Mapping[str, frozenset[str]]:
    """What reads, by part of the workbench; for tests, which hold it against the workbench itself."""
    parts = {"pair": _PAIR, "store": _STORE, **_FOLDERS, "": _OWN}
    return {name: frozenset(names.split()) for name, names in parts.items()}
