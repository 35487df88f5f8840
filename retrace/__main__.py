"""`python -m retrace`: takes the signals that end it, then runs the command; no traceback reaches the user."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from types import FrameType

STOPPED = 130


def _leave(number: int, frame: FrameType | None) -> None:
    os._exit(STOPPED)


def start() -> int:
    """Run the command of the arguments; its exit code. Until it listens itself, a signal ends it at once."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _leave)
    from retrace.commands import main

    try:
        return main()
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else 1


if __name__ == "__main__":
    code = start()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    # Python would wait for threads that are importing torch or computing with it; all that is to be kept is on disk.
    os._exit(code)
