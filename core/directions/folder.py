"""Saved directions: the user's data, one safetensors file each, kept until the user deletes them. No cache, no torch.

Also our own exchange format: a direction as safetensors bytes with its provenance, and back.
"""

from __future__ import annotations

import builtins
import dataclasses
import hashlib
import math
from dataclasses import dataclass
from pathlib import Path

from core.directions.direction import Direction
from core.directions.tensors import MAX_HEADER_BYTES, check_size
from core.disk import codec
from core.disk.kept import ITEM_ID, SUFFIX, Kept, KeptFiles
from core.errors import BadDirection, BadInput, UserFacingError
from core.text.lines import kept_line

MAX_NAME, MAX_NOTE, MAX_NOTES, MAX_LAYER = 120, 1000, 64, 1000
NOTE = "note"
"""The entry of the provenance that the user writes; like the name it does not make another direction."""

EXPORT_AGAIN = "Choose a .safetensors file with one vector of d_model numbers, or export the direction again."


@dataclass(frozen=True, kw_only=True)
class SavedDirection:
    """A direction in the folder, its id, and when it was saved, in seconds since 1970."""

    direction_id: str
    direction: Direction
    saved_at: float


class DirectionFolder:
    """The directions under `root`/directions. Safe to use from any thread; several processes may share it."""

    def __init__(self, root: Path) -> None:
        self.folder = Path(root).absolute() / "directions"
        self._kept = KeptFiles(
            self.folder,
            Direction,
            noun="direction",
            again="extract or upload it again",
            damaged=BadDirection,
            id_of=id_of,
        )

    def save(self, direction: Direction) -> str:
        """Keep the direction and return its id; the same direction keeps one file, under the latest name.

        Raises UserFacingError when the disk refuses it; then no part of it is left.
        """
        direction_id = id_of(direction)
        self._kept.put(direction_id, direction, title=direction.name)
        return direction_id

    def list(self) -> list[SavedDirection]:
        """The intact directions, newest first."""
        return [_saved(kept) for kept in self._kept.scan()[0]]

    def broken(self) -> builtins.list[tuple[str, str]]:
        """File name and reason for every direction file that cannot be used; the files are left as they are."""
        return self._kept.scan()[1]

    def load(self, direction_id: str) -> Direction:
        """The direction of the id. Raises BadInput when it is not there, BadDirection when its file is damaged."""
        return self._kept.get(direction_id).value

    def rename(self, direction_id: str, name: str) -> None:
        """Give a saved direction another name. Raises BadInput for an empty name, else as `load` and `save`."""
        kept, name = self._kept.get(direction_id), kept_line(name, MAX_NAME)
        if not name:
            raise BadInput("The direction's new name is empty.", "Type a name.")
        self._replace(kept, dataclasses.replace(kept.value, name=name))

    def annotate(self, direction_id: str, note: str) -> None:
        """Set the note of a saved direction, or remove it with an empty one. Raises as `load` and `save`."""
        kept, note = self._kept.get(direction_id), kept_line(note, MAX_NOTE)
        others = tuple((key, value) for key, value in kept.value.provenance if key != NOTE)
        provenance = (*others, (NOTE, note)) if note else others
        self._replace(kept, dataclasses.replace(kept.value, provenance=provenance))

    def delete(self, direction_id: str) -> None:
        """Delete a saved direction, damaged or not. Raises BadInput when it is not there."""
        self._kept.delete(direction_id)

    def _replace(self, kept: Kept[Direction], direction: Direction) -> None:
        self._kept.put(kept.item_id, direction, title=direction.name, saved_at=kept.saved_at)


def _saved(kept: Kept[Direction]) -> SavedDirection:
    return SavedDirection(direction_id=kept.item_id, direction=kept.value, saved_at=kept.saved_at)


def id_of(direction: Direction) -> str:
    """The id of a direction: a digest of all that it is, except its name and note.

    Saved files are held against it: a field that is added later must leave it as it is where it has its default.
    """
    nameless = {f.name: getattr(direction, f.name) for f in dataclasses.fields(direction) if f.name != "name"}
    nameless["provenance"] = tuple((key, value) for key, value in direction.provenance if key != NOTE)
    return hashlib.sha256(codec.canonical_json(nameless)).hexdigest()[:20]


def direction_bytes(direction: Direction) -> bytes:
    """The direction as a safetensors file with its provenance, for export."""
    return codec.dump(direction)


def read_direction_bytes(data: bytes, *, name: str) -> Direction:
    """The direction in a file that `direction_bytes` or the folder wrote; `name` is the file's.

    Raises BadDirection or BadInput.
    """
    check_size(data)
    stem = name.removesuffix(SUFFIX)
    label = kept_line(stem, MAX_NAME) or "imported direction"
    key = stem if ITEM_ID.fullmatch(stem) and codec.belongs_to(data, stem) else ""
    try:
        return _checked_export(codec.load(Direction, data, key=key, max_header=MAX_HEADER_BYTES), label)
    except codec.CorruptValue as error:
        if isinstance(error.__cause__, UserFacingError):
            raise error.__cause__ from None
        raise BadInput(f"The file {label!r} cannot be read as a direction: {error}", EXPORT_AGAIN) from error


def clean_notes(notes: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """The provenance of an uploaded file, cut to size."""
    return tuple((kept_line(key, MAX_NAME), kept_line(value, MAX_NOTE)) for key, value in notes[:MAX_NOTES])


def _checked_export(direction: Direction, label: str) -> Direction:
    """An exported direction with its texts cut to size. Raises BadDirection for numbers that no export has."""
    if not 0 <= direction.layer < MAX_LAYER or not (math.isfinite(direction.resid_norm) and direction.resid_norm >= 0):
        raise BadDirection(
            f"The file {label!r} names layer {direction.layer} and a residual norm of {direction.resid_norm:.4g}.",
            EXPORT_AGAIN,
        )
    return dataclasses.replace(
        direction,
        name=kept_line(direction.name, MAX_NAME) or label,
        source_model=kept_line(direction.source_model, MAX_NOTE),
        fingerprint=kept_line(direction.fingerprint, MAX_NOTE),
        provenance=clean_notes(direction.provenance),
    )
