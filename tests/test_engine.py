"""The engine: interleaving, stopping, faults, limits."""

import threading
import time

import pytest

from core.engine import Engine
from core.errors import BadInput, Busy
from core.jobs import Caller, Progress, relay


def count_to(n, *, trace=None, name=""):
    for i in range(n):
        if trace is not None:
            trace.append(name)
        yield Progress(i + 1, n, partial=i)
    return n


def forever(started=None):
    while True:
        time.sleep(0.002)
        yield Progress(0, 0)


def test_a_job_returns_its_result():
    engine = Engine()
    snapshot = engine.wait(engine.submit("x", count_to(3)), 5)
    assert (snapshot.state, snapshot.result, snapshot.progress.partial) == ("done", 3, 2)


def test_jobs_take_turns_step_by_step():
    engine, trace, both_are_there = Engine(), [], threading.Event()

    def gate():
        both_are_there.wait(5)
        yield Progress(1, 1)

    engine.submit("x", gate())
    first = engine.submit("x", count_to(50, trace=trace, name="a"))
    second = engine.submit("x", count_to(50, trace=trace, name="b"))
    both_are_there.set()
    engine.wait(first, 5), engine.wait(second, 5)
    assert "".join(trace) == "ab" * 50


def test_stop_takes_effect_within_a_step_and_keeps_the_partial():
    engine = Engine()
    closed = []

    def work():
        try:
            for i in range(10**6):
                time.sleep(0.002)
                yield Progress(i, 10**6, partial=i)
        finally:
            closed.append(True)

    job_id = engine.submit("x", work())
    while engine.snapshot(job_id).progress.partial is None:
        time.sleep(0.005)
    asked = time.monotonic()
    engine.stop(job_id)
    snapshot = engine.wait(job_id, 5)
    assert time.monotonic() - asked < 0.5
    assert snapshot.state == "cancelled"
    assert snapshot.progress.partial >= 0
    assert closed == [True]


def test_faults_become_sentences_and_the_next_job_runs():
    engine = Engine()

    def fails(error):
        yield Progress(0, 1)
        raise error

    class OutOfMemoryError(RuntimeError):
        pass

    bad = engine.wait(engine.submit("x", fails(BadInput("The window is empty.", "Choose another."))), 5)
    assert (bad.state, bad.error.problem) == ("error", "The window is empty.")
    bug = engine.wait(engine.submit("x", fails(ZeroDivisionError("secret detail"))), 5)
    assert "secret" not in str(bug.error)
    memory = engine.wait(engine.submit("x", fails(OutOfMemoryError("CUDA out of memory: 80 GiB"))), 5)
    assert "ran out of memory" in memory.error.problem
    for fault in (KeyboardInterrupt(), SystemExit(), GeneratorExit()):
        assert engine.wait(engine.submit("x", fails(fault)), 5).state == "error"
    assert engine.wait(engine.submit("x", count_to(2)), 5).state == "done"


def test_a4_the_queue_is_bounded_and_says_so():
    engine = Engine()
    accepted, refused = [], 0
    for i in range(20):
        try:
            accepted.append(engine.submit("x", forever(), caller=Caller(owner=str(i))))
        except Busy as busy:
            refused += bool(busy.remedy)
    assert (len(accepted), refused) == (9, 11)
    for job_id in accepted:
        engine.stop(job_id)
    for job_id in accepted:
        assert engine.wait(job_id, 5).state == "cancelled"
    assert engine.wait(engine.submit("x", count_to(2)), 5).state == "done"


def test_a_new_job_of_the_same_owner_replaces_the_old_one():
    engine = Engine()
    mine, other_kind, yours = (
        engine.submit(kind, forever(), caller=Caller(owner=owner))
        for kind, owner in (("run", "me"), ("load", "me"), ("run", "you"))
    )
    engine.submit("run", count_to(1), caller=Caller(owner="me"))
    assert engine.wait(mine, 5).state == "cancelled"
    assert engine.snapshot(other_kind).live
    assert engine.snapshot(yours).live


def test_a_job_that_nobody_watches_ends(monkeypatch):
    monkeypatch.setattr("core.engine._ABANDONED_AFTER", 0.2)
    monkeypatch.setattr("core.engine._WATCH_EVERY", 0.05)
    engine = Engine()
    gone = engine.submit("x", forever(), caller=Caller(is_watching=lambda: False))
    kept = engine.submit("y", forever(), caller=Caller(is_watching=lambda: False))
    engine.watch(kept, Caller(is_watching=lambda: True))
    assert engine.wait(gone, 5).state == "cancelled"
    assert engine.snapshot(kept).live
    engine.stop(kept)


GONE = Caller(owner="gone", is_watching=lambda: False)


def test_a_lasting_job_goes_on_when_its_tab_is_gone_and_anybody_may_stop_it(monkeypatch):
    monkeypatch.setattr("core.engine._ABANDONED_AFTER", 0.1)
    monkeypatch.setattr("core.engine._WATCH_EVERY", 0.05)
    engine = Engine()
    short = engine.submit("x", forever(), caller=GONE)
    lasting = engine.submit("y", forever(), caller=GONE, lasting=True)
    watched = engine.submit("y", forever(), caller=Caller(owner="here"), lasting=True)
    assert engine.wait(short, 5).state == "cancelled"
    assert engine.snapshot(lasting).live
    assert [job.job_id for job in engine.left()] == [lasting]
    engine.stop(lasting)
    assert engine.wait(lasting, 5).state == "cancelled"
    assert engine.left() == []
    engine.stop(watched)


def test_minutes_without_a_sign_of_life_are_survived():
    engine = Engine()
    job_id = engine.submit("x", forever(), caller=GONE)
    (job,) = engine._jobs.values()
    engine._drop_abandoned([job], job.last_seen + 240)
    assert not job.stop.is_set()
    engine._drop_abandoned([job], job.last_seen + 601)
    assert engine.wait(job_id, 5).state == "cancelled"


def test_what_a_closed_tab_asked_for_is_taken_over_and_nothing_else():
    engine = Engine()
    here, there = Caller(owner="here"), Caller(owner="there")
    left = engine.submit("x", forever(), caller=GONE, lasting=True, about=(1, 2))
    assert engine.submit("x", forever(), caller=here, about=(1, 2)) == left
    assert engine.snapshot(left).owner == "here"
    assert engine.left() == []
    others = [
        engine.submit("x", forever(), caller=there, about=(1, 2)),
        engine.submit("y", forever(), caller=there, about=(1, 2)),
        engine.submit("z", forever(), caller=there),
    ]
    assert len({left, *others}) == 4
    engine.submit("x", forever(), caller=here, about=(3,))
    assert engine.wait(left, 5).state == "cancelled"
    for job in engine.live():
        engine.stop(job.job_id)


def test_a_halted_engine_lets_every_job_close_and_takes_no_further_step():
    engine, closed = Engine(), []

    def closing():
        try:
            yield from forever()
        finally:
            closed.append(True)

    jobs = [engine.submit(kind, closing()) for kind in "xy"]
    while any(engine.snapshot(job).state == "queued" for job in jobs):
        time.sleep(0.01)
    engine.halt()
    assert [engine.snapshot(job).state for job in jobs] == ["cancelled", "cancelled"]
    assert closed == [True, True]


def test_a_deadline_ends_a_job():
    engine = Engine()
    assert engine.wait(engine.submit("x", forever(), seconds=0.1), 5).state == "timeout"


def test_a_dirty_model_is_noticed_and_the_engine_lives(caplog):
    def dirty():
        raise AssertionError("2 hooks were left")

    engine = Engine(check_clean=dirty)
    assert engine.wait(engine.submit("x", count_to(1)), 5).state == "done"
    assert "did not close cleanly" in caplog.text
    assert engine.wait(engine.submit("x", count_to(1)), 5).state == "done"


def test_time_left_follows_the_share_done():
    engine = Engine()

    def half():
        yield Progress(1, 2)
        time.sleep(0.3)
        yield Progress(1, 2)
        time.sleep(0.3)

    job_id = engine.submit("x", half())
    time.sleep(0.45)
    snapshot = engine.snapshot(job_id)
    assert snapshot.seconds_left == pytest.approx(snapshot.seconds, rel=0.01)


def test_unknown_ids_are_no_jobs():
    engine = Engine()
    assert engine.snapshot("nope") is None
    engine.stop("nope")


def test_relay_changes_progress_and_closes_the_inner_work():
    closed = []

    def inner():
        try:
            yield Progress(1, 2)
            yield Progress(2, 2)
        finally:
            closed.append(True)
        return "result"

    outer = relay(inner(), lambda p: Progress(p.done * 10, p.total))
    assert next(outer).done == 10
    outer.close()
    assert closed == [True]
    outer = relay(inner(), lambda p: p)
    assert [next(outer).done, next(outer).done] == [1, 2]
    with pytest.raises(StopIteration) as stop:
        next(outer)
    assert stop.value.value == "result"


def test_an_engine_whose_jobs_all_wait_rests_until_it_is_needed(monkeypatch):
    monkeypatch.setattr("core.engine._LOOK_EVERY", 60.0)
    engine = Engine()
    steps = []

    def waits():
        while True:
            steps.append(1)
            yield Progress(0, 1, waiting=True)

    def works():
        for i in range(50):
            yield Progress(i, 50)

    waiting = engine.submit("waits", waits())
    while not steps:
        time.sleep(0.001)
    assert engine.wait(engine.submit("works", works()), 10).state == "done"
    assert len(steps) < 60
    engine.stop(waiting)
    assert engine.wait(waiting, 10).state == "cancelled"


def test_waiting_for_something_to_show_ends_with_the_first_partial_the_end_or_the_time_limit():
    engine, go = Engine(), threading.Event()

    def work():
        yield Progress(0, 2, "starting")
        go.wait(5)
        yield Progress(1, 2, partial="a token")
        yield from forever()

    slow = engine.submit("x", work())
    engine.wait_for_partial(slow, 0.05)
    assert engine.snapshot(slow).progress.partial is None
    go.set()
    engine.wait_for_partial(slow, 5)
    assert engine.snapshot(slow).state == "running"
    engine.stop(slow)
    ended = engine.submit("y", count_to(0))
    engine.wait_for_partial(ended, 5)
    assert not engine.snapshot(ended).live
