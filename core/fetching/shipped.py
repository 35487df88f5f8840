"""Pairs of which the project holds the adapter and the package index the base model. No network, no torch.

An adapter is offered only where it lies whole in `demo/adapters`, beside the record of how it was made.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from core.errors import UserFacingError
from core.fetching.catalogue import SOURCES, Source, source_named
from core.models.folders import ADAPTER_CONFIG, ADAPTER_WEIGHTS, check_adapter_names, made_for, read_config
from core.models.naming import read_both
from core.settings import PROJECT
from core.values import ModelSpec, PairSpec, Precision

ADAPTERS, RECORD = "demo/adapters", "record.json"
PRECISION: Precision = "bf16"
"""As the pair is loaded where none is asked for: the base model comes in it."""


@dataclass(frozen=True, kw_only=True)
class ShippedPair:
    """A base model that can be fetched, and the adapter for it that comes with the project."""

    source: Source
    adapter: str
    """Its folder, as a model's adapter names it."""
    attribution: str
    """What is said wherever the pair is offered, "" where nothing need be."""

    @property
    def name(self) -> str:
        """By which it is fetched."""
        return f"{self.source.name}-pair"

    @property
    def title(self) -> str:
        """What it is called on screen."""
        return f"{self.source.size} pair"

    @property
    def reasoner(self) -> str:
        """The name of its reasoning model."""
        return self.adapter.rpartition("/")[2]

    def spec(self, precision: Precision = PRECISION, device: str = "cpu") -> PairSpec:
        """The pair as it is loaded."""
        base = ModelSpec(repo_id=self.source.name, precision=precision, device=device)
        return PairSpec(
            base=base,
            reasoner=ModelSpec(repo_id=base.repo_id, precision=precision, device=device, adapter=self.adapter),
        )


def shipped_pairs() -> Mapping[str, ShippedPair]:
    """Those of this project by name; of several adapters for one base model the first by name."""
    found: dict[str, ShippedPair] = {}
    for config in sorted((PROJECT / ADAPTERS).glob(f"*/{ADAPTER_CONFIG}")):
        pair = _pair_in(config.parent)
        if pair is not None:
            found.setdefault(pair.name, pair)
    return found


def read_pair_name(text: str, *, precision: Precision, device: str) -> PairSpec:
    """A shipped pair by its name, or the pair that "BASE,REASONER" names. Raises BadInput."""
    shipped = shipped_pairs().get(text.strip())
    return shipped.spec(precision, device) if shipped else read_both(text, precision=precision, device=device)


def named(name: str) -> tuple[Source, ShippedPair | None]:
    """What is fetched by that name, and the pair that it becomes, if any. Raises BadInput."""
    pairs = shipped_pairs()
    if name in pairs:
        return pairs[name].source, pairs[name]
    return source_named(name, beside=pairs), None


def _pair_in(folder: Path) -> ShippedPair | None:
    """The pair of a folder's adapter; None for one that is not whole, or of a model that cannot be fetched."""
    try:
        check_adapter_names([path.name for path in folder.iterdir()], folder.name)
        source, record = SOURCES.get(made_for(folder / ADAPTER_CONFIG)), read_config(folder / RECORD)
    except (UserFacingError, OSError):
        return None
    said = record.get("attribution")
    if source is None or not (folder / ADAPTER_WEIGHTS).is_file():
        return None
    return ShippedPair(
        source=source, adapter=f"{ADAPTERS}/{folder.name}", attribution=said if isinstance(said, str) else ""
    )
