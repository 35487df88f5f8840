"""Many questions asked side by side on threads of their own: pace, further tries, giving up. Knows no labels.

The threads only ask and put what came of it in a queue; the engine looks into it and never blocks.
"""

from __future__ import annotations

import logging
import queue
import random
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from core.errors import BadInput, JudgeUnavailable
from core.labelling.endpoint import Unanswered

Q = TypeVar("Q", bound=Hashable)
A = TypeVar("A")

GIVE_UP_AFTER = 5
"""Questions in a row without an answer after which the rest is not asked."""
MAX_PAUSE = 30.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How fast the endpoint is asked, and how often again. Raises BadInput for numbers out of range."""

    at_once: int = 4
    per_minute: float = 120.0
    attempts: int = 4
    """Tries of a question, the first included."""
    first_pause: float = 1.0
    """Seconds before the second try; doubled each time, with chance, up to half a minute."""

    def __post_init__(self) -> None:
        if not (1 <= self.at_once <= 32 and 0 < self.per_minute <= 10_000 and 1 <= self.attempts <= 10):
            raise BadInput(
                f"{self.at_once} questions at once, {self.per_minute:g} a minute with {self.attempts} tries are not "
                "possible.",
                "Choose 1 to 32 at once, up to 10,000 a minute, and 1 to 10 tries.",
            )


CALM = Pace()


class Crew(Generic[Q, A]):
    """Gets `questions` answered by `ask(question, what went wrong before)`, which raises Unanswered.

    `keep` gets every answer. Between `start` and `stop`, call `look` from time to time: it brings `answers` and
    `failed` up to date.
    """

    def __init__(
        self,
        questions: Sequence[Q],
        ask: Callable[[Q, Unanswered | None], A],
        *,
        keep: Callable[[Q, A], None],
        pace: Pace,
    ) -> None:
        self.answers: dict[Q, A] = {}
        self.failed: dict[Q, str] = {}
        self._ask, self._keep, self._pace = ask, keep, pace
        self._todo: queue.SimpleQueue[Q] = queue.SimpleQueue()
        self._came: queue.SimpleQueue[tuple[Q, A | Unanswered]] = queue.SimpleQueue()
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._next_at = 0.0
        self._in_a_row = 0
        for question in questions:
            self._todo.put(question)
        self._threads = min(pace.at_once, len(questions))

    def start(self) -> None:
        """Begin to ask."""
        for number in range(self._threads):
            threading.Thread(target=self._run, name=f"retrace-judge-{number}", daemon=True).start()

    def stop(self) -> None:
        """Ask nothing more."""
        self._stopped.set()

    def look(self) -> None:
        """Take in what came. Raises JudgeUnavailable when nothing more is to be expected."""
        while not self._came.empty():
            question, outcome = self._came.get()
            if not isinstance(outcome, Unanswered):
                self.answers[question] = outcome
                self._in_a_row = 0
                continue
            self.failed[question] = outcome.reason
            self._in_a_row += 1
            if outcome.scope == "job":
                raise JudgeUnavailable(outcome.reason, "Correct the judge's settings, then run it again.")
            if self._in_a_row >= GIVE_UP_AFTER:
                raise JudgeUnavailable(
                    f"{self._in_a_row} questions in a row got no usable answer. The last reason: {outcome.reason}",
                    "What was answered is kept. Change the prompt, the model or the pace, or run it again later.",
                )

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                question = self._todo.get_nowait()
            except queue.Empty:
                return
            outcome = self._outcome(question)
            if isinstance(outcome, Unanswered) and outcome.scope == "job":
                self.stop()
            self._came.put((question, outcome))

    def _outcome(self, question: Q) -> A | Unanswered:
        """An answer, kept, or what the last try ended with."""
        last: Unanswered | None = None
        for attempt in range(self._pace.attempts):
            if last is not None:
                self._stopped.wait(self._pause(attempt, last))
            if not self._may_go():
                break
            try:
                answer = self._ask(question, last)
            except Unanswered as error:
                last = error
                if error.scope != "once":
                    break
            except Exception as error:
                # Its text could quote what was sent, so only the kind of the fault is logged.
                if not self._stopped.is_set():
                    log.error("the judge met an unforeseen %s", type(error).__name__)
                last = Unanswered(f"An unforeseen fault ({type(error).__name__}).", "batch")
                break
            else:
                self._keep(question, answer)
                return answer
        return last or Unanswered("It was stopped before it was asked.", "batch")

    def _pause(self, attempt: int, last: Unanswered) -> float:
        pause = min(self._pace.first_pause * float(1 << (attempt - 1)), MAX_PAUSE)
        return max(pause * random.uniform(0.5, 1.5), last.wait or 0.0)

    def _may_go(self) -> bool:
        """Wait for this question's turn under the limit per minute; False when it was stopped meanwhile."""
        with self._lock:
            now = time.monotonic()
            turn = max(now, self._next_at)
            self._next_at = turn + 60.0 / self._pace.per_minute
        return not self._stopped.wait(turn - now)
