"""The end of the server on SIGTERM, Ctrl-C or SIGQUIT: what is ours is closed, then the process ends, with status 0.

Streamlit waits for its connections, and Python for threads that are importing torch or computing with it: seconds, or
an abort. By then everything that is to be kept is on disk, so nothing of that is waited for.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable

from streamlit.runtime import exists, get_instance

SECONDS = 1.0
"""How long closing may take; what is kept is written whole or not at all, so that it may be cut off."""
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT)

log = logging.getLogger("retrace")


def close_at_end(close: Callable[[], None]) -> None:
    """Call `close` on a thread of its own when the server is told to end. Without a server nothing is done."""
    if exists():
        # Handlers can be set on the main thread alone, on which the server's loop runs.
        get_instance()._get_async_objs().eventloop.call_soon_threadsafe(_await_signal, close)


def _await_signal(close: Callable[[], None]) -> None:
    told, tell = os.pipe()
    threading.Thread(target=_end, args=(told, close), name="retrace-end", daemon=True).start()
    for number in SIGNALS:
        # A handler may interrupt code that holds any lock: writing to a pipe takes none.
        signal.signal(number, lambda *_: os.write(tell, b"!"))


def _end(told: int, close: Callable[[], None]) -> None:
    os.read(told, 1)
    closing = threading.Thread(target=_closed, args=(close,), name="retrace-close", daemon=True)
    closing.start()
    closing.join(SECONDS)
    os._exit(0)


def _closed(close: Callable[[], None]) -> None:
    try:
        close()
    except Exception:
        log.exception("not all could be closed at the end")
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
