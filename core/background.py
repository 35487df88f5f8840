"""Work on a thread of its own, which a generator follows: an engine steps other jobs meanwhile.

The work says how far it is, ends soon after nobody follows it any more, and can ask to be alone for a moment. Knows
neither models nor jobs.
"""

from __future__ import annotations

import gc
import math
import threading
import time
import traceback
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from core.jobs import Progress
from core.values import T

_LOOK_EVERY = 0.02


class Stopped(BaseException):
    """Nobody wants the work any more. No Exception, so that no library takes it for a fault of its own."""


class Tell(Protocol):
    """Says what is being done and, where it is known, the share of it that is done. Raises Stopped after a stop."""

    def __call__(self, message: str, share: float | None = None, /) -> None:
        """Note both; what stands before a colon is the step of the work that the share is of."""


def silent(message: str, share: float | None = None, /) -> None:
    """The `Tell` of work that nobody follows."""


class Errand:
    """What the work may use: `tell`, and `alone`."""

    def __init__(self) -> None:
        self._said = Progress(0, 0, waiting=True)
        self._begun = ("", 0.0, 0.0)
        """The present step of the work, when it first had a share, and that share."""
        self._wish: _Wish | None = None
        self._stopped = threading.Event()

    def tell(self, message: str, share: float | None = None, /) -> None:
        """A `Tell`: to be called often."""
        if self._stopped.is_set():
            raise Stopped
        left = math.nan if share is None else self._seconds_left(message.partition(":")[0], share)
        self._said = Progress(share or 0.0, 1.0, message, waiting=True, seconds_left=left)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """No job takes a step before the block is left: for what changes the whole process for a moment."""
        wish = self._wish = _Wish()
        try:
            while not wish.granted.wait(_LOOK_EVERY):
                if self._stopped.is_set():
                    raise Stopped
            yield
        finally:
            self._wish = None
            wish.over.set()

    def step(self) -> Progress:
        """What was told last; waits while the work wants to be alone. To be called by the one who follows."""
        wish = self._wish
        if wish is not None:
            wish.granted.set()
            wish.over.wait()
        return self._said

    def stop(self) -> None:
        """Let the next `tell` raise Stopped."""
        self._stopped.set()

    def _seconds_left(self, step: str, share: float) -> float:
        """From how fast the share has grown since the step began; nan before there is anything to go by."""
        now = time.monotonic()
        if step != self._begun[0]:
            self._begun = (step, now, share)
        _, since, first = self._begun
        return (now - since) * (1 - share) / (share - first) if share > first and now - since > 1 else math.nan


@dataclass(frozen=True)
class _Wish:
    """To be alone: granted by the one who follows, over when the work says so."""

    granted: threading.Event = field(default_factory=threading.Event)
    over: threading.Event = field(default_factory=threading.Event)


class Background:
    """One piece of work at a time: the next one waits until the thread of the last is through."""

    def __init__(
        self,
        name: str,
        *,
        clean: Callable[[], None] = lambda: None,
        busy: str = "waiting for what was stopped to end",
    ) -> None:
        """`clean` is called on the thread after work that failed or was stopped, when nothing of it is held.

        `busy` is what the next one says while it waits.
        """
        self._name, self._clean, self._busy = name, clean, busy
        self._thread: threading.Thread | None = None

    def follow(self, work: Callable[[Errand], T]) -> Generator[Progress, None, T]:
        """Do the work on a thread, yielding what it tells; returns what it returns and raises what it raises.

        Closing the generator stops the work, without waiting for its end.
        """
        while self._thread is not None and self._thread.is_alive():
            yield Progress(0, 0, self._busy, waiting=True)
        errand, outcome = Errand(), Future[T]()
        self._thread = threading.Thread(target=self._run, args=(work, errand, outcome), name=self._name, daemon=True)
        self._thread.start()
        del work  # An error's frames are kept as long as it is, this one too.
        try:
            while not outcome.done():
                yield errand.step()
            return outcome.result()
        finally:
            errand.stop()

    def _run(self, work: Callable[[Errand], T], errand: Errand, outcome: Future[T]) -> None:
        try:
            result = work(errand)
        except BaseException as error:
            fault = error
        else:
            outcome.set_result(result)
            return
        del work
        try:
            forget_frames(fault)
            gc.collect()
            self._clean()
        finally:
            outcome.set_exception(fault)


def forget_frames(error: BaseException) -> None:
    """Let go of everything that the frames of an error hold, of those that led to it too; their lines stay readable."""
    seen: set[int] = set()
    todo: list[BaseException | None] = [error]
    while todo:
        found = todo.pop()
        if found is not None and id(found) not in seen:
            seen.add(id(found))
            traceback.clear_frames(found.__traceback__)
            todo += [found.__cause__, found.__context__]
