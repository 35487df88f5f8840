"""Whose turn it is on a shared server: the speaker's jobs first, visitors in turn, each with one short job."""

import threading
import time

import pytest

from core.engine import GUESTS_AT_ONCE, MOST_GUESTS, Engine
from core.errors import Busy
from core.jobs import Caller, Progress

SPEAKER = Caller(owner="tab of the speaker")


def visitor(n, **more):
    return Caller(owner=f"tab {n}", guest=f"visitor {n}", **more)


def steps(n, trace, name, hold=None):
    for i in range(n):
        if hold is not None:
            hold.wait(5)
        trace.append(name)
        yield Progress(i + 1, n, partial=i)
    return n


def held(engine, release):
    """A job that keeps the engine's thread until `release`, so that all others are there before the first step."""

    def work():
        release.wait(5)
        yield Progress(1, 1)

    return engine.submit("gate", work())


def forever():
    while True:
        time.sleep(0.001)
        yield Progress(0, 0, "going")


def ended(engine, *jobs):
    return [engine.wait(job, 10).state for job in jobs]


def test_the_speakers_run_ends_before_any_visitors_goes_on():
    engine, trace, release = Engine(), [], threading.Event()
    held(engine, release)
    theirs = [engine.submit("run", steps(20, trace, str(n)), caller=visitor(n)) for n in range(3)]
    own = engine.submit("run", steps(20, trace, "own"), caller=SPEAKER)
    release.set()
    assert set(ended(engine, own, *theirs)) == {"done"}
    assert trace[:20] == ["own"] * 20
    assert trace[20:] == ["0", "1", "2"] * 20


def test_a_visitors_run_that_has_begun_stands_still_meanwhile_and_is_told_so():
    engine, trace = Engine(), []
    theirs = engine.submit("run", steps(10**6, trace, "v"), caller=visitor(1))
    while not trace:
        time.sleep(0.001)
    own = engine.submit("run", forever(), caller=SPEAKER)
    time.sleep(0.1)
    before = len(trace)
    took = engine.snapshot(theirs).seconds
    time.sleep(0.2)
    found = engine.snapshot(theirs)
    assert len(trace) == before
    assert (found.state, found.gives_way) == ("running", True)
    assert found.seconds == pytest.approx(took, abs=0.02), "a pause is none of its time"
    engine.stop(own)
    ended(engine, own)
    time.sleep(0.1)
    assert len(trace) > before
    assert not engine.snapshot(theirs).gives_way
    engine.stop(theirs)
    assert ended(engine, theirs) == ["cancelled"]


def test_a_job_of_the_speaker_that_waits_for_something_outside_holds_nobody_up():
    engine, trace = Engine(), []

    def loading():
        while len(trace) < 5:
            yield Progress(0, 1, "loading", waiting=True)

    own = engine.submit("load", loading(), caller=SPEAKER)
    theirs = engine.submit("run", steps(5, trace, "v"), caller=visitor(1))
    assert ended(engine, theirs, own) == ["done", "done"]


def test_a_visitor_stops_at_once_although_the_speakers_run_goes_on():
    engine = Engine()
    own, theirs = engine.submit("run", forever(), caller=SPEAKER), engine.submit("run", forever(), caller=visitor(1))
    engine.stop(theirs)
    assert engine.wait(theirs, 1).state == "cancelled"
    engine.stop(own)
    ended(engine, own)


def test_visitors_have_turns_in_the_order_in_which_they_asked_some_at_once():
    engine, trace, release = Engine(), [], threading.Event()
    held(engine, release)
    n = GUESTS_AT_ONCE + 2
    jobs = [engine.submit("run", steps(3, trace, i), caller=visitor(i)) for i in range(n)]
    places = [engine.snapshot(job).queue_position for job in jobs]
    assert places == list(range(places[0], places[0] + n))
    release.set()
    assert set(ended(engine, *jobs)) == {"done"}
    assert trace[: GUESTS_AT_ONCE * 3] == list(range(GUESTS_AT_ONCE)) * 3
    assert trace[GUESTS_AT_ONCE * 3 :] == [n - 2, n - 1] * 3


def test_a_visitor_has_one_run_whatever_the_tab_and_kind_and_a_new_one_replaces_it_in_its_place():
    engine = Engine()
    first = engine.submit("run", forever(), caller=visitor(1))
    for kind, owner in (("reading", "tab 1"), ("run", "another tab")):
        with pytest.raises(Busy, match="one at a time"):
            engine.submit(kind, forever(), caller=Caller(owner=owner, guest="visitor 1"))
    second = engine.submit("run", forever(), caller=visitor(1))
    assert engine.wait(first, 5).state == "cancelled"
    other = engine.submit("run", forever(), caller=visitor(2))
    for job in (second, other):
        engine.stop(job)
    ended(engine, second, other)


def test_a_full_room_leaves_the_speaker_a_place():
    engine = Engine()
    theirs = [engine.submit("run", forever(), caller=visitor(n)) for n in range(MOST_GUESTS)]
    with pytest.raises(Busy, match="busy"):
        engine.submit("run", forever(), caller=visitor(MOST_GUESTS))
    own = engine.submit("run", steps(3, [], "own"), caller=SPEAKER)
    assert engine.wait(own, 5).state == "done"
    for job in theirs:
        engine.stop(job)
    assert set(ended(engine, *theirs)) == {"cancelled"}


def test_a_visitors_job_has_a_time_limit_and_never_lasts(monkeypatch):
    monkeypatch.setattr("core.engine.GUEST_SECONDS", 0.1)
    monkeypatch.setattr("core.engine._GUEST_ABANDONED_AFTER", 0.1)
    monkeypatch.setattr("core.engine._WATCH_EVERY", 0.05)
    engine = Engine()
    assert engine.wait(engine.submit("run", forever(), caller=visitor(1), seconds=1e6), 5).state == "timeout"
    monkeypatch.setattr("core.engine.GUEST_SECONDS", 100.0)
    gone = engine.submit("run", forever(), caller=visitor(2, is_watching=lambda: False), lasting=True)
    assert engine.left() == []
    assert engine.wait(gone, 5).state == "cancelled"


def test_nobody_takes_over_the_job_of_somebody_elses_closed_tab():
    engine, away = Engine(), {"is_watching": lambda: False}
    own = engine.submit("run", forever(), caller=Caller(owner="gone", **away), about="same", lasting=True)
    theirs = engine.submit("run", forever(), caller=visitor(1), about="same")
    assert theirs != own
    assert engine.submit("run", forever(), caller=SPEAKER, about="same", lasting=True) == own
    for job in (own, theirs):
        engine.stop(job)
    ended(engine, own, theirs)
