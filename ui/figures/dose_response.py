"""Fig. 3: what both directions do in both models over the doses, beside the controls."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt

from core.experiments.values import Outcome
from core.models.pair import ROLES, Role
from ui.components.roles import NAMES, REASONER_FIRST
from ui.figures.marks import (
    CONTROLS,
    HEIGHT,
    HOLLOW,
    OTHER_CONTROLS,
    SOURCES,
    Drawing,
    band_layer,
    band_rows,
    dose_axis,
    of_sources,
    points_layer,
    rate_axis,
    rate_scale,
    table,
    tooltips,
    top_of,
)
from ui.figures.rows import Row, rows_of


def draw_dose_response(outcome: Outcome) -> tuple[Drawing, ...]:
    """A chart per steered model, on one scale, the reasoning model's first."""
    rows = rows_of(outcome, "fig3")
    top = top_of(rows)
    by_target = {role: [row for row in rows if row["target"] == role] for role in REASONER_FIRST}
    return tuple(
        Drawing(f"fig3-{role}", f"Steering the {NAMES[role]}", _panel(outcome, mine, role, top))
        for role, mine in by_target.items()
        if any(row["kind"] == "direction" for row in mine)
    )


def _panel(outcome: Outcome, rows: Sequence[Row], target: Role, top: float) -> alt.LayerChart:
    sources = [role for role in ROLES if any(row["source"] == role for row in rows)]
    lines = [row | {"series": SOURCES[source]} for source in sources for row in rows if row["source"] in (source, None)]
    banded = not band_rows(outcome).empty
    series = of_sources(sources, *[CONTROLS if target == "reasoner" else OTHER_CONTROLS] * banded)
    chart, x, y = alt.Chart(table(lines)), dose_axis(rows), rate_axis(outcome, top)
    interval = chart.mark_area(opacity=0.18).encode(
        x=x, y=alt.Y("rate_low:Q", title="", scale=rate_scale(top)), y2="rate_high:Q", color=series.colour()
    )
    line = chart.mark_line().encode(x=x, y=y, color=series.colour())
    dots = points_layer(chart, series, x=x, y=y, tooltip=tooltips("series"))
    layers = [band_layer(outcome, x, rate_scale(top), outline=target == "base")] if banded else []
    n = max(int(row["n"] or 0) for row in rows)
    title = alt.Title(f"Steering the {NAMES[target]}", subtitle=[f"{n} questions per point, 95% intervals", HOLLOW])
    return alt.layer(*layers, interval, line, dots).properties(height=HEIGHT, title=title)
