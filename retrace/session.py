"""One run of a command over the workbench: its cache folder, its pair, its jobs, and a clean stop at any moment."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from core.errors import UserFacingError
from core.jobs import JobId
from core.values import PairSpec, T
from retrace.console import Console

if TYPE_CHECKING:
    from core.models.pair import ModelFacts
    from core.workbench import Workbench

LOOK_EVERY = 0.1
STOPPED = 130
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(Exception):
    """The user wants the command to end; what was measured is kept."""


class Stop:
    """Whether the command was told to end: the first signal asks for it, the second ends the process at once."""

    def __init__(self) -> None:
        self._asked = threading.Event()
        self._parent = 0

    def end_with(self, parent: int) -> None:
        """End with that process, too, which has begun this one."""
        self._parent = parent

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Take the signals that end a command; one that the shell has set to be ignored stays ignored."""

        def on_signal(number: int, frame: FrameType | None) -> None:
            if self._asked.is_set():
                os._exit(STOPPED)
            self._asked.set()

        taken = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
        before = {number: signal.signal(number, on_signal) for number in taken}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def check(self) -> None:
        """Raise Stopped once it was told to end."""
        if self._asked.is_set() or (self._parent and os.getppid() != self._parent):
            raise Stopped


class Session:
    """The workbench of a command, with what the user sees of its jobs."""

    def __init__(self, bench: Workbench, console: Console, stop: Stop) -> None:
        self.bench, self.console, self.stop = bench, console, stop

    def load(self, pair: PairSpec) -> tuple[ModelFacts, ModelFacts]:
        """Load the pair; the facts of base and reasoning model. Raises ModelUnavailable, OutOfMemory, Stopped."""
        self.follow(self.bench.load_pair(pair))
        return self.bench.pair.facts("base"), self.bench.pair.facts("reasoner")

    def follow(self, job: JobId[T], on_partial: Callable[[object], object] = lambda partial: None) -> T:
        """Wait for a job, showing how far it is; `on_partial` is told what there is so far, whenever that is new.

        Raises what the job raises, and Stopped, once the job has ended and kept what it has.
        """
        seen: object = None
        while (snapshot := self.bench.engine.wait(job, LOOK_EVERY)).live:
            now = self.bench.engine.snapshot(job) or snapshot
            self.console.show(now.progress, now.seconds_left)
            partial = now.progress.partial
            if partial is not None and partial is not seen:
                seen = partial
                on_partial(partial)
            try:
                self.stop.check()
            except Stopped:
                self.console.clear()
                self.bench.engine.stop(job)
                self.bench.engine.wait(job)
                raise
        self.console.clear()
        self.stop.check()
        if snapshot.state == "done":
            return snapshot.outcome
        raise snapshot.error or UserFacingError("The work was ended.", "Run the same command again: it goes on.")


@contextlib.contextmanager
def opened(cache: Path, console: Console, stop: Stop) -> Iterator[Session]:
    """A session over the cache folder; all of it is closed at the end."""
    from core.workbench import Workbench

    bench = Workbench(cache)
    try:
        yield Session(bench, console, stop)
        if bench.store.warning:
            console.say(bench.store.warning)
    finally:
        console.clear()
        bench.close()
