"""The sums of recent passes: in memory, as every redraw asks for them, and on disk; large ones there layer by layer.

Also what a stopped pass had gathered, so that the next one goes on from there. Knows no model and no torch.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import TypeVar

from core.disk import codec
from core.disk.carried import fields_of_files
from core.disk.parts import HEAD, Parts
from core.disk.store import TRIM_TO, Store
from core.errors import BadInput
from core.extraction.layers import ExactLayer, HalfLayer, HalfRow, Head, OpenLayer, Unfinished, layer_name
from core.extraction.moments import Gathered, LayerSums, Moments, MomentsSpec, Need, bytes_needed
from core.settings import STORE

AT_LEAST, IN_MEMORY = 2, 2 << 30
"""Newest sums that always stay in memory, so that two models can be compared; bytes up to which more do."""
OPEN_LAYERS = 3
"""Layers of a large pass that stay in memory: the one that is looked at, and its neighbours."""
KIND, UNFINISHED = "moments", "unfinished_moments"

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class OnDisk(Head):
    """A large pass on disk: a layer is read when it is asked for. Safe to use from any thread."""

    parts: Parts
    _open: OrderedDict[int, OpenLayer] = field(default_factory=OrderedDict, repr=False, compare=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def layer(self, i: int) -> LayerSums:
        with self._lock:
            if i not in self._open:
                layer = self.spec.layers[i]
                kept = _part(self.parts, HalfLayer, layer)
                self._open[i] = OpenLayer(kept, self, lambda row: _part(self.parts, HalfRow, layer, row))
            self._open.move_to_end(i)
            while len(self._open) > OPEN_LAYERS:
                self._open.popitem(last=False)
            return self._open[i]


@dataclass(frozen=True, kw_only=True)
class Stopped(Unfinished):
    """What a large pass had gathered when it was stopped or killed, on disk."""

    parts: Parts

    def exact(self, i: int) -> ExactLayer:
        return _part(self.parts, ExactLayer, self.spec.layers[i])


def _part(parts: Parts, cls: type[T], layer: int, row: int | None = None) -> T:
    found = parts.load(cls, layer_name(layer, row))
    if found is None:
        raise BadInput(f"The sums of layer {layer} are not in the store any more, or damaged.", "Extract again.")
    return found


class MomentShelf:
    """Sums of passes by spec. Safe to use from any thread."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._recent: OrderedDict[str, Gathered] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def largest_file(self) -> int:
        """Bytes above which sums in one file are kept in memory only, until newer ones take their place."""
        return self._store.largest_file

    def room(self) -> int:
        """Bytes that the disk has free for sums."""
        return self._store.room()

    @property
    def most_kept(self) -> int:
        """Bytes of finished sums that the store keeps; beyond them the oldest would make way at once."""
        return int(TRIM_TO * self._store.limit_bytes)

    def check_room(self, need: Need, *, n_models: int = 1) -> None:
        """Raise BadInput for a pass whose sums the disk or the store would not hold, so that it could be lost."""
        kept, free = n_models * need.kept, self.room()
        if kept + need.unfinished > free:
            raise BadInput(
                f"This takes {_gb(kept + need.unfinished)} of disk: {_gb(need.unfinished)} while it runs, so that it "
                f"can be stopped and go on, and {_gb(kept)} for good. {_gb(free)} are free.",
                "Free some space, or choose fewer labels, layers or offsets.",
            )
        if kept > self.most_kept:
            raise BadInput(
                f"This keeps {_gb(kept)}, and results may take {_gb(self._store.limit_bytes)}.",
                f"Set {STORE} to more, or choose fewer labels, layers or offsets.",
            )

    def get(self, spec: MomentsSpec) -> Gathered | None:
        """The sums of an equal spec, or None."""
        key = codec.key_of(KIND, spec)
        with self._lock:
            if key in self._recent:
                self._recent.move_to_end(key)
                return self._recent[key]
        found: Gathered | None = self._opened(KIND, spec, OnDisk)
        found = found or self._store.get_file(Moments, KIND, spec)
        if found is not None:
            self._remember(key, found)
        return found

    def stored(self) -> list[MomentsSpec]:
        """The specs of all sums on disk, the latest first; the sums are not read."""
        return fields_of_files(self._store.root, KIND, MomentsSpec, "spec")

    def put(self, gathered: Gathered) -> bool:
        """Keep the sums; False when the disk did not take them, and they stay in memory only."""
        spec = gathered.spec
        kept: Gathered | None
        if isinstance(gathered, Unfinished):
            done = self._put_layers(gathered)
            kept = self._opened(KIND, spec, OnDisk) if done else gathered.whole()
        else:
            kept = gathered
            done = gathered.nbytes <= self.largest_file and self._store.put_file(KIND, spec, gathered)
        if kept is not None:
            self._remember(codec.key_of(KIND, spec), kept)
        self._store.delete(UNFINISHED, spec)
        return done

    def _put_layers(self, gathered: Unfinished) -> bool:
        head = Head.of(gathered)
        n_bytes = _need(gathered).kept
        made = (part for parts in (((HEAD, head),), gathered.halves()) for part in parts)
        return self._store.put_parts(KIND, gathered.spec, made, stage=gathered.n_traces, n_bytes=n_bytes)

    def unfinished(self, spec: MomentsSpec) -> Gathered | None:
        """What a stopped or killed pass of the spec had gathered from its first traces, or None."""
        found: Gathered | None = self._opened(UNFINISHED, spec, Stopped)
        return found or self._store.get_file(Moments, UNFINISHED, spec)

    def put_unfinished(self, gathered: Gathered) -> None:
        """Keep what a pass has gathered so far; of one file, rounded where there is no room for more."""
        if isinstance(gathered, Unfinished):
            made = (part for parts in (((HEAD, Head.of(gathered)),), gathered.exacts()) for part in parts)
            n_bytes = _need(gathered).unfinished // 2
            self._store.put_parts(UNFINISHED, gathered.spec, made, stage=gathered.n_traces, n_bytes=n_bytes)
        elif isinstance(gathered, Moments):
            if gathered.nbytes > self.largest_file:
                gathered = replace(gathered, exact=None)
            if gathered.nbytes <= self.largest_file:
                self._store.put_file(UNFINISHED, gathered.spec, gathered)

    def unfinished_bytes(self) -> int:
        """Bytes on disk of what all stopped passes had gathered."""
        return self._store.files_bytes(UNFINISHED)

    def free_unfinished(self) -> None:
        """Forget what stopped passes had gathered: they begin anew."""
        self._store.remove_files(UNFINISHED)

    def finished_bytes(self) -> int:
        """Bytes on disk of the sums of finished passes."""
        return self._store.files_bytes(KIND)

    def free_finished(self) -> None:
        """Forget the sums of finished passes; saved directions stay."""
        with self._lock:
            self._recent.clear()
        self._store.remove_files(KIND)

    def _opened(self, kind: str, spec: MomentsSpec, build: Callable[..., T]) -> T | None:
        parts = self._store.parts(kind, spec)
        head = parts.load(Head, HEAD) if parts else None
        return build(**{f.name: getattr(head, f.name) for f in fields(Head)}, parts=parts) if head else None

    def _remember(self, key: str, gathered: Gathered) -> None:
        with self._lock:
            self._recent[key] = gathered
            self._recent.move_to_end(key)
            while len(self._recent) > AT_LEAST and sum(m.nbytes for m in self._recent.values()) > IN_MEMORY:
                self._recent.popitem(last=False)


def _gb(n_bytes: int) -> str:
    return f"{n_bytes / 1e9:.1f} GB"


def _need(gathered: Gathered) -> Need:
    return bytes_needed(gathered.spec, gathered.d_model)
