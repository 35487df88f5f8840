"""What the C library keeps of memory that nobody uses any more.

glibc keeps blocks of up to 32 MB for the next who asks. Among tensors of some megabytes, of which few stay, that takes
several times what is in use: NF4 weights took three times their size while loading, gradients twice theirs.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Iterator
from contextlib import contextmanager

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Names of glibc's `mallopt`."""
_APART = 2**20
_LARGEST = 2**25
"""The largest threshold that glibc takes, which it comes to by itself in a process with large tensors."""


@contextmanager
def large_blocks_apart() -> Iterator[None]:
    """While open, memory of a megabyte or more goes back to the system as soon as it is free, where glibc is used.

    A little slower, for all threads. Where another C library is used, nothing is changed.
    """
    library = _glibc()
    if library is None:
        yield
        return
    library.mallopt(_MMAP_THRESHOLD, _APART)
    try:
        yield
    finally:
        library.mallopt(_MMAP_THRESHOLD, _LARGEST)
        library.mallopt(_TRIM_THRESHOLD, 2 * _LARGEST)
        library.malloc_trim(0)


@functools.cache
def _glibc() -> ctypes.CDLL | None:
    try:
        found = ctypes.CDLL(None)
    except (OSError, TypeError):
        return None
    return found if hasattr(found, "mallopt") and hasattr(found, "malloc_trim") else None
