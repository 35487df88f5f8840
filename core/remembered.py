"""What is known of pairs that were loaded once: enough to show what was measured of them without a model."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace

from core.disk.store import Store
from core.experiments.folder import ExperimentFolder
from core.experiments.values import Plan
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
    """Pairs of a store, the one that was loaded last first; where it has none, those that experiments tell of."""

    def __init__(self, store: Store, experiments: ExperimentFolder) -> None:
        self._store, self._experiments = store, experiments

    def keep(self, facts: PairFacts) -> None:
        """Remember a pair that is loaded now."""
        self._store.put(KIND, facts, facts)

    def list(self) -> list[PairFacts]:
        """The latest pairs."""
        stored = [stored.value for stored in self._store.recent(KIND, PairFacts, MOST)]
        return stored or list(dict.fromkeys(map(_of_plan, self._plans())))

    def _plans(self) -> Iterator[Plan]:
        """The kept plans, with the fingerprints of what they were measured on."""
        for one in self._experiments.list()[:MOST]:
            outcome = self._experiments.outcome(one.experiment_id)
            if outcome is not None:
                yield replace(one.plan, fingerprints=outcome.fingerprints)


def _of_plan(plan: Plan) -> PairFacts:
    """What a plan says of its pair: sizes that it does not name are 0."""
    named = (plan.pair.base, plan.pair.reasoner)
    base, reasoner = (
        ModelFacts(
            spec=spec,
            fingerprint=fingerprint,
            name=spec.name,
            n_layers=max(plan.layers, default=0) + 1,
            d_model=0,
            d_vocab=0,
            context_length=0,
        )
        for spec, fingerprint in zip(named, plan.fingerprints, strict=True)
    )
    return PairFacts(base=base, reasoner=reasoner)


def has_torch() -> bool:
    """Whether models can be loaded here at all; torch itself is not imported for the answer."""
    if "torch" in sys.modules:
        return sys.modules["torch"] is not None
    return importlib.util.find_spec("torch") is not None
