"""Who keeps the loaded pair from being replaced: a session that shows it to a room, as long as it is there.

Knows no page. A session that is gone holds nothing, and holds again what it held when it comes back.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from core.errors import BadInput
from core.jobs import Caller


@dataclass(frozen=True, kw_only=True)
class Hold:
    """A session that keeps the pair, and since when, in seconds since 1970."""

    caller: Caller
    since: float


class PairHold:
    """The sessions that keep the pair. Safe to use from any thread."""

    def __init__(self) -> None:
        self._holds: dict[str, Hold] = {}
        self._lock = threading.Lock()

    def keep(self, caller: Caller) -> None:
        """Keep the pair for this session; again changes nothing. Raises BadInput while another one keeps it."""
        with self._lock:
            self._check(caller)
            self._holds.setdefault(caller.owner, Hold(caller=caller, since=time.time()))

    def release(self, caller: Caller) -> None:
        """This session keeps it no more."""
        with self._lock:
            self._holds.pop(caller.owner, None)

    def kept_by(self) -> Hold | None:
        """The session that keeps it now, or None."""
        with self._lock:
            return next((hold for hold in self._holds.values() if hold.caller.is_watching()), None)

    def check(self, caller: Caller) -> None:
        """Raise BadInput where another session keeps the pair now."""
        with self._lock:
            self._check(caller)

    def _check(self, caller: Caller) -> None:
        for owner, hold in self._holds.items():
            if owner != caller.owner and hold.caller.is_watching():
                since = time.strftime("%H:%M", time.localtime(hold.since))
                raise BadInput(
                    f"Another visitor shows this pair in a talk since {since}, and keeps it from being replaced.",
                    "Wait until that talk is over, or ask the speaker to leave it or to release the pair on the Talk "
                    "page.",
                )
