"""What is known of pairs that were loaded once: enough to show what was measured of them without a model."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass

from core.disk.store import Store
from core.models.pair import ModelFacts

KIND = "pair"
MOST = 20


@dataclass(frozen=True, kw_only=True)
class PairFacts:
    """The facts of both models of a pair."""

    base: ModelFacts
    reasoner: ModelFacts

    @property
    def fingerprints(self) -> tuple[str, str]:
        return self.base.fingerprint, self.reasoner.fingerprint


class RememberedPairs:
    """Pairs of a store, the one that was loaded last first."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def keep(self, facts: PairFacts) -> None:
        """Remember a pair that is loaded now."""
        self._store.put(KIND, facts, facts)

    def list(self) -> list[PairFacts]:
        """The latest pairs."""
        return [stored.value for stored in self._store.recent(KIND, PairFacts, MOST)]


def has_torch() -> bool:
    """Whether models can be loaded here at all; torch itself is not imported for the answer."""
    if "torch" in sys.modules:
        return sys.modules["torch"] is not None
    return importlib.util.find_spec("torch") is not None
