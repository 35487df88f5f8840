"""The user's own values: one safetensors file each in a folder, kept until the user deletes them. No torch."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from core.disk import codec, files
from core.errors import BadInput, UserFacingError

T = TypeVar("T")

ITEM_ID = re.compile(r"[0-9a-f]{20}")
SUFFIX = ".safetensors"
MAX_KEPT_BYTES = 256 << 20
SETTLED_SECONDS = 2.0


class ChangedOutside(codec.CorruptValue):
    """An intact file whose content is not the one that its name is the id of."""


@dataclass(frozen=True)
class Kept(Generic[T]):
    """A value in the folder, its id, and when it was saved, in seconds since 1970."""

    item_id: str
    value: T
    saved_at: float


class KeptFiles(Generic[T]):
    """The values of one class in one folder. Safe to use from any thread; several processes may share it.

    `noun` names a value in errors, `again` says how one comes by it again: "extract or upload it again". A damaged
    file raises `damaged`. Where the id follows from the value, `id_of` says how, and every file is held against it.
    """

    def __init__(
        self,
        folder: Path,
        cls: type[T],
        *,
        noun: str,
        again: str,
        damaged: type[UserFacingError] = BadInput,
        id_of: Callable[[T], str] | None = None,
    ) -> None:
        self.folder = folder
        self._cls, self._noun, self._again, self._damaged, self._id_of = cls, noun, again, damaged, id_of
        self._read: dict[str, tuple[tuple[int, int, int], Kept[T]]] = {}
        files.remove_unfinished(self.folder)

    def scan(self) -> tuple[list[Kept[T]], list[tuple[str, str]]]:
        """The intact values, newest first, and name and reason for each file that cannot be used and is left alone."""
        good: list[Kept[T]] = []
        bad: list[tuple[str, str]] = []
        paths = sorted(self.folder.glob(f"*{SUFFIX}")) if self.folder.is_dir() else []
        for path in paths:
            if not ITEM_ID.fullmatch(path.stem):
                bad.append((path.name, "Its name is not one that was given here: upload the file instead."))
                continue
            try:
                good.append(self._from_disk(path))
            except FileNotFoundError:
                continue
            except codec.CorruptValue as error:
                bad.append((path.name, f"{self._fault('It', error)}: delete it, and {self._again}."))
            except (OSError, MemoryError) as error:
                bad.append((path.name, f"It cannot be read now: {files.refusal_of(error)}. {files.READ_AGAIN}"))
        return sorted(good, key=lambda kept: kept.saved_at, reverse=True), bad

    def get(self, item_id: str) -> Kept[T]:
        """The value of the id. Raises BadInput when it is not there, `damaged`, UserFacingError."""
        path = self._path(item_id)
        try:
            return self._from_disk(path)
        except FileNotFoundError as error:
            raise self._not_there(item_id) from error
        except codec.CorruptValue as error:
            fault = self._fault(f"The saved {self._noun} {item_id}", error)
            raise self._damaged(f"{fault}.", f"Delete it, and {self._again}.") from error
        except (OSError, MemoryError) as error:
            raise UserFacingError(
                f"The saved {self._noun} {item_id} cannot be read now: {files.refusal_of(error)}.", files.READ_AGAIN
            ) from error

    def put(self, item_id: str, value: T, *, title: str, saved_at: float | None = None) -> None:
        """Write the value whole or not at all. Raises UserFacingError, naming `title`, when the disk refuses it."""
        stamp = time.time() if saved_at is None else saved_at
        try:
            files.private_folder(self.folder)
            files.write_whole(self._path(item_id), codec.dump(value, key=item_id, saved_at=stamp))
        except OSError as error:
            raise UserFacingError(
                f"The {self._noun} {title!r} could not be saved: {error.strerror or 'the disk refused it'}.",
                "Free some space or check the rights of the cache folder, then save again.",
            ) from error

    def delete(self, item_id: str) -> None:
        """Delete a value, damaged or not. Raises BadInput when it is not there."""
        try:
            self._path(item_id).unlink()
        except OSError as error:
            raise self._not_there(item_id) from error

    def _path(self, item_id: str) -> Path:
        if not isinstance(item_id, str) or not ITEM_ID.fullmatch(item_id):
            raise self._not_there(str(item_id))
        return self.folder / f"{item_id}{SUFFIX}"

    def _from_disk(self, path: Path) -> Kept[T]:
        """Read a file, or remember it while it is unchanged. Raises OSError, MemoryError, CorruptValue."""
        status = path.lstat()
        stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
        known = self._read.get(path.stem)
        if known is not None and known[0] == stamp:
            return known[1]
        found = codec.load_stamped(self._cls, files.read_regular(path, limit=MAX_KEPT_BYTES), key=path.stem)
        if self._id_of is not None and self._id_of(found.value) != path.stem:
            raise ChangedOutside(f"It is not the {self._noun} {path.stem}.")
        kept = Kept(path.stem, found.value, found.saved_at)
        # A change within the clock's tick keeps the stamp: a fresh file is read again.
        if time.time() - status.st_mtime > SETTLED_SECONDS:
            self._read[path.stem] = (stamp, kept)
        return kept

    def _fault(self, subject: str, error: Exception) -> str:
        if isinstance(error, ChangedOutside):
            return (
                f"{subject} was changed outside this app: its content is not the {self._noun} that its name stands for"
            )
        return f"{subject} is damaged"

    def _not_there(self, item_id: str) -> BadInput:
        return BadInput(
            f"There is no saved {self._noun} {item_id[:40]!r}.", f"Choose one from the list of saved {self._noun}s."
        )
