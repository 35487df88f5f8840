"""Which charts a figure has, and all its numbers as a file."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence

from core.experiments.values import Figure, Outcome
from core.experiments.words import TITLES
from ui.figures.controls import draw_controls
from ui.figures.dose_response import draw_dose_response
from ui.figures.maps import draw_layers, draw_places, draw_windows
from ui.figures.marks import Drawing
from ui.figures.readings import draw_labels, draw_leads, draw_lens
from ui.figures.rows import Cell, Row, rows_of

_DRAW: dict[Figure, Callable[[Outcome], tuple[Drawing, ...]]] = {
    "fig2": draw_windows,
    "fig3": draw_dose_response,
    "fig4": draw_controls,
    "fig5": draw_lens,
    "fig6": draw_leads,
    "figB1": draw_layers,
    "map": draw_places,
    "figC1": draw_labels,
}
_LIKE_A_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def drawings(outcome: Outcome, figure: Figure) -> tuple[Drawing, ...]:
    """The charts of a figure, in order; () where nothing was measured for it."""
    return _DRAW[figure](outcome)


def measured(outcome: Outcome) -> tuple[Figure, ...]:
    """The figures of which there is something to show, in the order in which a report tells them."""
    return tuple(figure for figure in TITLES if rows_of(outcome, figure))


def csv_of(outcome: Outcome, figure: Figure) -> str:
    """One row per point, with n, rate, interval, difference to unsteered, ΔNLL, dose in three units; "" if empty."""
    return csv_text(rows_of(outcome, figure))


def csv_text(rows: Sequence[Row]) -> str:
    """Rows as CSV, the names of the first above them; "" if empty."""
    if not rows:
        return ""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(rows[0])
    writer.writerows([_written(value) for value in row.values()] for row in rows)
    return out.getvalue()


def _written(value: Cell) -> str:
    """Numbers to nine digits; a text that a spreadsheet or a line could misread is quoted as in JSON."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.9g}"
    if isinstance(value, str) and (value.strip().startswith(_LIKE_A_FORMULA) or not value.isprintable()):
        return json.dumps(value)
    return str(value)
