"""Who is given what: a task goes to a worker that holds its model; a lost worker's tasks are done again, none twice.

Knows neither torch nor what carries the tasks.
"""

from __future__ import annotations

import itertools
import logging
from dataclasses import dataclass, field

from core.errors import ModelUnavailable, UserFacingError
from core.fleet.hands import Answer, Hands, Task
from core.values import ModelSpec

log = logging.getLogger(__name__)

AT_ONCE = 2
"""Tasks that a worker has: one that it is at, one that waits beside it."""
MOST_LOST = 3
"""Times in a row that a worker may be lost before its place stays empty."""


def model_key(spec: ModelSpec, fingerprint: str) -> str:
    """What an order says of its model: one key for one set of weights as a worker holds them."""
    return f"{spec.precision} {fingerprint}"


@dataclass(frozen=True, kw_only=True)
class Order:
    """A task, the model that it needs, and what it is for: `key` names it to whoever asked."""

    key: str
    model: str
    task: Task


@dataclass
class _Worker:
    model: str = ""
    """What it holds, or will once it has come to its last task."""
    orders: dict[int, Order] = field(default_factory=dict)
    """By ticket."""
    lost: int = 0
    unable: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Models that it cannot hold, why, and what to do."""


class Foreman:
    """The workers of one plan. Not safe for several threads."""

    def __init__(self, hands: Hands) -> None:
        self._hands = hands
        self._workers = {number: _Worker() for number in range(hands.n_workers)}
        self._tickets = itertools.count()
        self._again: list[Order] = []
        self._last_loss = ""

    @property
    def keys(self) -> frozenset[str]:
        """What is being done, or will be."""
        given = (order.key for worker in self._workers.values() for order in worker.orders.values())
        return frozenset(itertools.chain(given, (order.key for order in self._again)))

    @property
    def n_workers(self) -> int:
        """How many are left."""
        return len(self._workers)

    @property
    def where(self) -> str:
        """Who does it, in words."""
        up = len(self._workers.keys() & self._hands.up)
        if not up:
            return "waiting for workers to begin: others may use the cluster"
        if up < self.n_workers:
            return f"on {up} of {self.n_workers} workers"
        return f"on {up} workers" if up > 1 else "on one worker"

    def give(self, order: Order, *, changing: bool = False) -> bool:
        """Have a worker do this; False while none has room. Raises ModelUnavailable where none can hold its model.

        `changing`: nothing else is left for idle workers, so one may change its model where those that hold this one
        are busy. What a lost worker left comes first.
        """
        self._again = [left for left in self._again if not self._place(left)]
        return not self._again and self._place(order, changing)

    @property
    def is_full(self) -> bool:
        """Whether no worker has room, whatever its model."""
        up = self._hands.up
        return bool(self._again) or all(len(w.orders) >= AT_ONCE for n, w in self._workers.items() if n in up)

    def holds(self, model: str) -> bool:
        """Whether a worker that can hold the model does, or will once it has come to its last task."""
        return any(w.model == model and model not in w.unable for w in self._workers.values())

    def has_room(self, model: str, *, changing: bool = False) -> bool:
        """Whether `give` would find a worker. Raises ModelUnavailable where none can hold the model."""
        return not self._again and self._choose(model, changing) is not None

    def _place(self, order: Order, changing: bool = False) -> bool:
        number = self._choose(order.model, changing)
        if number is None:
            return False
        worker, ticket = self._workers[number], next(self._tickets)
        worker.model, worker.orders[ticket] = order.model, order
        self._hands.give(number, ticket, order.task)
        return True

    def take(self, seconds: float = 0.0) -> dict[str, bytes]:
        """What was done, by key; waits that long for the first. Raises UserFacingError for what cannot be done."""
        self._again = [left for left in self._again if not self._place(left)]
        done: dict[str, bytes] = {}
        for answer in self._hands.answers(seconds):
            number = next((n for n, worker in self._workers.items() if answer.ticket in worker.orders), None)
            if number is not None:
                self._hear(number, answer, done)
        return done

    def close(self) -> None:
        """End all workers; what they were at is lost."""
        self._hands.close()

    def _choose(self, model: str, changing: bool) -> int | None:
        """A worker that holds the model, else one that holds none, else an idle one, so that few models are loaded."""
        able = {n: worker for n, worker in self._workers.items() if model not in worker.unable}
        if not able:
            raise self._nobody(model)
        up = self._hands.up
        with_room = {n: worker for n, worker in able.items() if n in up and len(worker.orders) < AT_ONCE}
        rank = {n: (worker.model != model, bool(worker.model), len(worker.orders)) for n, worker in with_room.items()}
        best = min(rank, key=lambda n: rank[n], default=None)
        if best is not None and rank[best][:2] == (True, True):
            stays = not changing and self.holds(model)
            return None if stays or with_room[best].orders else best
        return best

    def _nobody(self, model: str) -> ModelUnavailable:
        """Why no worker is left that could hold the model."""
        reasons = sorted({worker.unable[model] for worker in self._workers.values()})
        if not reasons:
            return ModelUnavailable(
                f"All workers were lost. {self._last_loss}".strip(),
                "Look at memory and logs of these hosts; the same command goes on.",
            )
        (_, remedy), *_ = reasons
        return ModelUnavailable(f"No worker can go on. {' '.join(why for why, _ in reasons[:3])}", remedy)

    def _hear(self, number: int, answer: Answer, done: dict[str, bytes]) -> None:
        worker = self._workers[number]
        order = worker.orders.pop(answer.ticket)
        if answer.outcome == "done":
            worker.lost = 0
            done[order.key] = answer.data
        elif answer.outcome == "failed":
            raise UserFacingError(answer.why, answer.remedy)
        elif answer.outcome == "unable":
            log.warning("worker %d cannot hold a model: %s", number, answer.why)
            worker.unable[order.model], worker.model = (answer.why, answer.remedy), ""
            self._again.append(order)
        else:
            self._lose(number, order, answer.why)

    def _lose(self, number: int, order: Order, why: str) -> None:
        """Give all orders of a worker that is gone to others, and begin a new one in its place."""
        worker = self._workers[number]
        self._again += [order, *worker.orders.values()]
        self._last_loss = why
        log.warning("worker %d was lost with %d tasks: %s", number, 1 + len(worker.orders), why)
        if worker.lost + 1 >= MOST_LOST:
            del self._workers[number]
            return
        self._workers[number] = _Worker(lost=worker.lost + 1, unable=worker.unable)
        self._hands.renew(number)
