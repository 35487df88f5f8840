"""What carries tasks to workers and answers back, whatever it is. A worker does what it is given in order."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from core.settings import PROJECT

Outcome = Literal["done", "unable", "failed", "lost"]


@functools.cache
def source_digest() -> str:
    """A sha256 of the code that makes results, on this machine."""
    files = sorted((PROJECT / "core").rglob("*.py"))
    parts = (part for file in files for part in (str(file.relative_to(PROJECT)).encode(), file.read_bytes()))
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Task:
    """What a worker is to do: the name of a method of `Member`, and what it takes."""

    does: Literal["cell", "sums"]
    data: bytes
    more: tuple[bytes, ...] = ()
    source: str = field(default_factory=source_digest)
    """Of whoever gives it: a worker of another version does nothing."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """How a task ended: `data` is what came of it, and `why` a sentence where nothing did.

    `unable`: the worker cannot hold the model. `failed`: the task itself cannot be done. `lost`: the worker is gone.
    """

    ticket: int
    outcome: Outcome
    data: bytes = b""
    why: str = ""
    remedy: str = ""


class Hands(Protocol):
    """Workers by number."""

    @property
    def n_workers(self) -> int:
        """How many there are."""
        ...

    @property
    def up(self) -> frozenset[int]:
        """Those that have begun, whatever became of them; others wait for room, or still begin."""
        ...

    def give(self, worker: int, ticket: int, task: Task) -> None:
        """Have a worker do a task after those that it was given before."""
        ...

    def answers(self, seconds: float) -> Sequence[Answer]:
        """What came back since the last call; waits that long for the first."""
        ...

    def renew(self, worker: int) -> None:
        """Begin a new worker in the place of one that is gone."""
        ...

    def close(self) -> None:
        """End all workers."""
        ...
