"""Work on a thread of its own: followed, stopped, alone for a moment, and forgotten when it fails."""

from __future__ import annotations

import math
import threading
import time
import weakref
from functools import partial

import pytest

from core.background import Background, Errand, Stopped
from core.engine import Engine
from core.errors import BadInput
from core.jobs import Progress, finish


class Thing:
    """Something that can be seen to go."""


def counting(steps: list[float]):
    while True:
        steps.append(time.monotonic())
        yield Progress(len(steps), 0)


def wait_until(condition, seconds=5.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_what_the_work_returns_and_raises_is_the_generators():
    background = Background("test")
    assert finish(background.follow(lambda errand: threading.current_thread().name)) == "test"

    def fails(errand: Errand) -> None:
        raise BadInput("No.", "Try another.")

    with pytest.raises(BadInput, match="No"):
        finish(background.follow(fails))


def test_other_jobs_go_on_while_the_work_runs_and_see_its_progress():
    engine, go, steps = Engine(), threading.Event(), []

    def work(errand: Errand) -> str:
        errand.tell("reading", 0.25)
        go.wait(10)
        return "done"

    other = engine.submit("other", counting(steps))
    job = engine.submit("load", Background("test").follow(work))
    wait_until(lambda: engine.snapshot(job).progress.message == "reading")
    assert engine.snapshot(job).progress.done == 0.25
    n_before = len(steps)
    wait_until(lambda: len(steps) > n_before + 100)
    go.set()
    assert engine.wait(job, 10).result == "done"
    engine.stop(other)
    engine.halt()


def test_a_stop_ends_the_job_at_once_and_the_work_when_it_tells_next():
    engine, background = Engine(), Background("test")
    ended, held = threading.Event(), Thing()
    kept = weakref.ref(held)

    def work(held: Thing, errand: Errand) -> None:
        try:
            while True:
                errand.tell("reading")
                time.sleep(0.01)
        except Exception:
            pytest.fail("a stop is no fault that a library may take for its own")
        finally:
            ended.set()

    job = engine.submit("load", background.follow(partial(work, held)))
    del held
    wait_until(lambda: engine.snapshot(job).progress.message == "reading")
    asked = time.monotonic()
    engine.stop(job)
    assert engine.wait(job, 5).state == "cancelled"
    assert ended.wait(2)
    assert time.monotonic() - asked < 2
    wait_until(lambda: kept() is None)
    engine.halt()


def test_the_next_work_waits_until_what_was_stopped_has_ended():
    background, go, order = Background("test"), threading.Event(), []

    def slow(errand: Errand) -> None:
        go.wait(10)
        order.append("first")

    first = background.follow(slow)
    next(first)
    first.close()
    second = background.follow(lambda errand: order.append("second"))
    assert "stopped" in next(second).message
    go.set()
    finish(second)
    assert order == ["first", "second"]


def test_alone_no_job_takes_a_step():
    engine, steps, seen = Engine(), [], []

    def work(errand: Errand) -> None:
        for _ in range(20):
            with errand.alone():
                n_steps = len(steps)
                time.sleep(0.005)
                seen.append(len(steps) - n_steps)

    other = engine.submit("other", counting(steps))
    assert engine.wait(engine.submit("load", Background("test").follow(work)), 30).state == "done"
    assert seen == [0] * 20
    engine.stop(other)
    engine.halt()


def test_to_be_alone_is_given_up_when_the_work_is_stopped():
    background, begun = Background("test"), threading.Event()
    ended: list[str] = []

    def work(errand: Errand) -> None:
        errand.tell("here")
        begun.set()
        time.sleep(0.1)
        try:
            with errand.alone():
                pytest.fail("nobody granted it")
        except Stopped:
            ended.append("stopped")

    following = background.follow(work)
    next(following)
    begun.wait(5)
    following.close()
    wait_until(lambda: ended == ["stopped"])


def test_a_fault_that_is_kept_holds_nothing_of_the_work():
    """An engine remembers the errors of its jobs: the frames of one would keep a model in memory."""
    seen: list[weakref.ref[Thing]] = []
    cleaned: list[bool] = []

    def inner() -> None:
        held = Thing()
        seen.append(weakref.ref(held))
        raise ValueError("inside")

    def work(errand: Errand) -> None:
        other = Thing()
        seen.append(weakref.ref(other))
        try:
            inner()
        except ValueError:
            raise BadInput("No.", "Try another.") from None

    background = Background("test", clean=lambda: cleaned.append(all(ref() is None for ref in seen)))
    with pytest.raises(BadInput):
        finish(background.follow(work))
    assert [ref() for ref in seen] == [None, None]
    assert cleaned == [True]


def test_the_time_left_is_that_of_the_present_step_of_the_work(monkeypatch):
    clock = [100.0]
    monkeypatch.setattr("core.background.time.monotonic", lambda: clock[0])
    errand = Errand()
    errand.tell("checking")
    assert math.isnan(errand.step().seconds_left)
    errand.tell("reading", 0.0)
    clock[0] += 4
    errand.tell("reading", 0.25)
    assert errand.step().seconds_left == pytest.approx(12)
    errand.tell("loading", 0.1)
    assert math.isnan(errand.step().seconds_left)
    clock[0] += 2
    errand.tell("loading", 0.5)
    assert errand.step().seconds_left == pytest.approx(2.5)
