"""Bundles that sessions look at: each is a workbench of its own over a private folder, apart from what is kept here.

The folder is the server's, in the system's place for temporary files; its files have names of ours, and it goes when no
session looks at the bundle any more.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from core.bundles.manifest import Manifest
from core.bundles.merging import merge
from core.bundles.reading import Bundle, open_bundle
from core.disk import files
from core.errors import BadInput, UserFacingError
from core.workbench import Workbench

PREFIX = "retrace-bundle-"
FILE = "bundle.retrace"
SERVER = "the server"
"""As a session: it stays, so that the bundle that sessions begin with is checked and copied once."""
MOST = 6
"""Bundles that one server shows at once."""
log = logging.getLogger("retrace")


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A bundle that was found whole, and the workbench that shows what it holds."""

    manifest: Manifest
    digest: str
    bench: Workbench
    folder: Path
    lock: int
    """The folder's lock, which tells other servers that it is in use."""
    sessions: set[str] = field(default_factory=set)


class BundleShelf:
    """The bundles that are open on this server. Safe to use from any thread."""

    def __init__(self) -> None:
        self._open: dict[str, Opened] = {}
        self._lock = threading.Lock()
        for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
            with contextlib.suppress(OSError):
                if path.lstat().st_uid == os.getuid():
                    files.remove_if_unlocked(path)

    def open(self, file: BinaryIO, session: str, *, is_there: Callable[[str], bool] = lambda _: True) -> Opened:
        """Check a bundle and show it to a session; bundles of sessions that are not there any more go.

        Raises BadBundle, BadInput, UserFacingError.
        """
        bundle = open_bundle(file)
        for digest, other in list(self._open.items()):
            for gone in [one for one in other.sessions if one != SERVER and not is_there(one)]:
                self.close(digest, gone)
        with self._lock:
            known = self._open.get(bundle.digest)
            if known is None:
                if len(self._open) >= MOST:
                    raise BadInput(f"{MOST} bundles are open on this server.", "Close one of them first.")
                known = self._open[bundle.digest] = self._unshared(bundle, file)
            known.sessions.add(session)
            return known

    def get(self, digest: str) -> Opened | None:
        """A bundle that is open, by the digest of its manifest."""
        return self._open.get(digest)

    def close(self, digest: str, session: str) -> None:
        """A session looks at it no more; with the last one it goes."""
        with self._lock:
            found = self._open.get(digest)
            if found is not None:
                found.sessions.discard(session)
                if not found.sessions:
                    del self._open[digest]
                    _remove(found)

    def close_all(self) -> None:
        """Before the server ends."""
        with self._lock:
            for found in self._open.values():
                _remove(found)
            self._open.clear()

    def merge(self, digest: str, bench: Workbench) -> tuple[int, int, tuple[str, ...]]:
        """Merge an open bundle into the results of a workbench: (new, already there, notes).

        Raises BadInput where there is no room, UserFacingError when the disk refuses it.
        """
        found = self._open.get(digest)
        if found is None:
            raise BadInput("The bundle is not open any more.", "Open it again.")
        with (found.folder / FILE).open("rb") as file:
            merged = merge(open_bundle(file), bench.store.root, room=bench.store.room_bytes())
        return len(merged.new), merged.same, merged.notes

    def _unshared(self, bundle: Bundle, file: BinaryIO) -> Opened:
        """The bundle in a folder of its own, which nothing else knows. Raises as `open`."""
        try:
            folder = Path(tempfile.mkdtemp(prefix=PREFIX))
            lock = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise _refused(error) from error
        files.try_lock(lock)
        try:
            file.seek(0)
            with (folder / FILE).open("xb") as copy:
                shutil.copyfileobj(file, copy)
            with (folder / FILE).open("rb") as copy:
                merge(bundle.over(copy), folder / "results")
            bench = Workbench(folder / "results")
            files.seal(folder)
        except BaseException as error:
            os.close(lock)
            shutil.rmtree(folder, ignore_errors=True)
            if isinstance(error, OSError):
                raise _refused(error) from error
            raise
        return Opened(manifest=bundle.manifest, digest=bundle.digest, bench=bench, folder=folder, lock=lock)


def _refused(error: OSError) -> UserFacingError:
    return UserFacingError(
        f"The bundle could not be opened: {files.refusal_of(error)}.", "Free some space for temporary files."
    )


def _remove(found: Opened) -> None:
    try:
        found.bench.close()
    except Exception:
        log.exception("an opened bundle could not be closed")
    shutil.rmtree(found.folder, ignore_errors=True)
    os.close(found.lock)
