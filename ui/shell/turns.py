"""Pages are drawn a few at a time: many at once only take turns in the interpreter, and everybody waits for all.

Streamlit draws each session on a thread of its own. Thirty of them beside the engine made the server's own loop wait
thirty times as long for its turn, while no page was drawn any sooner.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

AT_ONCE = 3


class Turns:
    """Of `at_once` threads; whoever has one keeps it through nested uses."""

    def __init__(self, at_once: int = AT_ONCE) -> None:
        self._free, self._mine = threading.BoundedSemaphore(at_once), threading.local()

    @contextmanager
    def taken(self) -> Iterator[None]:
        """One at a time of those there are, first come, first served."""
        if self._is_mine:
            yield
            return
        with self._free:
            self._mine.held = True
            try:
                yield
            finally:
                self._mine.held = False

    @contextmanager
    def lent(self) -> Iterator[None]:
        """Somebody else's while this thread only waits, if it has one."""
        if not self._is_mine:
            yield
            return
        self._mine.held = False
        self._free.release()
        try:
            yield
        finally:
            self._free.acquire()
            self._mine.held = True

    @property
    def _is_mine(self) -> bool:
        return getattr(self._mine, "held", False)


TURNS = Turns()
