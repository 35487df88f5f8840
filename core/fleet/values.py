"""How many workers there are, and where. No Ray."""

from __future__ import annotations

import re
from dataclasses import dataclass

from core.errors import BadInput

AUTO = "auto"
"""The cluster that this machine belongs to, else one of this machine alone."""
LOCAL = "local"
"""One of this machine alone."""
MOST = 1024
_ADDRESS = re.compile(r"(ray://)?[\w.-]{1,200}:\d{1,5}|local|auto")


@dataclass(frozen=True, kw_only=True)
class FleetSpec:
    """Workers on a Ray cluster."""

    address: str = AUTO
    workers: int = 1
    gpus: float = 0.0
    """Cards of each worker; a part of one where several share it."""

    def __post_init__(self) -> None:
        if not _ADDRESS.fullmatch(self.address):
            raise BadInput(f"{self.address[:80]!r} is no address of a Ray cluster.", "Name auto, local or HOST:PORT.")
        if not 1 <= self.workers <= MOST:
            raise BadInput(f"{self.workers} workers were asked for.", f"Name 1 to {MOST}.")
        if not 0 <= self.gpus <= 1:
            raise BadInput(
                f"{self.gpus:g} cards were asked for each worker.",
                "Name 0 for none, 1 for a card, or a part of one: a model runs on one card.",
            )
