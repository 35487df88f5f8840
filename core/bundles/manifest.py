"""What a bundle says of itself, and the places that its files have in a cache."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from typing import Literal, get_args

from core.bundles.layout import BadBundle
from core.text.lines import shown_line

SCHEMA, _BEFORE_TALKS = 2, 1
"""Raised when a bundle is written that an older Retrace would read wrongly; one without a talk it reads rightly."""
MANIFEST = "manifest.json"
MAX_MANIFEST_BYTES = 16 << 20
FORMAT = "retrace-bundle"

Kind = Literal["experiment", "runs", "directions", "talk", "project"]
Place = Literal["value", "file", "part", "direction", "means", "run", "experiment", "traces", "talk"]

_HEX = "[0-9a-f]"
_KEY = rf"[a-z][a-z0-9_]{{0,31}}-{_HEX}{{64}}"
_KEYS: dict[Place, re.Pattern[str]] = {
    "value": re.compile(_KEY),
    "file": re.compile(_KEY),
    "part": re.compile(rf"{_KEY}\.[0-9]{{8}}/[a-z0-9-]{{1,40}}"),
    "direction": re.compile(rf"{_HEX}{{20}}"),
    "means": re.compile(rf"{_HEX}{{20}}"),
    "run": re.compile(rf"{_HEX}{{20}}"),
    "experiment": re.compile(rf"{_HEX}{{20}}\.(plan|outcome)\.json"),
    "talk": re.compile("0{20}"),
    "traces": re.compile(
        rf"({_HEX}{{12}}/(traces|index|edits)\.jsonl|{_HEX}{{12}}/set\.json|embedded-{_HEX}{{20}}/edits\.jsonl"
        rf"|({_HEX}{{12}}|embedded-{_HEX}{{20}})/labels-{_HEX}{{16}}\.jsonl)"
    ),
}


@dataclass(frozen=True, kw_only=True)
class Item:
    """A file of the bundle: where it belongs, under which key, and what its bytes are."""

    place: Place
    key: str
    size: int
    sha256: str

    @property
    def name(self) -> str:
        """Its name in the bundle."""
        return name_of(self.place, self.key)


@dataclass(frozen=True, kw_only=True)
class PlanLine:
    """An experiment of the bundle in a line."""

    experiment_id: str
    title: str
    base: str
    reasoner: str
    precision: str
    done: int
    total: int


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a bundle holds."""

    kind: Kind
    title: str
    made_at: float
    """Seconds since 1970."""
    versions: dict[str, str]
    plans: tuple[PlanLine, ...]
    items: tuple[Item, ...]

    def count(self, place: Place) -> int:
        """How many things of a place it holds: sets for traces, values for parts, plans for experiments."""
        if place == "traces":
            return len({item.key.partition("/")[0] for item in self.items if item.place == place})
        if place == "part":
            return len({item.key.partition("/")[0] for item in self.items if item.place == place})
        if place == "experiment":
            return len(self.plans)
        return sum(item.place == place for item in self.items)

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(item.size for item in self.items)


def is_key(place: Place, key: str) -> bool:
    """Whether it is a key that things of the place have."""
    return _KEYS[place].fullmatch(key) is not None


def name_of(place: Place, key: str) -> str:
    """The name in the bundle of what has this key. Keys of values are unique over their kinds."""
    if place in ("value", "file"):
        return f"{key[-64:]}.safetensors"
    if place == "part":
        return f"{place}-{hashlib.sha256(key.encode()).hexdigest()[:40]}.safetensors"
    if place in ("experiment", "traces"):
        return f"{place}-{key.replace('/', '-')}"
    return f"{place}-{key}.safetensors"


def manifest_json(manifest: Manifest) -> bytes:
    """The manifest as JSON that a person can read."""
    schema = SCHEMA if manifest.count("talk") else _BEFORE_TALKS
    head = {"format": FORMAT, "schema": schema, **asdict(manifest)}
    head["items"] = [{"name": item.name, **asdict(item)} for item in manifest.items]
    return json.dumps(head, indent=1, ensure_ascii=True).encode()


def read_manifest(data: bytes) -> Manifest:
    """The manifest. Raises BadBundle for what is none and for one of a newer Retrace."""
    try:
        found = json.loads(data)
        if not isinstance(found, dict) or found.get("format") != FORMAT:
            raise ValueError("it is not the manifest of a bundle")
        schema = int(found["schema"])
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise BadBundle("its manifest cannot be read.") from error
    if schema > SCHEMA:
        raise BadBundle(
            f"a newer Retrace made it (format {schema}; this one reads up to {SCHEMA}).",
            "Update Retrace, and try again.",
        )
    try:
        return _made(found)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise BadBundle("its manifest does not say what it must.") from error


def _made(found: dict[str, object]) -> Manifest:
    """Raises ValueError, TypeError, KeyError."""
    kind = found["kind"]
    known: tuple[Kind, ...] = get_args(Kind)
    items, plans, versions = found["items"], found["plans"], found["versions"]
    if not (isinstance(items, list) and isinstance(plans, list) and isinstance(versions, dict)):
        raise TypeError("items, plans or versions")
    made_at = found["made_at"]
    if isinstance(made_at, bool) or not isinstance(made_at, int | float) or not 0 <= made_at < 1e11:
        raise ValueError("made_at")
    return Manifest(
        kind=next(one for one in known if one == kind) if kind in known else _no(kind),
        title=shown_line(str(found["title"]), 200),
        made_at=float(made_at),
        versions={shown_line(str(k), 40): shown_line(str(v), 80) for k, v in list(versions.items())[:20]},
        plans=tuple(_plan(row) for row in plans),
        items=tuple(_item(row) for row in items),
    )


def _no(kind: object) -> Kind:
    raise ValueError(f"kind {kind!r}")


def _item(row: dict[str, object]) -> Item:
    known: tuple[Place, ...] = get_args(Place)
    place = next((one for one in known if one == row["place"]), None)
    key, size, sha256 = row["key"], row["size"], row["sha256"]
    if place is None or not isinstance(key, str) or not is_key(place, key):
        raise ValueError("a place or key")
    if isinstance(size, bool) or not isinstance(size, int) or size < 0 or not isinstance(sha256, str):
        raise TypeError("a size or digest")
    item = Item(place=place, key=key, size=size, sha256=sha256)
    if row["name"] != item.name:
        raise ValueError("a name")
    return item


def _plan(row: dict[str, object]) -> PlanLine:
    texts = {
        name: shown_line(str(row[name]), 200) for name in ("experiment_id", "title", "base", "reasoner", "precision")
    }
    return PlanLine(**texts, done=int(str(row["done"])), total=int(str(row["total"])))
