"""Memory that nobody uses any more and the C library keeps all the same."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable


@functools.cache
def _trim() -> Callable[[int], object] | None:
    try:
        found: Callable[[int], object] = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):
        return None
    return found


def return_free_memory() -> None:
    """Give free pages back to the system, where the C library is glibc: tensors of some megabytes leave many."""
    trim = _trim()
    if trim is not None:
        trim(0)
