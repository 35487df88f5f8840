"""The lock that every forward of a model holds, and that ends its use for good when the model leaves the memory."""

from __future__ import annotations

import threading

from core.errors import not_loaded


class ModelLock:
    """Held for each forward of a model. Once closed, entering it raises ModelUnavailable."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._gone = ""

    def close(self, name: str) -> None:
        """Let no forward of the model of that name begin any more; waits for the one that runs."""
        with self._lock:
            self._gone = name

    def __enter__(self) -> None:
        self._lock.acquire()
        if self._gone:
            self._lock.release()
            raise not_loaded(self._gone)

    def __exit__(self, *_: object) -> None:
        self._lock.release()
