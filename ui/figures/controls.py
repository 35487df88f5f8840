"""Fig. 4: the direction beside its controls over the doses, at the chosen dose, and among the random directions."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import altair as alt

from core.experiments.statistics import null_of
from core.experiments.values import Kind, Outcome
from core.experiments.verdicts import percent
from ui.components.colours import BLUE, GRAY, RED
from ui.figures.marks import (
    CONTROLS,
    HEIGHT,
    HOLLOW,
    LEGEND,
    Drawing,
    Series,
    band_layer,
    band_rows,
    dose_axis,
    fill_of_readable,
    points_layer,
    rate_axis,
    rate_scale,
    rate_title,
    table,
    tooltips,
    top_of,
)
from ui.figures.rows import Row, rows_of

DIRECTION, MATCHES = "base-derived", {"norm": "equal norm", "coherence": "equal coherence"}
GROUPS: dict[Kind, tuple[str, str, str]] = {
    "direction": (DIRECTION, BLUE, "circle"),
    "without": ("variants of it", BLUE, "diamond"),
    "position": ("variants of it", BLUE, "diamond"),
    "label": ("other labels", "#128a80", "square"),
    "shuffled": ("shuffled events", "#c2549d", "cross"),
    "mean": ("overall mean", "#a57a00", "triangle-up"),
    "flip": ("sign flip", "#8a63d2", "triangle-down"),
    "self": ("self-amplification", RED, "triangle-right"),
    "random": ("random", GRAY, "circle"),
}
"""Of every kind: the group it is drawn in, with a colour and a shape."""
ROW_HEIGHT, NAME_LETTERS, NAME_LINES = 26, 32, 2


def draw_controls(outcome: Outcome) -> tuple[Drawing, ...]:
    """Lines over the doses, the ladder at the chosen dose, and the null, those that were measured."""
    rows = [row | {"series": _group(row)} for row in rows_of(outcome, "fig4")]
    if not rows:
        return ()
    drawn = [Drawing("fig4-doses", "Controls over the doses", _lines(outcome, rows))]
    rungs = [row for row in rows if row["kind"] != "unsteered" and (row["chosen"] or row["match"] == "coherence")]
    if rungs:
        drawn.append(Drawing("fig4-ladder", "Controls at the chosen dose", _ladder(outcome, rows, rungs)))
    random = [row for row in rungs if row["kind"] == "random"]
    if random and any(row["kind"] == "direction" for row in rungs):
        drawn.append(Drawing("fig4-null", "Among random directions", _null(outcome, rows, rungs)))
    return tuple(drawn)


def _group(row: Row) -> str:
    return next((name for kind, (name, _, _) in GROUPS.items() if kind == row["kind"]), "")


def _series(rows: Sequence[Row], *extra: str) -> Series:
    kinds = {row["kind"] for row in rows}
    groups = dict.fromkeys(group for kind, group in GROUPS.items() if kind in kinds)
    names, colours, shapes = zip(*groups, strict=True)
    more = len(extra)
    return Series(names=[*names, *extra], colours=[*colours, *[GRAY] * more], shapes=[*shapes, *["stroke"] * more])


def _lines(outcome: Outcome, rows: Sequence[Row]) -> alt.LayerChart:
    """Equal norm; a control with one dose is a point without a line."""
    shown = [row for row in rows if row["match"] == "norm" and row["kind"] != "unsteered"]
    banded = not band_rows(outcome).empty
    series = _series(shown, *[CONTROLS] * banded)
    x, y = dose_axis(rows), rate_axis(outcome, top_of(shown))
    scale = rate_scale(top_of(shown))
    many = [row for row in shown if sum(other["name"] == row["name"] for other in shown) > 1]
    chart = alt.Chart(table(many))
    line = chart.mark_line().encode(
        x=x,
        y=y,
        color=series.colour(),
        detail="name:N",
        strokeWidth=alt.condition(alt.datum.kind == "direction", alt.value(4), alt.value(1.6)),
        strokeDash=alt.condition(alt.datum.series == "variants of it", alt.value([6, 3]), alt.value([1, 0])),
    )
    dots = points_layer(chart, series, x=x, y=y, tooltip=tooltips("name", "series"))
    layers = [band_layer(outcome, x, scale)] if banded else []
    rule = _unsteered(rows, alt.Y("rate:Q", title="", scale=scale))
    said = [f"reasoning model, equal norm, {_n(rows)} questions per point", HOLLOW]
    title = alt.Title("Controls over the doses", subtitle=said)
    return alt.layer(*layers, *rule, line, dots).properties(height=HEIGHT, title=title)


def _n(rows: Sequence[Row]) -> int:
    return max(int(row["n"] or 0) for row in rows)


def _unsteered(rows: Sequence[Row], place: alt.X | alt.Y) -> list[alt.Chart]:
    """The unsteered rate as a dashed rule."""
    found = [row for row in rows if row["kind"] == "unsteered"]
    if not found:
        return []
    axis = {"x": place} if isinstance(place, alt.X) else {"y": place}
    rule = alt.Chart(table(found)).mark_rule(strokeDash=[5, 4], strokeWidth=1.5, color=GRAY)
    return [rule.encode(**axis, tooltip=tooltips("name"))]


def _ladder(outcome: Outcome, rows: Sequence[Row], rungs: Sequence[Row]) -> alt.LayerChart:
    """A row per control with its interval, the direction's on top, then from the highest rate down."""
    named = [row | {"rung": _wrapped(str(row["name"])), "matched": MATCHES[str(row["match"])]} for row in rungs]
    order = sorted(named, key=lambda row: (row["kind"] != "direction", -float(row["rate"] or 0)))
    rungs_in_order = list(dict.fromkeys(row["rung"] for row in order))
    scale = rate_scale(top_of(named))
    series = _series(named)
    names = alt.Axis(
        title=None, grid=False, labelLimit=190, labelOverlap=False, labelExpr="split(datum.label, '\\n')",
        labelLineHeight=12, labelFontSize=11,
    )  # fmt: skip
    y = alt.Y("rung:N", sort=rungs_in_order, axis=names, scale=alt.Scale(paddingInner=0.1))
    beside = alt.YOffset("matched:N", sort=list(MATCHES.values()), scale=alt.Scale(paddingOuter=0.5))
    x = alt.X("rate:Q", title=rate_title(outcome), scale=scale, axis=alt.Axis(format=".1~%", tickCount=4))
    chart = alt.Chart(table(named))
    interval = chart.mark_rule(strokeWidth=2).encode(
        x=alt.X("rate_low:Q", title="", scale=scale), x2="rate_high:Q", y=y, yOffset=beside, color=_plain(series)
    )
    shape = alt.Shape(
        "matched:N",
        title=None,
        scale=alt.Scale(domain=list(MATCHES.values()), range=["circle", "diamond"]),
        legend=alt.Legend(**LEGEND | {"symbolFillColor": GRAY, "symbolStrokeColor": GRAY}),
    )
    dots = chart.mark_point(filled=False, size=60, strokeWidth=2, opacity=1).encode(
        x=x,
        y=y,
        yOffset=beside,
        color=_plain(series),
        fill=series.fill(),
        shape=shape,
        fillOpacity=fill_of_readable(),
        tooltip=[alt.Tooltip("matched:N", title="match"), *tooltips("name"), alt.Tooltip("cosine:Q", format="+.2f")],
    )
    title = alt.Title(
        "Controls at the chosen dose", subtitle=[f"{_n(rows)} questions, 95% intervals", f"dashed: unsteered, {HOLLOW}"]
    )
    height = ROW_HEIGHT * len(rungs_in_order)
    rule = _unsteered(rows, alt.X("rate:Q", title=rate_title(outcome), scale=scale))
    return alt.layer(*rule, interval, dots).properties(height=height, title=title)


def _plain(series: Series) -> alt.Color:
    """Without a legend: every row has its name beside it."""
    return alt.Color("series:N", scale=alt.Scale(domain=list(series.names), range=list(series.colours)), legend=None)


def _wrapped(name: str) -> str:
    """On lines that an axis of a phone has room for; a very long name is clipped with an ellipsis."""
    return "\n".join(textwrap.wrap(name, NAME_LETTERS, max_lines=NAME_LINES, placeholder=" …") or ["?"])


def _null(outcome: Outcome, rows: Sequence[Row], rungs: Sequence[Row]) -> alt.LayerChart:
    """Every random direction as a point, by match, and the direction as a rule."""
    random = [row for row in rungs if row["kind"] == "random"]
    mine = [row for row in rungs if row["kind"] == "direction"]
    spread = [row | {"matched": MATCHES[str(row["match"])], "nudge": i % 5} for i, row in enumerate(random)]
    scale = rate_scale(top_of([*random, *mine]))
    series = _series([*random, *mine])
    x = alt.X("rate:Q", title=rate_title(outcome), scale=scale, axis=alt.Axis(format=".1~%", tickCount=4))
    y = alt.Y("matched:N", sort=list(MATCHES.values()), axis=alt.Axis(title=None, grid=False))
    dots = points_layer(
        alt.Chart(table(spread)), series, x=x, y=y, yOffset=alt.YOffset("nudge:O"), tooltip=tooltips("name", "matched")
    )
    rule = alt.Chart(table(mine)).mark_rule(strokeWidth=3).encode(x=x, color=series.colour(), tooltip=tooltips("name"))
    null = null_of(outcome)
    said = [
        f"above {percent(share.below, 0)} of {share.below.n} of {MATCHES[share.match]}"
        for share in (null.shares if null else ())
    ]
    title = alt.Title("Among random directions", subtitle=[*said, f"dashed: unsteered, {HOLLOW}"])
    return alt.layer(*_unsteered(rows, x), dots, rule).properties(height=170, title=title)
