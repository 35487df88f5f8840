"""The cells of points: found in the store, made here, or waited for while another process on the store makes them."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Collection, Generator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

from core.disk import codec
from core.disk.leases import Leases
from core.disk.store import Store
from core.experiments.points import Setting, Want
from core.fleet.foreman import Foreman, Order, model_key
from core.fleet.hands import Task
from core.jobs import Progress, relay, rest
from core.models.pair import PairHolder
from core.runs import cells
from core.runs.cells import DoseCell, DoseCellSpec
from core.runs.work import run_cell
from core.values import Kinds, ModelSpec, Spec

Said = Callable[[str], Progress]
"""What is shown while something is done: the progress with its message."""
KIND, _ = cells.KINDS[DoseCellSpec]
LOOK_EVERY = 0.1
"""Seconds after which it is looked again what others have made."""
MOST_AHEAD = 100
"""Cells among which one is looked for that a worker can make with the model that it holds."""
LEASES = "leases"
"""Folder of the store, for what is being made."""


@dataclass(frozen=True, kw_only=True)
class SpeedSpec(Spec["Speed"]):
    """How fast a model writes on this machine."""

    model: ModelSpec
    fingerprint: str
    device: str


@dataclass(frozen=True, kw_only=True)
class Speed:
    """New tokens per second over the cells that were run last."""

    tokens_per_second: float


KINDS: Kinds = {SpeedSpec: ("speed", Speed)}


class CellWork:
    """Makes the cells of one plan. Every process that is given the same plan makes those that no other is at.

    With a foreman its workers make them, and this process alone writes.
    """

    def __init__(
        self, store: Store, pair: PairHolder, setting: Setting, tokens: int, foreman: Foreman | None = None
    ) -> None:
        self._store, self._pair, self._setting, self._foreman = store, pair, setting, foreman
        self._leases = Leases(store.root / LEASES)
        self._left, self._made = tokens, 0
        self._since, self._since_on_disk = time.monotonic(), time.time()
        self._known: set[str] = set()
        """Keys of cells that were seen in the store."""
        self._given: dict[str, tuple[DoseCellSpec, ExitStack]] = {}
        """By key, the cells that workers are at, with their leases."""

    @property
    def seconds_left(self) -> float:
        """At the pace of all who have made cells since this began; nan before there is one."""
        if not self._made or self._left <= 0:
            return math.nan
        return self._left * (time.monotonic() - self._since) / self._made

    def of(self, want: Want, said: Said) -> Generator[Progress, None, list[DoseCell]]:
        """The cells of a point, in order."""
        message = f"{want.arm.name} into the {want.arm.target} at {want.coefficient:.3g}"
        asked = {codec.key_of(KIND, spec): spec for spec in self._setting.cells(want)}
        made: dict[str, DoseCell] = {}
        while True:
            found = {key: made.get(key) or self._store.get(DoseCell, KIND, spec) for key, spec in asked.items()}
            there = [cell for cell in found.values() if cell is not None]
            if len(there) == len(asked):
                break
            new = yield from relay(self._make_one(want, made.keys()), lambda _: said(message))
            made |= new
            if not new:
                where = self._foreman.where if self._foreman else "in another process"
                yield from rest(said(f"{message}, {where}"), LOOK_EVERY)
        for cell in there:
            self._count(cell.spec)
        return there

    def _make_one(self, want: Want, made: Collection[str]) -> Generator[Progress, None, dict[str, DoseCell]]:
        """Make the first cell, of this point or of those to come, that is not there and that nobody is at.

        `made` are those of this point that were made here: the disk need not have kept them.
        """
        if self._foreman is not None:
            return self._have_made(self._foreman, want, made)
        for key, spec in self._open(want, made):
            with self._leases.taken(key) as is_ours:
                if self._store.get(DoseCell, KIND, spec) is not None:
                    self._known.add(key)
                elif is_ours:
                    return {key: (yield from self._make(spec))}
        return {}

    def _open(self, want: Want, made: Collection[str]) -> Iterator[tuple[str, DoseCellSpec]]:
        """Cells of this point, then of those to come, that were not made yet as far as is known here."""
        for one in (want, *want.ahead):
            for spec in self._setting.cells(one):
                key = codec.key_of(KIND, spec)
                if key not in made and (one is want or key not in self._known):
                    yield key, spec

    def _have_made(self, foreman: Foreman, want: Want, made: Collection[str]) -> dict[str, DoseCell]:
        """Give workers what they have room for, and keep what came back. Raises what `Foreman` raises."""
        self._share_out(foreman, want, made)
        found: dict[str, DoseCell] = {}
        for key, data in foreman.take().items():
            spec, lease = self._given.pop(key)
            with lease:
                found[key] = cell = codec.load(DoseCell, data)
                assert cell.spec == spec, "a worker made another cell"
                self._store.put(KIND, spec, cell)
        return found

    def _share_out(self, foreman: Foreman, want: Want, made: Collection[str]) -> None:
        """Give each worker the next cells of the model that it holds; where there are none it changes its model.

        A model that none holds is waited for: the first worker that has nothing to do takes it.
        """
        for changing in (False, True):
            for key, spec in itertools.islice(self._open(want, made), MOST_AHEAD):
                if key in self._given:
                    continue
                model = model_key(spec.model, spec.fingerprint)
                if foreman.has_room(model, changing=changing):
                    self._hand_out(foreman, key, spec, changing)
                elif foreman.is_full or not foreman.holds(model):
                    return

    def _hand_out(self, foreman: Foreman, key: str, spec: DoseCellSpec, changing: bool) -> None:
        """Have a worker make the cell, unless it is there or another process is at it."""
        with ExitStack() as lease:
            is_ours = lease.enter_context(self._leases.taken(key))
            if self._store.get(DoseCell, KIND, spec) is not None:
                self._known.add(key)
            elif is_ours:
                model = model_key(spec.model, spec.fingerprint)
                order = Order(key=key, model=model, task=Task(does="cell", data=codec.dump(spec)))
                if foreman.give(order, changing=changing):
                    self._given[key] = (spec, lease.pop_all())

    def close(self) -> None:
        """Give back the leases of what workers are still at."""
        for _, lease in self._given.values():
            lease.close()
        self._given.clear()

    def _make(self, spec: DoseCellSpec) -> Generator[Progress, None, DoseCell]:
        loaded, started = self._pair.model_of(spec.model, spec.fingerprint), time.monotonic()
        cell = yield from run_cell(loaded, spec, batch=len(spec.prompts))
        self._store.put(KIND, spec, cell)
        speed = Speed(tokens_per_second=tokens_of(spec) / max(time.monotonic() - started, 1e-6))
        asked = SpeedSpec(model=spec.model, fingerprint=spec.fingerprint, device=spec.model.device)
        self._store.put("speed", asked, speed)
        return cell

    def _count(self, spec: DoseCellSpec) -> None:
        """Take the cell off what is left, and see whether it was made since this began, by whomever."""
        self._left -= tokens_of(spec)
        stamp = self._store.stamp(KIND, spec)
        self._made += tokens_of(spec) if stamp is not None and stamp.saved_at >= self._since_on_disk else 0


def tokens_of(spec: DoseCellSpec) -> int:
    """New tokens of a cell at most."""
    return len(spec.prompts) * spec.sampling.max_new_tokens
