"""Two models that share a card: whose weights are on it, what is said before they change places, and whose turn it is.

The work of a job runs through `in_turn`: before each step the model that it is at comes to the card. A use that nobody
said before finds its model too, since the lock of its weights brings it (`core.memory.lock`). Of jobs at different
models one has the card for a while, so that changing places takes a small share of the time. Importing it costs no
torch.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from typing import Protocol

from core.jobs import Progress
from core.memory.lock import ModelLock
from core.values import T

log = logging.getLogger(__name__)

TURN_SECONDS, TURN_MOVES = 10.0, 10.0
"""How long jobs at one model keep the card while another waits for it: so long, or so many times a move."""
IDLE_SECONDS = 5.0
"""After this time without a step a job does not keep the card any more."""


class Places(Protocol):
    """The memory of the two models (`core.memory.exchange.Exchange`)."""

    @property
    def n_bytes(self) -> int: ...

    def swap(self) -> None: ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class Moves:
    """What pages say of two models that share a card."""

    n_bytes: int
    """Of the computer's memory, that the model takes which is not on the card."""
    n_moves: int
    seconds: float | None
    """Of the last move, or None before the first one."""


@dataclass(eq=False)
class Guest:
    """A model that shares the card; it is the `Place` of its lock."""

    title: str
    """As in "the base model"."""
    lock: ModelLock
    card: OneCard

    @property
    def is_here(self) -> bool:
        return self.card.here is self

    def come(self) -> None:
        self.expect()
        self.card.bring(self)

    def expect(self) -> None:
        self.card.expect(self)


@dataclass(eq=False)
class Turn:
    """What a job needs of the card."""

    at: Guest | None = None
    """The model that its last step was at, or that it said its next one is at."""
    seen: float = 0.0
    """When its last step ended."""
    rests: bool = False
    """Whether it waits for something outside."""


class OneCard:
    """The two models and who is on the card. Only the engine's thread steps jobs; locks may be taken from any."""

    def __init__(
        self,
        places: Places,
        *,
        here: tuple[str, ModelLock],
        away: tuple[str, ModelLock],
        guess: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """(title, lock) of both models; `guess` is how long a move may take, in seconds, 0 where nothing is known."""
        self._places, self._clock, self._guess = places, clock, guess
        self._guests = tuple(Guest(title, lock, self) for title, lock in (here, away))
        self.here = self._guests[0]
        together = threading.Lock()
        for guest in self._guests:
            guest.lock.share(together, guest)
        self._turns: list[Turn] = []
        self._turn: Turn | None = None
        self._since = clock()
        self._moves = Moves(places.n_bytes, 0, None)

    @property
    def moves(self) -> Moves:
        """How often models were moved, and how long that took last."""
        return self._moves

    def expect(self, guest: Guest) -> None:
        """Note that the job that takes a step now is at this model."""
        if self._turn is not None:
            self._turn.at = guest

    def bring(self, guest: Guest) -> None:
        """Have this model on the card; the caller holds the lock of both. Raises OutOfMemory, with nothing moved."""
        if guest is self.here:
            return
        began, gone = self._clock(), self.here
        for leaver in list(gone.lock.leavers):
            leaver.leave()
        self._places.swap()
        self.here, self._since = guest, self._clock()
        self._moves = Moves(self._moves.n_bytes, self._moves.n_moves + 1, self._since - began)
        log.info(
            "%s came to the card and %s left it, %.1f GB each, in %.2f s",
            guest.title,
            gone.title,
            self._moves.n_bytes / 1e9,
            self._moves.seconds,
        )

    def let_in(self, turn: Turn, last: Progress) -> Generator[Progress, None, None]:
        """Bring the model that a job is at, once it is its turn; `last` is what the job said of itself."""
        if turn not in self._turns:
            self._turns.append(turn)
        while turn.at in self._guests and turn.at is not self.here:
            if self._is_kept_from(turn):
                yield replace(last, message=f"Waiting while {self.here.title} is at work on the card", waiting=True)
                continue
            yield replace(last, message=self._announced(turn.at), waiting=False)
            if not self._is_kept_from(turn):
                with turn.at.lock:
                    pass

    def step(self, turn: Turn, work: Generator[Progress, None, T]) -> Progress:
        """The next step of a job's work, of which it is noted what it is at."""
        before, self._turn = self._turn, turn
        try:
            progress = next(work)
        finally:
            self._turn, turn.seen = before, self._clock()
        turn.rests = progress.waiting
        return progress

    def end(self, turn: Turn) -> None:
        """The job is over."""
        if turn in self._turns:
            self._turns.remove(turn)

    def close(self) -> None:
        """Let go of the memory, once both locks are closed."""
        self._places.close()

    def _is_kept_from(self, turn: Turn) -> bool:
        """Whether other jobs are at the model on the card, and have not been there for long."""
        now = self._clock()
        if now - self._since > max(TURN_SECONDS, TURN_MOVES * (self._moves.seconds or 0.0)):
            return False
        others = [one for one in self._turns if one is not turn and one.at is self.here and not one.rests]
        return any(now - one.seen < IDLE_SECONDS for one in others)

    def _announced(self, guest: Guest) -> str:
        seconds = self._moves.seconds or self._guess
        return f"Moving {guest.title} to the card" + (f", about {max(1, round(seconds))} s" if seconds else "")


def in_turn(work: Generator[Progress, None, T], card_now: Callable[[], OneCard | None]) -> Generator[Progress, None, T]:
    """The work of a job, each step of it with the model that it is at on the card, where two models share one.

    `card_now` gives the card of the pair that is in memory, None where both models have room.
    """
    turn, last, card = Turn(), Progress(0, 0), card_now()
    try:
        while True:
            if (now := card_now()) is not card:
                turn, card = Turn(), now
            if card is not None:
                yield from card.let_in(turn, last)
            try:
                last = next(work) if card is None else card.step(turn, work)
            except StopIteration as stop:
                ended: T = stop.value
                return ended
            yield last
    finally:
        if card is not None:
            card.end(turn)
        work.close()
