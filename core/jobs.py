"""What a job is: a generator of progress that returns a result, its state at one moment, and who asked for it.

Each `next` is one step (one forward, one trace). Knows nothing of models, values or pages; `core.engine` runs them.
"""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from typing import Any, Generic, Literal, cast

from core.errors import UserFacingError
from core.values import T

WAIT_SECONDS = 0.01
"""How long `finish` sleeps where the work waits for something outside."""

State = Literal["queued", "running", "done", "cancelled", "timeout", "error"]


@dataclass(frozen=True)
class Progress:
    """How far a job is: `done` of `total` steps, what it is doing, and a value that pages may show meanwhile."""

    done: float
    total: float
    message: str = ""
    partial: Any = None
    waiting: bool = False
    """Nothing to do until something outside answers: the engine need not come back at once."""
    seconds_left: float | None = None
    """Where the work knows it better than the share since its beginning tells; nan where it does not know it yet."""


Work = Generator[Progress, None, T]
"""What the engine runs: each `next` is one step."""


class JobId(str, Generic[T]):
    """The id of a job whose result is a T; a plain text, so that links and pages can keep it."""

    __slots__ = ()


@dataclass(frozen=True)
class Snapshot(Generic[T]):
    """The state of a job at one moment; safe to read from any thread."""

    job_id: JobId[T]
    kind: str
    title: str
    owner: str
    state: State
    progress: Progress
    result: T | None = None
    """What the work returned, once it is done."""
    error: UserFacingError | None = None
    seconds: float = 0.0
    queue_position: int = 0
    gives_way: bool = False
    """A visitor's, which waits while one of the speaker's own runs."""

    @property
    def live(self) -> bool:
        return self.state in ("queued", "running")

    @property
    def outcome(self) -> T:
        """The result of a job that is done."""
        assert self.state == "done", self.state
        return cast(T, self.result)

    @property
    def seconds_left(self) -> float | None:
        """As the work says, else estimated from the share done; None before there is anything to go by."""
        told = self.progress.seconds_left
        if told is not None:
            return told if self.state == "running" and not math.isnan(told) else None
        share = self.progress.done / self.progress.total if self.progress.total else 0.0
        return self.seconds * (1 - share) / share if self.state == "running" and 0 < share <= 1 else None


@dataclass(frozen=True)
class Caller:
    """Who asked for a job: an owner (one session), and whether somebody is still there to see the result."""

    owner: str = ""
    is_watching: Callable[[], bool] = lambda: True
    guest: str = ""
    """The name of a visitor of a shared server, "" for the person whose machine it is."""


NOBODY = Caller()


def relay(work: Generator[Progress, None, T], change: Callable[[Progress], Progress]) -> Generator[Progress, None, T]:
    """Run `work` to its end, yielding its progress as changed by `change`; returns what it returns."""
    try:
        while True:
            try:
                progress = next(work)
            except StopIteration as stop:
                ended: T = stop.value
                return ended
            yield change(progress)
    finally:
        work.close()


def rest(progress: Progress, seconds: float) -> Generator[Progress, None, None]:
    """Wait that long for something outside, while other jobs go on."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        yield replace(progress, waiting=True)


def finish(work: Generator[Progress, None, T]) -> T:
    """Run the work of a job here and now, without an engine, and return its result."""
    while True:
        try:
            if next(work).waiting:
                time.sleep(WAIT_SECONDS)
        except StopIteration as stop:
            ended: T = stop.value
            return ended


def new_run_id() -> str:
    """A short random id, fit for links and file names."""
    return uuid.uuid4().hex[:12]
