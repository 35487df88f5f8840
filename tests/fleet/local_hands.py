"""Workers of this very process: what Ray's do, with losses that a test decides."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence

from core.fleet.hands import Answer, Task
from core.fleet.member import Member

Fate = Callable[[int, int, Task], bool]
"""Whether a worker, by number, is lost at a task, by ticket."""


class LocalHands:
    """`n` members in turn, a task at each look; `is_lost` ends a worker before it answers."""

    def __init__(self, n: int, make: Callable[[], Member] = Member, is_lost: Fate = lambda *_: False) -> None:
        self.n_workers, self._make, self._is_lost = n, make, is_lost
        self.members = {i: make() for i in range(n)}
        self.queues: dict[int, deque[tuple[int, Task]]] = {i: deque() for i in range(n)}
        self.gone: list[Answer] = []
        self.done: Counter[int] = Counter()
        """Tasks that each worker ended."""
        self.up = frozenset(range(n))
        self.closed = False

    def give(self, worker: int, ticket: int, task: Task) -> None:
        self.queues[worker].append((ticket, task))

    def answers(self, seconds: float) -> Sequence[Answer]:
        found, self.gone = self.gone, []
        for worker in self.queues:
            if self.queues[worker]:
                found.append(self._turn(worker))
        return found

    def _turn(self, worker: int) -> Answer:
        ticket, task = self.queues[worker].popleft()
        if self._is_lost(worker, ticket, task):
            self.gone += [Answer(ticket=left, outcome="lost") for left, _ in self.queues[worker]]
            self.queues[worker].clear()
            return Answer(ticket=ticket, outcome="lost")
        self.done[worker] += 1
        return self.members[worker].do(ticket, task)

    def renew(self, worker: int) -> None:
        self.members[worker] = self._make()

    def close(self) -> None:
        self.closed = True
