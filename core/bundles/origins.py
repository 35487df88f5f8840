"""Where merged results came from: one small file per bundle, kept beside the results."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from core.bundles.manifest import Place
from core.disk import files
from core.text.lines import shown_line

MAX_BYTES = 16 << 20
log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Origin:
    """A bundle that was merged, and what of it was new here, as "place/key"."""

    title: str
    made_at: float
    merged_at: float
    """Seconds since 1970."""
    new: frozenset[str]


class Origins:
    """The bundles that were merged into the cache under `root`. Safe to use from any thread."""

    def __init__(self, root: Path) -> None:
        self.folder = root / "origins"

    def list(self) -> list[Origin]:
        """All of them, the latest first; what cannot be read is left out."""
        found = [_read(path) for path in self.folder.glob("*.json")] if self.folder.is_dir() else []
        return sorted(filter(None, found), key=lambda origin: -origin.merged_at)

    def of(self, place: Place, key: str) -> Origin | None:
        """The bundle that something came from; None for what was made here."""
        return next((origin for origin in self.list() if f"{place}/{key}" in origin.new), None)

    def keep(self, bundle_id: str, origin: Origin) -> None:
        """Keep an origin; a bundle that is merged again adds what is new now. Raises OSError."""
        files.private_folder(self.folder.parent)
        files.private_folder(self.folder)
        path = self.folder / f"{bundle_id}.json"
        known = _read(path) if path.exists() else None
        new: Iterable[str] = origin.new | (known.new if known else frozenset())
        files.write_whole(path, json.dumps(asdict(origin) | {"new": sorted(new)}).encode())


def _read(path: Path) -> Origin | None:
    try:
        found = json.loads(files.read_regular(path, limit=MAX_BYTES))
        return Origin(
            title=shown_line(str(found["title"]), 200),
            made_at=float(found["made_at"]),
            merged_at=float(found["merged_at"]),
            new=frozenset(map(str, found["new"])),
        )
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        log.warning("The origin %s cannot be read: %s", path.name, error)
        return None
