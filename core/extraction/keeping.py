"""How often a pass keeps what it has gathered: a killed process loses no more than the time since. Knows no sums."""

from __future__ import annotations

import time
from collections.abc import Callable

KEEP_SECONDS, KEEP_SHARE = 30.0, 0.05
"""How often what a pass has gathered is kept, and the share of its time that keeping may take."""


class Keeper:
    """Keeps now and then what a pass has gathered: a killed process loses no more than the time since."""

    def __init__(self, keep: Callable[[], None]) -> None:
        self.keep = keep
        self._next = time.monotonic() + KEEP_SECONDS

    def look(self) -> None:
        """Keep, if it is time."""
        began = time.monotonic()
        if began >= self._next:
            self.keep()
            ended = time.monotonic()
            self._next = ended + max(KEEP_SECONDS, (ended - began) / KEEP_SHARE)
