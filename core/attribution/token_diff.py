"""Two texts aligned token by token: what they share in order, and what only one of them has. No model."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher

Pair = tuple[int | None, int | None]


def align_tokens(a: Sequence[int], b: Sequence[int]) -> list[Pair]:
    """Columns of (index in a, index in b), in order: both where a token is shared, one of them None where it is not."""
    columns: list[Pair] = []
    for kind, a0, a1, b0, b1 in SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        if kind == "equal":
            columns += zip(range(a0, a1), range(b0, b1), strict=True)
        else:
            columns += [(i, None) for i in range(a0, a1)] + [(None, j) for j in range(b0, b1)]
    return columns


def runs(indices: Sequence[int]) -> list[tuple[int, int]]:
    """(first, last + 1) of every run of consecutive indices; they are sorted."""
    found: list[tuple[int, int]] = []
    for i in indices:
        if found and found[-1][1] == i:
            found[-1] = (found[-1][0], i + 1)
        else:
            found.append((i, i + 1))
    return found
