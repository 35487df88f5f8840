"""Whose turn it is on a card for one of two models: made-up weights and a clock that is set by hand."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from core.errors import ModelUnavailable, OutOfMemory
from core.jobs import Progress
from core.memory.lock import ModelLock
from core.memory.resident import IDLE_SECONDS, TURN_MOVES, TURN_SECONDS, Moves, OneCard, in_turn


@dataclass
class Clock:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Places:
    """Counts the swaps; each takes some seconds, or fails."""

    clock: Clock
    seconds: float = 3.0
    n_bytes: int = 16
    swaps: int = 0
    fails: bool = False
    is_closed: bool = False

    def swap(self) -> None:
        if self.fails:
            raise OutOfMemory("The card is full.", "Stop other runs.")
        self.swaps += 1
        self.clock.now += self.seconds

    def close(self) -> None:
        self.is_closed = True


@dataclass
class Stage:
    clock: Clock = field(default_factory=Clock)
    base: ModelLock = field(default_factory=ModelLock)
    reasoner: ModelLock = field(default_factory=ModelLock)

    def __post_init__(self) -> None:
        self.places = Places(self.clock)
        self.card = OneCard(
            self.places,
            here=("the base model", self.base),
            away=("the reasoning model", self.reasoner),
            guess=2.0,
            clock=self.clock,
        )

    def uses(self, lock: ModelLock, n: int = 1000, seconds: float = 0.1):
        """A job whose every step is at one model."""
        for i in range(n):
            with lock:
                assert not lock.is_away
                self.clock.now += seconds
            yield Progress(i + 1, n, "working")

    def begin(self, work):
        return in_turn(work, lambda: self.card)


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_whoever_enters_the_lock_finds_its_weights_and_the_other_is_away(stage):
    for lock, other in [(stage.base, stage.reasoner), (stage.reasoner, stage.base), (stage.reasoner, stage.base)]:
        with lock:
            assert (lock.is_away, other.is_away) == (False, True)
    assert stage.places.swaps == 1
    assert stage.base.excludes(stage.reasoner)
    assert not stage.base.excludes(stage.base)
    assert not stage.base.excludes(ModelLock())


def test_what_holds_on_to_the_place_lets_go_before_the_weights_leave(stage):
    @dataclass(eq=False)
    class Graph:
        at: int = -1

        def leave(self) -> None:
            self.at = stage.places.swaps

    ours, theirs = Graph(), Graph()
    stage.base.leavers.add(ours)
    stage.reasoner.leavers.add(theirs)
    with stage.reasoner:
        pass
    assert (ours.at, theirs.at) == (0, -1)


def test_a_move_is_said_before_it_is_made_with_the_time_of_the_last_one(stage):
    def work():
        for lock in (stage.base, stage.reasoner, stage.base):
            lock.expect()
            yield Progress(1, 4, "asks", partial="lanes")
            with lock:
                pass

    said = [(p.message, p.partial, p.done) for p in stage.begin(work())]
    assert said == [
        ("asks", "lanes", 1),
        ("asks", "lanes", 1),
        ("Moving the reasoning model to the card, about 2 s", "lanes", 1),
        ("asks", "lanes", 1),
        ("Moving the base model to the card, about 3 s", "lanes", 1),
    ]
    assert stage.card.moves == Moves(16, 2, 3.0)


def test_a_job_alone_moves_as_soon_as_it_asks_and_a_result_comes_through(stage):
    def work():
        yield from stage.uses(stage.base, 3)
        yield from stage.uses(stage.reasoner, 3)
        return "done"

    ended = []

    def follow():
        ended.append((yield from stage.begin(work())))

    said = [progress.message for progress in follow()]
    assert ended == ["done"]
    assert said == ["working"] * 6
    assert stage.places.swaps == 1


def test_two_jobs_at_different_models_have_long_turns_and_both_go_on(stage):
    jobs = [stage.begin(stage.uses(lock, 10_000)) for lock in (stage.base, stage.reasoner)]
    done, waits = [0, 0], 0
    began = stage.clock.now
    for _ in range(3000):
        for i, job in enumerate(jobs):
            progress = next(job)
            done[i] = max(done[i], progress.done)
            waits += progress.waiting
    share = stage.places.swaps * stage.places.seconds / (stage.clock.now - began)
    assert stage.places.swaps >= 2
    assert share <= 1 / TURN_MOVES
    assert min(done) > 300
    assert waits > 100


def test_a_job_that_waits_outside_or_takes_no_step_does_not_keep_the_card(stage):
    def judged():
        yield from stage.uses(stage.base, 1)
        while True:
            yield Progress(0, 0, "asking", waiting=True)

    other = stage.begin(judged())
    next(other), next(other)
    job = stage.begin(stage.uses(stage.reasoner))
    next(job)
    assert stage.places.swaps == 1
    third = stage.begin(stage.uses(stage.base))
    assert not next(third).waiting
    fourth = stage.begin(stage.uses(stage.reasoner))
    next(fourth)
    stage.clock.now += IDLE_SECONDS
    swaps = stage.places.swaps
    while next(job).done < 2:
        pass
    assert stage.places.swaps <= swaps + 1
    assert stage.clock.now < 100 + 5 * TURN_SECONDS


def test_the_end_of_a_job_frees_the_card_at_once(stage):
    first = stage.begin(stage.uses(stage.base))
    next(first)

    def asks():
        stage.reasoner.expect()
        yield Progress(0, 1)
        with stage.reasoner:
            yield Progress(1, 1)

    second = stage.begin(asks())
    next(second)
    assert next(second).waiting
    assert next(second).message == "Waiting while the base model is at work on the card"
    first.close()
    assert next(second).message.startswith("Moving the reasoning model")
    assert next(second).done == 1


def test_a_move_that_fails_is_a_sentence_and_leaves_both_usable(stage):
    stage.places.fails = True
    job = stage.begin(stage.uses(stage.reasoner))
    with pytest.raises(OutOfMemory, match="The card is full"):
        next(job)
    assert stage.card.moves.n_moves == 0
    with stage.base:
        assert stage.reasoner.is_away
    stage.places.fails = False
    assert next(stage.begin(stage.uses(stage.reasoner))).done == 1
    with stage.base:
        assert stage.places.swaps == 2


def test_closed_models_are_not_moved_and_say_that_they_are_gone(stage):
    stage.reasoner.close("R")
    stage.base.close("B")
    for lock, name in ((stage.reasoner, "R"), (stage.base, "B")):
        with pytest.raises(ModelUnavailable, match=f"{name} is not loaded any more"), lock:
            pass
    assert stage.places.swaps == 0


def test_a_fault_at_the_door_leaves_the_lock_open(stage):
    stage.places.fails = True
    for _ in range(2):
        with pytest.raises(OutOfMemory), stage.reasoner:
            pass
    with stage.base:
        pass


def test_a_pair_with_room_for_both_costs_nothing_and_a_new_card_is_found(stage):
    cards = [None]

    def work():
        for i in range(4):
            with stage.reasoner:
                yield Progress(i, 4)

    alone = in_turn((Progress(i, 3) for i in range(3)), lambda: None)
    assert [p.done for p in alone] == [0, 1, 2]
    job = in_turn(work(), lambda: cards[0])
    assert next(job).done == 0
    cards[0] = stage.card
    assert next(job).done == 1
    job.close()
    assert stage.card._turns == []
