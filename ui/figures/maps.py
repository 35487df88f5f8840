"""Fig. 2, B.1 and the map of all places: the steering effect, of the half that chooses."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt

from core.experiments.values import Outcome, Unit
from core.models.pair import ROLES
from ui.components.colours import GRAY
from ui.components.roles import NAMES
from ui.components.theme import diverging_scale
from ui.figures.marks import Drawing, table, tooltips
from ui.figures.rows import Cell, Row, rows_of

CELL, INK, ROOM = 34, "#101820", 80
"""Of a cell: its height, and the colour of what stands in it in both themes; and what titles take."""
AXES: dict[Unit, str] = {
    "auto": "dose (× the edge of readable text there)",
    "unit": "dose (× unit vector)",
    "share": "dose (share of the residual norm)",
}


def draw_windows(outcome: Outcome) -> tuple[Drawing, ...]:
    """Fig. 2: one map, at the layer where the windows were compared."""
    rows = [row for row in rows_of(outcome, "fig2") if row["kind"] == "direction"]
    if not rows:
        return ()
    layer = rows[0]["layer"]
    shown = [row | {"row": row["window"] or "none", "column": _planned(outcome, row)} for row in rows]
    order = [w.label for w in sorted(outcome.plan.windows)]
    chart = _map(shown, rows_title="window", columns_title=AXES[outcome.plan.doses.unit], order=order)
    return (Drawing("fig2", f"Windows and doses at layer {layer}", _titled(chart, f"Layer {layer}", rows), ROOM),)


def draw_places(outcome: Outcome) -> tuple[Drawing, ...]:
    """All windows × layers, each at the dose with the largest effect among its readable ones."""
    places: dict[tuple[Cell, Cell], Row] = {}
    for row in rows_of(outcome, "map"):
        place = (row["window"], row["layer"])
        if row["kind"] == "direction" and (place not in places or _worth(row) > _worth(places[place])):
            places[place] = row
    if not places:
        return ()
    shown = [row | {"row": row["window"] or "none", "column": str(row["layer"])} for row in places.values()]
    order = [w.label for w in sorted(outcome.plan.windows)]
    chart = _map(shown, rows_title="window", columns_title="layer", order=order)
    return (Drawing("map", "Windows and layers", _titled(chart, "Best readable dose of each place", shown), ROOM),)


def _worth(row: Row) -> tuple[bool, bool, float]:
    """What a place is shown by: what was chosen, then readable text, then the effect."""
    return bool(row["chosen"]), bool(row["readable"]), float(row["difference"] or 0)


def draw_layers(outcome: Outcome) -> tuple[Drawing, ...]:
    """Fig. B.1: a map per source. Places have doses of their own, so a column is the same step of the plan in each."""
    rows = [row for row in rows_of(outcome, "figB1") if row["kind"] == "direction"]
    drawn = []
    for source in ROLES:
        mine = [
            row | {"row": str(row["layer"]), "column": _planned(outcome, row)}
            for row in rows
            if row["source"] == source
        ]
        if mine:
            order = sorted({str(row["layer"]) for row in mine}, key=int)
            chart = _map(mine, rows_title="layer", columns_title=AXES[outcome.plan.doses.unit], order=order)
            name = f"Direction from the {NAMES[source]}"
            drawn.append(Drawing(f"figB1-{source}", name, _titled(chart, name, mine), ROOM))
    return tuple(drawn)


def _titled(chart: alt.LayerChart, title: str, rows: Sequence[Row]) -> alt.LayerChart:
    n = max(int(row["n"] or 0) for row in rows)
    subtitle = [f"{n} questions of the choosing half", "×: not readable, outlined: chosen"]
    return chart.properties(title=alt.Title(title, subtitle=subtitle))


def _step(dose: object) -> str:
    return f"{dose:.3g}" if isinstance(dose, float | int) else ""


def _planned(outcome: Outcome, row: Row) -> str:
    """The dose of the plan that a row's is nearest to, in the plan's unit."""
    dose, values = float(row["dose_unit_vectors"] or 0), outcome.plan.doses.values
    edges: dict[tuple[int, str | None], float] = {
        (edge.layer, edge.window.label if edge.window else None): edge.coefficient for edge in outcome.edges
    }
    share = row["dose_share_of_residual_norm"]
    place = (int(row["layer"] or 0), None if row["window"] is None else str(row["window"]))
    own = {
        "auto": dose / (edges.get(place) or 1),
        "unit": dose,
        "share": float(share or 0),
    }
    planned = own[outcome.plan.doses.unit]
    fixed = () if outcome.plan.fixed.dose is None else (outcome.plan.fixed.dose,)
    return _step(min((*values, *fixed), key=lambda value: abs(value - planned)))


def _map(rows: Sequence[Row], *, rows_title: str, columns_title: str, order: Sequence[str]) -> alt.LayerChart:
    """Cells light enough for dark numbers, in both themes."""
    limit = 1.25 * max([abs(float(row["difference"] or 0)) for row in rows] + [0.001])
    frame = table(rows)
    frame["shown"] = [_said(row) for row in rows]
    columns = sorted({str(row["column"]) for row in rows}, key=float)
    chart = alt.Chart(frame).encode(
        x=alt.X(
            "column:N",
            sort=columns,
            title=columns_title,
            axis=alt.Axis(grid=False, labelAngle=0, labelOverlap=True, titleLimit=320, titleFontSize=12),
        ),
        y=alt.Y("row:N", sort=list(order), title=rows_title, axis=alt.Axis(grid=False, labelFlush=False)),
    )
    legend = alt.Legend(
        orient="top", title="steered minus unsteered", titleLimit=300, format="+.1~%", gradientLength=200, tickCount=3
    )
    cells = chart.mark_rect(stroke=GRAY, strokeWidth=0.5).encode(
        color=alt.Color("difference:Q", scale=diverging_scale(limit), legend=legend),
        tooltip=tooltips("window", "layer", "name"),
    )
    chosen = chart.transform_filter(alt.datum.chosen).mark_rect(fillOpacity=0, strokeWidth=3, stroke=INK)
    numbers = chart.mark_text(fontSize=12, fontWeight=600, color=INK).encode(text="shown:N")
    return alt.layer(cells, chosen, numbers).properties(height=CELL * len(order) + 1)


def _said(row: Row) -> str:
    """Points above unsteered; × where the text is not readable."""
    gain = row["difference"]
    if not row["readable"]:
        return "×"
    points = round(100 * float(gain), 1) if gain is not None else None
    return "" if points is None else f"{points:+.1f}".replace("-", "−") if points else "0.0"
