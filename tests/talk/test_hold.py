"""A pair that a session keeps for its talk: others cannot replace it, until it is released or the session left."""

from __future__ import annotations

import time

import pytest

from core.errors import BadInput
from core.jobs import NOBODY, Caller
from core.talk.hold import PairHold
from core.values import ModelSpec, PairSpec
from core.workbench import Workbench

PAIR = PairSpec(base=ModelSpec(repo_id="nowhere/base"), reasoner=ModelSpec(repo_id="nowhere/reasoner"))
MINE, OTHER = Caller(owner="mine"), Caller(owner="other")


@pytest.fixture
def bench(tmp_path):
    bench = Workbench(tmp_path)
    yield bench
    bench.close()


@pytest.mark.parametrize("caller", [OTHER, NOBODY], ids=["a session", "a script"])
def test_others_are_refused_with_who_and_since_when(bench, caller):
    bench.pair_hold.keep(MINE)
    with pytest.raises(BadInput, match=rf"Another visitor shows this pair in a talk since {time.strftime('%H:')}"):
        bench.load_pair(PAIR, caller)
    assert bench.engine.live() == []


def test_the_speaker_may_load_another(bench):
    bench.pair_hold.keep(MINE)
    assert bench.engine.wait(bench.load_pair(PAIR, MINE), 30).state == "error"  # there is no such model


def test_after_the_release_everyone_may_again(bench):
    bench.pair_hold.keep(MINE)
    bench.pair_hold.release(MINE)
    assert bench.pair_hold.kept_by() is None
    bench.load_pair(PAIR, OTHER)


def test_a_session_that_is_gone_holds_nothing_and_holds_again_when_it_is_back(bench):
    there = [True]
    bench.pair_hold.keep(Caller(owner="mine", is_watching=lambda: there[0]))
    there[0] = False
    bench.pair_hold.check(OTHER)
    assert bench.pair_hold.kept_by() is None
    there[0] = True
    with pytest.raises(BadInput):
        bench.load_pair(PAIR, OTHER)


def test_a_load_that_was_waiting_when_the_talk_began_does_not_take_the_pair_away(bench, monkeypatch):
    """The job was let in before, and takes its first step after."""
    work = []
    monkeypatch.setattr(bench.engine, "submit", lambda kind, made, **_: work.append(made) or "job")
    bench.load_pair(PAIR, OTHER)
    bench.pair_hold.keep(MINE)
    with pytest.raises(BadInput, match="Another visitor"):
        next(work[0])


def test_a_second_talk_does_not_take_it_over():
    hold = PairHold()
    hold.keep(MINE)
    hold.keep(MINE)
    with pytest.raises(BadInput):
        hold.keep(OTHER)
    assert hold.kept_by().caller is MINE
