"""One engine thread that does all model work, a step at a time and in turn for everyone.

The engine steps the live jobs round-robin, so two visitors' runs interleave token by token and a stop takes effect
within one step. Visitors of a shared server (`Caller.guest`) have short turns, and give way to the speaker's own jobs.
It knows nothing of models, values or pages.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace
from typing import Any, overload

from core.errors import Busy, UserFacingError, as_user_facing
from core.jobs import NOBODY, Caller, JobId, Progress, Snapshot, State, new_run_id
from core.values import T

log = logging.getLogger(__name__)

MAX_LIVE = 9
_KEEP_ENDED = 64
_ABANDONED_AFTER = 300.0
"""Seconds without a sign of life from its tab after which a job ends; a browser rests tabs that are not looked at."""
_WATCH_EVERY = 1.0
GUESTS_AT_ONCE, MOST_GUESTS = 4, 64
"""Visitors' jobs that are stepped in turn, and that wait for it; each visitor has one."""
GUEST_SECONDS = 120.0
"""How long a visitor's job may take while it is its turn."""
_GUEST_ABANDONED_AFTER = 30.0
_LOOK_EVERY = 0.05


@dataclass
class _Job:
    snapshot: Snapshot[Any]
    work: Generator[Progress, None, Any]
    deadline: float
    caller: Caller
    lasting: bool
    about: object
    started: float = 0.0
    """When it began, later by every pause in which others had their turn."""
    paused: float = 0.0
    """Since when others have had their turn; 0 while it has its own."""
    last_seen: float = field(default_factory=time.monotonic)
    stop: threading.Event = field(default_factory=threading.Event)
    begun: threading.Event = field(default_factory=threading.Event)
    """Set once there is something to show, or nothing more to wait for."""
    ended: threading.Event = field(default_factory=threading.Event)

    @property
    def is_left(self) -> bool:
        """Whether the tab that it was begun in is gone."""
        return not self.stop.is_set() and not self.caller.is_watching()


class Engine:
    """Runs jobs on one thread. `check_clean` is called after every job; a failure is logged as a bug."""

    def __init__(self, *, max_live: int = MAX_LIVE, check_clean: Callable[[], None] = lambda: None) -> None:
        self._jobs: dict[str, _Job] = {}
        self._max_live = max_live
        self._check_clean = check_clean
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._halted = threading.Event()
        self._thread: threading.Thread | None = None

    def submit(
        self,
        kind: str,
        work: Generator[Progress, None, T],
        *,
        title: str = "",
        caller: Caller = NOBODY,
        seconds: float = 600.0,
        lasting: bool = False,
        about: object = None,
    ) -> JobId[T]:
        """Queue a job and return its id; a live job of the same owner and kind is cancelled first.

        It is timed out after `seconds` of running, and cancelled when nobody has been watching for some minutes, unless
        it is `lasting`. One of the same kind and `about` whose own tab is gone is taken over instead. Raises Busy when
        the queue is full, and to a visitor who has one already.
        """
        owner = caller.owner
        if caller.guest:
            seconds, lasting = min(seconds, GUEST_SECONDS), False
        with self._lock:
            for job in self._live() if about is not None else []:
                is_same = (job.snapshot.kind, job.about, job.caller.guest) == (kind, about, caller.guest)
                if is_same and job.is_left:
                    return JobId[T](self._hand_over(job, caller))
            for job in self._live():
                if owner and job.snapshot.owner == owner and job.snapshot.kind == kind:
                    job.stop.set()
            self._check_room(caller)
            job_id = JobId[T](new_run_id())
            snapshot = Snapshot(job_id, kind, title, owner, "queued", Progress(0, 0, "waiting"))
            self._jobs[job_id] = _Job(snapshot, work, seconds, caller, lasting, about)
            self._forget_old()
            self._ensure_thread()
        self._wake.set()
        return job_id

    @overload
    def snapshot(self, job_id: JobId[T]) -> Snapshot[T] | None: ...

    @overload
    def snapshot(self, job_id: str) -> Snapshot[Any] | None: ...

    def snapshot(self, job_id: str) -> Snapshot[Any] | None:
        """The job's state now, or None for an unknown or forgotten id."""
        with self._lock:
            job = self._jobs.get(job_id)
            if job is None:
                return None
            if job.snapshot.live:
                self._ensure_thread()
            if job.snapshot.state == "queued":
                waiting = [str(other.snapshot.job_id) for other in self._live() if other.snapshot.state == "queued"]
                position = waiting.index(job_id) + 1 if job_id in waiting else 1
                return replace(job.snapshot, queue_position=position, gives_way=_gives_way(job, self._live()))
            if job.snapshot.state == "running":
                seconds = (job.paused or time.monotonic()) - job.started
                return replace(job.snapshot, seconds=seconds, gives_way=_gives_way(job, self._live()))
            return job.snapshot

    def live(self) -> list[Snapshot[Any]]:
        """All queued and running jobs, oldest first."""
        with self._lock:
            ids = [job.snapshot.job_id for job in self._live()]
        return [snapshot for job_id in ids if (snapshot := self.snapshot(job_id)) is not None]

    def left(self) -> list[Snapshot[Any]]:
        """The live jobs whose tab is gone, oldest first: anybody may take them over or stop them. Of visitors none."""
        with self._lock:
            return [job.snapshot for job in self._live() if job.is_left and not job.caller.guest]

    def is_of(self, job_id: str, guest: str) -> bool:
        """Whether a visitor asked for this job."""
        with self._lock:
            return job_id in self._jobs and self._jobs[job_id].caller.guest == guest

    def stop(self, job_id: str) -> None:
        """Ask a job to end; it does so within one step, keeping what it has. Unknown ids are ignored."""
        with self._lock:
            job = self._jobs.get(job_id)
        if job is not None:
            job.stop.set()
            self._wake.set()

    def halt(self) -> None:
        """Take no further step, let every job close what it holds, and wait for that; there is no way back."""
        self._halted.set()
        self._wake.set()
        with self._lock:
            thread = self._thread
        if thread is not None:
            thread.join()

    def watch(self, job_id: str, caller: Caller) -> None:
        """Let another session keep the job alive, as after a reload."""
        with self._lock:
            job = self._jobs.get(job_id)
            if job is not None:
                self._hand_over(job, caller)

    @overload
    def wait(self, job_id: JobId[T], timeout: float | None = None) -> Snapshot[T]: ...

    @overload
    def wait(self, job_id: str, timeout: float | None = None) -> Snapshot[Any]: ...

    def wait(self, job_id: str, timeout: float | None = None) -> Snapshot[Any]:
        """Block until the job has ended (for scripts and tests) and return its last snapshot."""
        with self._lock:
            job = self._jobs[job_id]
        job.ended.wait(timeout)
        return job.snapshot

    def wait_for_partial(self, job_id: str, timeout: float) -> None:
        """Block until the job has something to show or has ended, at most `timeout` seconds."""
        with self._lock:
            job = self._jobs[job_id]
        job.begun.wait(timeout)

    def _hand_over(self, job: _Job, caller: Caller) -> str:
        job.caller, job.last_seen = caller, time.monotonic()
        job.snapshot = replace(job.snapshot, owner=caller.owner)
        return str(job.snapshot.job_id)

    def _live(self) -> list[_Job]:
        """In the order of their turns: of visitors, who have one each, whoever asked first is the next."""
        live = [job for job in self._jobs.values() if job.snapshot.live]
        return sorted(live, key=lambda job: bool(job.caller.guest))

    def _check_room(self, caller: Caller) -> None:
        going = [job for job in self._live() if not job.stop.is_set() and bool(job.caller.guest) == bool(caller.guest)]
        if caller.guest and any(job.caller.guest == caller.guest for job in going):
            raise Busy("You have a run going, and a visitor has one at a time.", "Wait for it to end, or stop it.")
        most = MOST_GUESTS if caller.guest else self._max_live
        if len(going) >= most:
            raise Busy(f"The engine is busy with {most} runs.", "Wait for one to end, then press the button again.")

    def _forget_old(self) -> None:
        ended = [job_id for job_id, job in self._jobs.items() if not job.snapshot.live]
        for job_id in ended[: max(0, len(ended) - _KEEP_ENDED)]:
            del self._jobs[job_id]

    def _ensure_thread(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, name="retrace-engine", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        last_watch = time.monotonic()
        while not self._halted.is_set():
            with self._lock:
                jobs = self._live()
            if not jobs:
                self._wake.wait()
                self._wake.clear()
                continue
            if time.monotonic() - last_watch > _WATCH_EVERY:
                last_watch = time.monotonic()
                self._drop_abandoned(jobs, last_watch)
            turns = _turns(jobs)
            for job in jobs:
                if job not in turns:
                    job.paused = job.paused or time.monotonic()
                elif not self._halted.is_set():
                    self._step(job)
            if all(job.snapshot.progress.waiting for job in turns):
                self._wake.wait(_LOOK_EVERY)
                self._wake.clear()
        with self._lock:
            jobs = self._live()
        for job in jobs:
            self._end(job, "cancelled")

    def _drop_abandoned(self, jobs: list[_Job], now: float) -> None:
        for job in jobs:
            if job.caller.is_watching():
                job.last_seen = now
                continue
            patience = _GUEST_ABANDONED_AFTER if job.caller.guest else _ABANDONED_AFTER
            if not job.lasting and now - job.last_seen > patience:
                job.stop.set()

    def _step(self, job: _Job) -> None:
        now = time.monotonic()
        if job.paused and job.started:
            job.started += now - job.paused
        job.paused = 0.0
        if not job.started:
            job.started = now
            job.snapshot = replace(job.snapshot, state="running")
        if job.stop.is_set():
            self._end(job, "cancelled")
        elif now - job.started > job.deadline:
            self._end(job, "timeout")
        else:
            try:
                progress = next(job.work)
            except StopIteration as stop:
                self._end(job, "done", result=stop.value)
            except UserFacingError as error:
                self._end(job, "error", error=error)
            except BaseException as error:
                self._end(job, "error", error=as_user_facing(error))
            else:
                job.snapshot = replace(job.snapshot, progress=progress, seconds=now - job.started)
                if progress.partial is not None:
                    job.begun.set()

    def _end(self, job: _Job, state: State, *, result: object = None, error: UserFacingError | None = None) -> None:
        try:
            job.work.close()
            self._check_clean()
        except BaseException:
            log.exception("job %s did not close cleanly", job.snapshot.kind)
        seconds = time.monotonic() - job.started
        job.snapshot = replace(job.snapshot, state=state, result=result, error=error, seconds=seconds)
        job.begun.set()
        job.ended.set()


def _gives_way(job: _Job, live: list[_Job]) -> bool:
    """Whether a visitor's job waits for one of the speaker's own, which has more to do than to wait."""
    return bool(job.caller.guest) and any(not one.caller.guest and not one.snapshot.progress.waiting for one in live)


def _turns(live: list[_Job]) -> list[_Job]:
    """The jobs to step now: the speaker's own; where these leave time, the first of visitors; and all that end."""
    guests = [job for job in live if job.caller.guest and not _gives_way(job, live)][:GUESTS_AT_ONCE]
    return [job for job in live if not job.caller.guest or job in guests or job.stop.is_set()]
