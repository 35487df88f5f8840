"""Who is given what: every order is done once, whatever becomes of the workers, and few models are loaded."""

from __future__ import annotations

import random
from collections import Counter, deque

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.errors import ModelUnavailable, UserFacingError
from core.fleet.foreman import AT_ONCE, MOST_LOST, Foreman, Order
from core.fleet.hands import Answer, Task
from tests.fleet.local_hands import LocalHands


class Clerk:
    """A worker without a model: it answers with the task's own bytes, and counts what it would have loaded."""

    def __init__(self, unable=(), loads=None):
        self.unable, self.loads, self.held = unable, Counter() if loads is None else loads, b""

    def do(self, ticket, task):
        model, _, name = task.data.partition(b":")
        if model.decode() in self.unable:
            return Answer(ticket=ticket, outcome="unable", why=f"No room for {model.decode()}.")
        if name == b"bad":
            return Answer(ticket=ticket, outcome="failed", why="A cell went wrong.", remedy="Ask less.")
        if self.held != model:
            self.held = model
            self.loads[model.decode()] += 1
        return Answer(ticket=ticket, outcome="done", data=task.data)


def order(name, model="a"):
    return Order(key=f"{model}:{name}", model=model, task=Task(does="cell", data=f"{model}:{name}".encode()))


def run(foreman, orders):
    """What came of all orders, and how often each was handed back."""
    todo, done, times = list(orders), {}, Counter()
    for _ in range(1000):
        while todo and foreman.give(todo[0]):
            todo.pop(0)
        found = foreman.take(0.0)
        times.update(found.keys())
        done |= found
        if len(done) == len(orders):
            return done, times
    raise AssertionError("the orders never came to an end")


def test_every_order_comes_back_once_with_its_own_bytes_and_no_worker_has_more_than_two():
    hands = LocalHands(3, Clerk)
    foreman = Foreman(hands)
    orders = [order(i) for i in range(20)]
    given_at_once = [foreman.give(one) for one in orders]
    assert sum(given_at_once) == 3 * AT_ONCE
    assert foreman.keys == {one.key for one in orders[: 3 * AT_ONCE]}
    done, times = run(Foreman(LocalHands(3, Clerk)), orders)
    assert done == {one.key: one.task.data for one in orders}
    assert set(times.values()) == {1}


def test_a_model_is_loaded_where_it_is_held_already():
    loads = Counter()
    orders = [order(i, "ab"[i % 4 == 0]) for i in range(40)]
    run(Foreman(LocalHands(2, lambda: Clerk(loads=loads))), orders)
    assert loads == {"a": 1, "b": 1}
    loads.clear()
    run(Foreman(LocalHands(1, lambda: Clerk(loads=loads))), sorted(orders, key=lambda one: one.model))
    assert loads == {"a": 1, "b": 1}


def test_an_idle_worker_changes_its_model_only_when_it_is_told_that_nothing_else_is_left():
    loads = Counter()
    foreman = Foreman(LocalHands(2, lambda: Clerk(loads=loads)))
    assert all(foreman.give(order(i, "aabb"[i])) for i in range(4))
    assert foreman.is_full
    while foreman.keys:
        foreman.take()
    assert [foreman.give(order(i)) for i in range(5, 8)] == [True, True, False]
    assert not foreman.is_full
    assert not foreman.has_room("a")
    assert [foreman.holds(model) for model in "abc"] == [True, True, False]
    assert foreman.has_room("a", changing=True)
    assert foreman.give(order(8), changing=True)
    while foreman.keys:
        foreman.take()
    assert loads == {"a": 2, "b": 1}


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data(), st.integers(1, 4), st.integers(1, 25))
def test_whatever_becomes_of_the_workers_each_order_comes_back_once(data, n_workers, n_orders):
    losses = Counter()

    def is_lost(worker, ticket, task):
        lost = losses[worker] < MOST_LOST - 1 and data.draw(st.booleans())
        losses[worker] += lost
        return lost

    orders = [order(i, data.draw(st.sampled_from("ab"))) for i in range(n_orders)]
    done, times = run(Foreman(LocalHands(n_workers, Clerk, is_lost)), orders)
    assert done == {one.key: one.task.data for one in orders}
    assert set(times.values()) == {1}


def test_a_worker_that_is_lost_again_and_again_is_not_begun_once_more():
    foreman = Foreman(LocalHands(2, Clerk, lambda worker, *_: worker == 0))
    done, _ = run(foreman, [order(i) for i in range(12)])
    assert len(done) == 12
    assert foreman.n_workers == 1
    with pytest.raises(ModelUnavailable, match="All workers were lost"):
        run(Foreman(LocalHands(2, Clerk, lambda *_: True)), [order(1)])


def test_a_worker_that_cannot_hold_a_model_leaves_it_to_the_others_and_goes_on_with_another():
    clerks = iter([Clerk(unable={"a"}), Clerk()])
    hands = LocalHands(2, lambda: next(clerks))
    orders = [order(i, "ab"[i % 2]) for i in range(10)]
    done, times = run(Foreman(hands), orders)
    assert len(done) == 10
    assert set(times.values()) == {1}
    assert hands.members[0].loads == {"b": 1}
    with pytest.raises(ModelUnavailable, match="No room for a"):
        run(Foreman(LocalHands(2, lambda: Clerk(unable={"a"}))), [order(1)])


def test_a_task_that_fails_ends_with_its_sentence():
    with pytest.raises(UserFacingError, match=r"A cell went wrong\. Ask less\."):
        run(Foreman(LocalHands(2, Clerk)), [order("bad")])


def test_a_worker_that_has_not_begun_is_given_nothing_and_holds_nothing_up():
    hands = LocalHands(2, Clerk)
    hands.up = frozenset()
    foreman = Foreman(hands)
    assert not foreman.give(order(0))
    assert "others may use the cluster" in foreman.where
    hands.up = frozenset({1})
    done, _ = run(foreman, [order(i) for i in range(9)])
    assert len(done) == 9
    assert hands.done == {1: 9}
    assert foreman.where == "on 1 of 2 workers"
    hands.up = frozenset({0, 1})
    run(foreman, [order(i) for i in range(9)])
    assert hands.done[0]
    assert foreman.where == "on 2 workers"


def test_why_none_is_left_is_said_with_what_to_do():
    hands = LocalHands(1, Clerk)
    hands.answers = lambda seconds: [
        Answer(ticket=queue.popleft()[0], outcome="lost", why="ModuleNotFoundError: no core")
        for queue in hands.queues.values()
        if queue
    ]
    with pytest.raises(ModelUnavailable, match=r"All workers were lost\. ModuleNotFoundError: no core"):
        run(Foreman(hands), [order(1)])
    other = Task(does="cell", data=b"", source="of another version")
    with pytest.raises(ModelUnavailable, match=r"another version of Retrace\. Bring the same version to every host"):
        run(Foreman(LocalHands(2)), [Order(key="a", model="a", task=other)])


class SimulatedHands:
    """Workers on a clock of their own: tasks take from half to twice a second, one in fifty ends its worker."""

    def __init__(self, n, seed, begins=5.0):
        self.n_workers, self.begins, self.now, self.busy = n, begins, 0.0, 0.0
        self.rng = random.Random(seed)
        self.free_at = dict.fromkeys(range(n), begins)
        self.queues = {i: deque() for i in range(n)}
        self.deaths = 0
        self.up = frozenset(range(n))

    def give(self, worker, ticket, task):
        self.queues[worker].append((ticket, task, self.now))

    def answers(self, seconds):
        """The next answer on the clock."""
        waiting = [n for n, queue in self.queues.items() if queue]
        if not waiting:
            return []
        worker = min(waiting, key=lambda n: max(self.free_at[n], self.queues[n][0][2]))
        ticket, task, given = self.queues[worker].popleft()
        took = self.rng.uniform(0.5, 2.0)
        self.free_at[worker] = max(self.free_at[worker], given) + took
        self.now = max(self.now, self.free_at[worker])
        if self.rng.random() < 0.02:
            self.deaths += 1
            lost = [ticket, *(left for left, _, _ in self.queues[worker])]
            self.queues[worker].clear()
            return [Answer(ticket=one, outcome="lost") for one in lost]
        self.busy += took
        return [Answer(ticket=ticket, outcome="done", data=task.data)]

    def renew(self, worker):
        self.free_at[worker] = self.now + self.begins

    def close(self):
        pass


@pytest.mark.parametrize("n_workers", [2, 16])
def test_a_thousand_blocks_with_delays_and_deaths_leave_little_idle_and_few_in_memory(n_workers):
    hands = SimulatedHands(n_workers, seed=n_workers)
    foreman, times, most, made = Foreman(hands), Counter(), 0, iter(order(i) for i in range(1000))
    waiting = next(made)
    while sum(times.values()) < 1000:
        while waiting is not None and foreman.give(waiting):
            waiting = next(made, None)
        most = max(most, len(foreman.keys))
        times.update(foreman.take(0.0).keys())
    assert set(times.values()) == {1}
    assert len(times) == 1000
    assert most <= AT_ONCE * n_workers
    assert hands.deaths > 5
    down = hands.begins * (n_workers + hands.deaths)
    assert hands.busy / (n_workers * hands.now - down) > 0.9
