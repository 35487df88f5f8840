"""The sums of recent passes: in memory, as every redraw asks for them, and on disk unless too large.

Also what a stopped pass had gathered, so that the next one goes on from there. Knows no model and no torch.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import replace

from core.disk import codec
from core.disk.carried import fields_of_files
from core.disk.store import FILE_SHARE, Store
from core.extraction.moments import Moments, MomentsSpec

AT_LEAST, IN_MEMORY = 2, 2 << 30
"""Newest sums that always stay in memory, so that two models can be compared; bytes up to which more do."""
KIND, UNFINISHED = "moments", "unfinished_moments"


class MomentShelf:
    """Moments by spec. Safe to use from any thread."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._recent: OrderedDict[str, Moments] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def largest_file(self) -> float:
        """Bytes above which sums are kept in memory only, until newer ones take their place."""
        return FILE_SHARE * self._store.limit_bytes

    def get(self, spec: MomentsSpec) -> Moments | None:
        """The sums of an equal spec, or None."""
        key = codec.key_of(KIND, spec)
        with self._lock:
            if key in self._recent:
                self._recent.move_to_end(key)
                return self._recent[key]
        found = self._store.get_file(Moments, KIND, spec)
        if found is not None:
            self._remember(key, found)
        return found

    def stored(self) -> list[MomentsSpec]:
        """The specs of all sums on disk, the latest first; the sums are not read."""
        return fields_of_files(self._store.root, KIND, MomentsSpec, "spec")

    def put(self, moments: Moments) -> bool:
        """Keep the sums; False when the disk did not take them."""
        self._remember(codec.key_of(KIND, moments.spec), moments)
        self._store.delete(UNFINISHED, moments.spec)
        return moments.nbytes <= self.largest_file and self._store.put_file(KIND, moments.spec, moments)

    def unfinished(self, spec: MomentsSpec) -> Moments | None:
        """What a stopped or killed pass of the spec had gathered from its first traces, or None."""
        return self._store.get_file(Moments, UNFINISHED, spec)

    def put_unfinished(self, moments: Moments) -> None:
        """Keep what a pass has gathered so far; rounded, where there is no room for more."""
        if moments.nbytes > self.largest_file:
            moments = replace(moments, exact=None)
        if moments.nbytes <= self.largest_file:
            self._store.put_file(UNFINISHED, moments.spec, moments)

    def unfinished_bytes(self) -> int:
        """Bytes on disk of what all stopped passes had gathered."""
        return self._store.files_bytes(UNFINISHED)

    def free_unfinished(self) -> None:
        """Forget what stopped passes had gathered: they begin anew."""
        self._store.remove_files(UNFINISHED)

    def _remember(self, key: str, moments: Moments) -> None:
        with self._lock:
            self._recent[key] = moments
            self._recent.move_to_end(key)
            while len(self._recent) > AT_LEAST and sum(m.nbytes for m in self._recent.values()) > IN_MEMORY:
                self._recent.popitem(last=False)
