"""What a command writes: results on stdout, progress and sentences on stderr, and nothing else on either.

Both may be closed early, be no terminal, or know no UTF-8.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from typing import TextIO

from core.jobs import Progress
from core.text.lines import shown_line

EVERY = 10.0
"""Seconds between two lines of progress where they are not redrawn in place."""
REDRAWN = 0.2
MAX_LINE = 400
_CLEAR = "\r\x1b[K"


class ReaderGone(Exception):
    """What read stdout has closed it."""


def prepare() -> None:
    """Let both streams take any text, whatever the locale says."""
    for stream, errors in ((sys.stdout, "surrogateescape"), (sys.stderr, "backslashreplace")):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8" if stream is sys.stdout else None, errors=errors)


def emit(value: object, *, indent: int | None = None) -> None:
    """Write a value to stdout as JSON, at once. Raises ReaderGone."""
    write(json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent) + "\n")


def write(text: str) -> None:
    """Write text to stdout, at once. Raises ReaderGone."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        # Python flushes stdout once more at its end, which must not fail again.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise ReaderGone from None


class Console:
    """Sentences and one line of progress on stderr."""

    def __init__(self, stream: TextIO | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._clock = clock
        self._in_place = self._stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        self._drawn, self._last, self._due = False, "", -1.0

    def say(self, text: str) -> None:
        """A line that stays."""
        self._put((_CLEAR if self._drawn else "") + text + "\n")
        self._drawn = False

    def show(self, progress: Progress, seconds_left: float | None) -> None:
        """How far it is: one line redrawn on a terminal, else a line now and then."""
        now, line = self._clock(), progress_line(progress, seconds_left)
        if line in ("", self._last) or now < self._due:
            return
        self._last, self._due = line, now + (REDRAWN if self._in_place else EVERY)
        if self._in_place:
            width = shutil.get_terminal_size().columns
            self._put(_CLEAR + shown_line(line, max(20, width - 1)))
            self._drawn = True
        else:
            self._put(line + "\n")

    def clear(self) -> None:
        """Take the line of progress away."""
        if self._drawn:
            self._put(_CLEAR)
            self._drawn = False

    def _put(self, text: str) -> None:
        # Nobody may be there to read it, and the work goes on.
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(text)
            self._stream.flush()


def progress_line(progress: Progress, seconds_left: float | None) -> str:
    """Progress in words: share, what is done, time left."""
    share = f"{progress.done / progress.total:.0%}" if progress.total else ""
    left = f"about {in_words(seconds_left)} left" if seconds_left is not None else ""
    return " · ".join(filter(None, (share, shown_line(progress.message, MAX_LINE), left)))


def in_words(seconds: float) -> str:
    """A time in the unit that fits it."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
