"""The project's colours. Knows no chart, so that a page without charts has them for nothing.

Hues are chosen to be read on both backgrounds: a chart needs no redraw when the reader flips the theme. Only text
colours differ.
"""

from __future__ import annotations

from typing import Literal

from core.traces.events import (
    ADDING_KNOWLEDGE,
    BACKTRACKING,
    DEDUCTION,
    EXAMPLE_TESTING,
    INITIALIZING,
    UNCERTAINTY_ESTIMATION,
)

BLUE = "#2f7de1"
ORANGE = "#e8731a"
RED = "#dc4450"
GRAY = "#7b8494"

LABEL_COLOURS: dict[str, str] = {
    INITIALIZING: GRAY,
    DEDUCTION: "#128a80",
    ADDING_KNOWLEDGE: "#a57a00",
    EXAMPLE_TESTING: "#c2549d",
    UNCERTAINTY_ESTIMATION: "#8a63d2",
    BACKTRACKING: RED,
}
"""Label → colour, at least 3.7:1 against white and against the dark background."""

CATEGORICAL: tuple[str, ...] = (BLUE, ORANGE, "#128a80", "#c2549d", "#a57a00", "#8a63d2", GRAY)
SEQUENTIAL: tuple[str, ...] = ("#d9e7fa", "#9cc0f0", "#5390e4", "#2067c4", "#0e3d7e")
NEUTRAL: dict[Literal["light", "dark"], str] = {"light": "#f4f6f9", "dark": "#1a222d"}
TEXT: dict[Literal["light", "dark"], str] = {"light": "#17212e", "dark": "#edf2f8"}
BACKGROUND: dict[Literal["light", "dark"], str] = {"light": "#ffffff", "dark": "#10151c"}

DASHES: tuple[tuple[int, ...], ...] = ((1, 0), (7, 3), (2, 2), (9, 3, 2, 3), (4, 6), (14, 4), (2, 5))
"""For lines that no two colours tell apart for every eye: lengths drawn and left out, the first solid."""


def dashes(n: int) -> list[list[int]]:
    """A dash for each of n lines."""
    return [list(DASHES[i % len(DASHES)]) for i in range(n)]
