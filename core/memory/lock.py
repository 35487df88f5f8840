"""The lock that every use of a model's weights holds, and that ends its use for good when it leaves the memory.

Two models that share a card have one lock between them: whoever enters it finds the weights on the card.
"""

from __future__ import annotations

import threading
import weakref
from typing import Protocol

from core.errors import not_loaded


class Leaver(Protocol):
    """What holds on to a model's place on the card, such as a recorded graph."""

    def leave(self) -> None:
        """Let go of it: the weights go."""


class Place(Protocol):
    """Where the weights of a model are that shares a card with another one."""

    @property
    def is_here(self) -> bool:
        """Whether they are on the card."""

    def come(self) -> None:
        """Bring them there; the caller holds the lock of both."""

    def expect(self) -> None:
        """Note that the next step of the job that runs is at them."""


class ModelLock:
    """Held for each use of a model's weights. Once closed, entering it raises ModelUnavailable."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._gone = ""
        self._place: Place | None = None
        self.leavers: weakref.WeakSet[Leaver] = weakref.WeakSet()
        """Told before the weights leave the card."""

    def share(self, lock: threading.Lock, place: Place) -> None:
        """From now on hold this lock, and find the weights in this place. Before anybody uses the model."""
        self._lock, self._place = lock, place

    def excludes(self, other: ModelLock) -> bool:
        """Whether the two are locks of different models that share a card."""
        return self is not other and self._lock is other._lock

    @property
    def is_away(self) -> bool:
        """Whether the weights have to come to the card first."""
        return self._place is not None and not self._place.is_here

    def expect(self) -> None:
        """Note that the next step of the job that runs is with this model, so that it comes to the card before."""
        if self._place is not None:
            self._place.expect()

    def close(self, name: str) -> None:
        """Let no use of the model of that name begin any more; waits for the one that goes on."""
        with self._lock:
            self._gone, self._place = name, None

    def __enter__(self) -> None:
        self._lock.acquire()
        try:
            if self._gone:
                raise not_loaded(self._gone)
            if self._place is not None:
                self._place.come()
        except BaseException:
            self._lock.release()
            raise

    def __exit__(self, *_: object) -> None:
        self._lock.release()
