"""Saved directions: the user's data, one safetensors file each, kept until the user deletes them. No cache, no torch.

Also the way in and out for single direction files, which may come from anybody.
"""

from __future__ import annotations

import builtins
import dataclasses
import hashlib
import math
import re
import time
from dataclasses import dataclass
from pathlib import Path

from core import codec, files
from core.directions import Direction
from core.errors import BadDirection, BadInput, UserFacingError

DIRECTION_ID = re.compile(r"[0-9a-f]{20}")
SUFFIX = ".safetensors"
MAX_UPLOAD_BYTES = 64 << 20
MAX_HEADER_BYTES = 1 << 20
MAX_NAME, MAX_NOTE, MAX_NOTES, MAX_LAYER = 120, 1000, 64, 1000
SETTLED_SECONDS = 2.0
PREFERRED = ("vector", "direction")

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
        self._read: dict[str, tuple[tuple[int, int, int], SavedDirection]] = {}
        files.remove_unfinished(self.folder)

    def save(self, direction: Direction) -> str:
        """Keep the direction and return its id; the same direction keeps one file, under the latest name.

        Raises UserFacingError when the disk refuses it; then no part of it is left.
        """
        direction_id = id_of(direction)
        self._write(direction_id, direction, time.time())
        return direction_id

    def list(self) -> list[SavedDirection]:
        """The intact directions, newest first."""
        return self._scan()[0]

    def broken(self) -> builtins.list[tuple[str, str]]:
        """File name and reason for every direction file that cannot be used; the files are left as they are."""
        return self._scan()[1]

    def load(self, direction_id: str) -> Direction:
        """The direction of the id. Raises BadInput when it is not there, BadDirection when its file is damaged."""
        return self._saved(direction_id).direction

    def rename(self, direction_id: str, name: str) -> None:
        """Give a saved direction another name. Raises BadInput for an empty name, else as `load` and `save`."""
        saved, name = self._saved(direction_id), clean_text(name, MAX_NAME)
        if not name:
            raise BadInput("The direction's new name is empty.", "Type a name.")
        self._write(direction_id, dataclasses.replace(saved.direction, name=name), saved.saved_at)

    def delete(self, direction_id: str) -> None:
        """Delete a saved direction, damaged or not. Raises BadInput when it is not there."""
        try:
            self._path(direction_id).unlink()
        except OSError as error:
            raise _not_there(direction_id) from error

    def _path(self, direction_id: str) -> Path:
        if not isinstance(direction_id, str) or not DIRECTION_ID.fullmatch(direction_id):
            raise _not_there(str(direction_id))
        return self.folder / f"{direction_id}{SUFFIX}"

    def _saved(self, direction_id: str) -> SavedDirection:
        path = self._path(direction_id)
        try:
            return self._from_disk(path)
        except FileNotFoundError as error:
            raise _not_there(direction_id) from error
        except (OSError, codec.CorruptValue) as error:
            raise BadDirection(
                f"The saved direction {direction_id} is damaged.", "Delete it, and extract or upload it again."
            ) from error

    def _scan(self) -> tuple[builtins.list[SavedDirection], builtins.list[tuple[str, str]]]:
        good: builtins.list[SavedDirection] = []
        bad: builtins.list[tuple[str, str]] = []
        paths = sorted(self.folder.glob(f"*{SUFFIX}")) if self.folder.is_dir() else []
        for path in paths:
            if not DIRECTION_ID.fullmatch(path.stem):
                bad.append((path.name, "Its name is not one that was given here: upload the file instead."))
                continue
            try:
                good.append(self._from_disk(path))
            except FileNotFoundError:
                continue
            except (OSError, codec.CorruptValue):
                bad.append((path.name, "It is damaged: delete it, and extract or upload the direction again."))
        return sorted(good, key=lambda saved: saved.saved_at, reverse=True), bad

    def _from_disk(self, path: Path) -> SavedDirection:
        """Read a file, or remember it while it is unchanged. Raises OSError, CorruptValue."""
        status = path.lstat()
        stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
        known = self._read.get(path.stem)
        if known is not None and known[0] == stamp:
            return known[1]
        found = codec.load_stamped(Direction, files.read_regular(path, limit=MAX_UPLOAD_BYTES), key=path.stem)
        saved = SavedDirection(direction_id=path.stem, direction=found.value, saved_at=found.saved_at)
        # A change within the clock's tick keeps the stamp: a fresh file is read again.
        if time.time() - status.st_mtime > SETTLED_SECONDS:
            self._read[path.stem] = (stamp, saved)
        return saved

    def _write(self, direction_id: str, direction: Direction, saved_at: float) -> None:
        try:
            files.private_folder(self.folder)
            files.write_whole(self._path(direction_id), codec.dump(direction, key=direction_id, saved_at=saved_at))
        except OSError as error:
            raise UserFacingError(
                f"The direction {direction.name!r} could not be saved: {error.strerror or 'the disk refused it'}.",
                "Free some space or check the rights of the cache folder, then save again.",
            ) from error


def id_of(direction: Direction) -> str:
    """The id of a direction: a digest of all that it is, except its name."""
    nameless = {f.name: getattr(direction, f.name) for f in dataclasses.fields(direction) if f.name != "name"}
    return hashlib.sha256(codec.canonical_json(nameless)).hexdigest()[:20]


def direction_bytes(direction: Direction) -> bytes:
    """The direction as a safetensors file with its provenance, for export."""
    return codec.dump(direction)


def read_direction_bytes(data: bytes, *, name: str, layer: int = 0) -> Direction:
    """The direction in an uploaded safetensors file: an export of ours, or a foreign file with one vector.

    `name` is the file's name; it and `layer` are used where the file does not tell. Raises BadDirection or BadInput.
    """
    if len(data) > MAX_UPLOAD_BYTES:
        raise BadInput(
            f"The file is {len(data) / 2**20:.0f} MB large; {MAX_UPLOAD_BYTES >> 20} MB are allowed.",
            "Save the vector alone, without the model's other tensors.",
        )
    label = clean_text(name.removesuffix(SUFFIX), MAX_NAME) or "imported direction"
    try:
        if codec.is_ours(data):
            return _checked_export(codec.load(Direction, data, max_header=MAX_HEADER_BYTES), label)
        return _foreign_direction(codec.parse_container(data, max_header=MAX_HEADER_BYTES), label, layer)
    except codec.CorruptValue as error:
        if isinstance(error.__cause__, UserFacingError):
            raise error.__cause__ from None
        raise BadInput(f"The file {label!r} cannot be read as a direction: {error}", EXPORT_AGAIN) from error


def clean_text(text: str, length: int) -> str:
    """One line of printable text of at most `length` characters, from anybody's."""
    printable = "".join(c if c.isprintable() else " " for c in text[: 4 * length])
    return " ".join(printable.split())[:length].strip()


def _checked_export(direction: Direction, label: str) -> Direction:
    """An exported direction with its texts cut to size. Raises BadDirection for numbers that no export has."""
    if not 0 <= direction.layer < MAX_LAYER or not (math.isfinite(direction.resid_norm) and direction.resid_norm >= 0):
        raise BadDirection(
            f"The file {label!r} names layer {direction.layer} and a residual norm of {direction.resid_norm:.4g}.",
            EXPORT_AGAIN,
        )
    return dataclasses.replace(
        direction,
        name=clean_text(direction.name, MAX_NAME) or label,
        source_model=clean_text(direction.source_model, MAX_NOTE),
        fingerprint=clean_text(direction.fingerprint, MAX_NOTE),
        provenance=tuple(
            (clean_text(k, MAX_NAME), clean_text(v, MAX_NOTE)) for k, v in direction.provenance[:MAX_NOTES]
        ),
    )


def _foreign_direction(container: codec.Container, label: str, layer: int) -> Direction:
    vectors = [name for name, (_, shape, _) in container.tensors.items() if len(shape) == 1]
    chosen = vectors if len(vectors) == 1 else [name for name in PREFERRED if name in vectors][:1]
    if not chosen:
        raise BadDirection(
            f"The file {label!r} holds {len(container.tensors)} tensors, {len(vectors)} of them one-dimensional.",
            "Save one vector of shape (d_model,) in it, or name the one to use 'vector'.",
        )
    stated = container.metadata.get("layer", "")
    if re.fullmatch(r"[0-9]{1,3}", stated):
        layer = int(stated)
    provenance = (("method", "imported from a file"), ("file", label))
    return Direction.from_raw(container.array(chosen[0]), name=label, layer=layer, provenance=provenance)


def _not_there(direction_id: str) -> BadInput:
    return BadInput(
        f"There is no saved direction {clean_text(direction_id, 40)!r}.",
        "Choose one from the list of saved directions.",
    )
