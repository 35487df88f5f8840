"""Numbers, choices and lists as people type them, and written so that they are read as the same."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import TypeVar

from core.errors import BadInput

MAX_LISTED = 4_000

_SPAN = re.compile(r"(-?\d{1,6})(?:\.\.(-?\d{1,6}))?")
_RANGE = re.compile(r"(\d{1,6})(?:-(\d{1,6}))?")

C = TypeVar("C", bound=str)


def items(text: str) -> tuple[str, ...]:
    """The different texts between commas. Raises BadInput for none, and for more than MAX_LISTED."""
    found = tuple(dict.fromkeys(item.strip() for item in text.split(",") if item.strip()))
    if not 1 <= len(found) <= MAX_LISTED:
        raise BadInput(f"{text[:80]!r} lists {len(found):,} things.", f"List 1 to {MAX_LISTED:,}, with commas.")
    return found


def whole(text: str) -> int:
    """A whole number. Raises BadInput."""
    if not re.fullmatch(r"-?[0-9]{1,18}", text.strip()):
        raise BadInput(f"{text[:80]!r} is not a whole number.", "Write it in digits.")
    return int(text)


def real(text: str) -> float:
    """A finite number. Raises BadInput."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise BadInput(f"{text[:80]!r} is not a number.", "Write it as 4 or 0.7.")
    return value


def reals(text: str) -> tuple[float, ...]:
    """Numbers with commas between them. Raises BadInput."""
    return tuple(dict.fromkeys(real(item) for item in items(text)))


def show_reals(values: Sequence[float]) -> str:
    """The shortest text that `reals` reads as the same numbers."""
    return ",".join(f"{value:g}" if float(f"{value:g}") == value else repr(value) for value in values)


def one_of(text: str, allowed: Sequence[C]) -> C:
    """The allowed word that the text is. Raises BadInput."""
    found = next((one for one in allowed if one == text), None)
    if found is None:
        raise BadInput(f"{text[:80]!r} is not one of {', '.join(allowed)}.", "Choose one of these.")
    return found


def counts(text: str) -> tuple[int, ...]:
    """Numbers from 0 as "0-3,7". Raises BadInput."""
    numbers: list[int] = []
    for item in items(text):
        found = _RANGE.fullmatch(item)
        first, last = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
        if not 0 <= last - first < MAX_LISTED:
            raise BadInput(f"{item[:40]!r} is no number and no range of numbers.", "Write them as 4 or 0-3,7.")
        numbers += range(first, last + 1)
    return tuple(dict.fromkeys(numbers))


def show_counts(numbers: Sequence[int]) -> str:
    """The text that `counts` reads as the same numbers in the same order."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ",".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


def span(text: str) -> tuple[int, int]:
    """(first, last) of "-13..-8", or of one number. Raises BadInput."""
    found = _SPAN.fullmatch(text.strip())
    if not found:
        raise BadInput(f"{text[:40]!r} is not a range of offsets.", "Write it as -13..-8: the first and the last.")
    return int(found[1]), int(found[2] or found[1])
