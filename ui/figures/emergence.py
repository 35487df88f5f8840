"""Over the checkpoints of a finetune: keywords with and without the base model's direction, its gain, and cosines."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import pandas as pd

from core.experiments.words import keyword_words
from core.models.pair import Role
from core.series.values import Series
from ui.components.colours import BLUE, DASHES, GRAY, ORANGE, RED, dashes
from ui.components.roles import NAMES
from ui.figures.marks import HOLLOW, LEGEND, Drawing, fill_of_readable, rate_scale, table
from ui.figures.marks import Series as Lines
from ui.figures.rows import Row
from ui.figures.series_rows import series_rows

WITH: dict[Role, str] = {role: f"with the {name}'s direction" for role, name in NAMES.items()}
UNSTEERED, STRONGEST, RANDOM = "unsteered", "strongest readable control", "random directions, lowest to highest"
MINUS_UNSTEERED, MINUS_CONTROL = "minus unsteered", "minus the strongest readable control"
VIOLET = "#8a63d2"
SPREAD = (BLUE, VIOLET, RED, ORANGE)
"""Colours of the layers, from the first to the last: mixed in between."""
_DASHES = {STRONGEST: DASHES[1], MINUS_CONTROL: DASHES[1]}
PANEL = 230
_RATES = (
    ("unsteered", UNSTEERED),
    ("steered", WITH["base"]),
    ("reasoner_derived", WITH["reasoner"]),
    ("strongest_control_rate", STRONGEST),
)
_GAINS = (("effect", MINUS_UNSTEERED), ("specific", MINUS_CONTROL))


def draw_emergence(series: Series) -> tuple[Drawing, ...]:
    """One figure in three panels over the steps of training; () before anything is measured."""
    rows = [row for row in series_rows(series) if row["step"] is not None]
    if not rows:
        return ()
    drawn = [
        Drawing("emergence-words", "Keywords over the training", _rates(series, rows)),
        Drawing("emergence-gain", "What the base model's direction adds", _gains(series, rows)),
    ]
    cosines = _cosine_rows(series)
    if cosines:
        drawn.append(Drawing("emergence-cosine", "How alike the two directions are", _cosines(series, cosines)))
    return tuple(drawn)


def _steps(series: Series) -> alt.X:
    steps = series.plan.steps
    ends = [min(steps), max(steps)]
    axis = alt.Axis(values=list(steps), format="d", labelOverlap=True, grid=False)
    return alt.X("step:Q", title="steps of training", scale=alt.Scale(domain=ends, nice=False, padding=8), axis=axis)


def _long(rows: Sequence[Row], named: Sequence[tuple[str, str]]) -> list[Row]:
    """A row per line and step, of what is known. Text is readable or not where it is steered."""
    return [
        row
        | {"series": title, "value": row[name], "low": row[f"{name}_low"], "high": row[f"{name}_high"]}
        | ({} if name in ("steered", "effect", "specific") else {"readable": True, "faults": ""})
        for name, title in named
        for row in rows
        if row[name] is not None
    ]


def _tooltips(form: str) -> list[alt.Tooltip]:
    numbers = (("value", "value", form), ("low", "95% from", form), ("high", "95% to", form), ("n", "questions", ",d"))
    return [
        alt.Tooltip("series:N"),
        alt.Tooltip("step:Q"),
        *(alt.Tooltip(f"{name}:Q", title=title, format=shown) for name, title, shown in numbers),
        alt.Tooltip("strongest_control:N", title="strongest control"),
        alt.Tooltip("why:N", title="text"),
    ]


def _rates(series: Series, rows: Sequence[Row]) -> alt.LayerChart:
    found = _long(rows, _RATES)
    ends = [float(row[name] or 0) for row in found for name in ("value", "high") if row["series"] != STRONGEST]
    ends += [float(row[name] or 0) for row in rows for name in ("random_high", "strongest_control_rate")]
    scale = rate_scale(1.05 * max([*ends, 0.001]))
    banded = [row for row in rows if row["random_low"] is not None]
    there = [title for _, title in _RATES if any(row["series"] == title for row in found)]
    colours = {UNSTEERED: GRAY, WITH["base"]: BLUE, WITH["reasoner"]: ORANGE, STRONGEST: VIOLET, RANDOM: GRAY}
    shapes = {UNSTEERED: "triangle-up", WITH["base"]: "circle", WITH["reasoner"]: "square", STRONGEST: "diamond"}
    names = [*there, *[RANDOM] * bool(banded)]
    lines = Lines(names=names, colours=[colours[n] for n in names], shapes=[shapes.get(n, "stroke") for n in names])
    words = f"words that are {keyword_words(series.plan.plan.keywords)}"
    y = alt.Y("value:Q", title=words, axis=alt.Axis(format=".2~%", tickCount=5, titleLimit=260), scale=scale)
    chart = _lines(series, found, lines, y=y, scale=scale, form=".2%", without_ends=(STRONGEST, WITH["reasoner"]))
    band = alt.Chart(pd.DataFrame([dict(row) | {"series": RANDOM} for row in banded])).mark_area(
        fill=GRAY, fillOpacity=0.12, stroke=GRAY, strokeDash=[4, 3], strokeWidth=1.2
    )
    drawn = band.encode(x=_steps(series), y=alt.Y("random_low:Q", title="", scale=scale), y2="random_high:Q")
    title = alt.Title("Keywords over the training", subtitle=[f"{_n(rows)} questions, 95% intervals", HOLLOW])
    return alt.layer(*[drawn] * bool(banded), chart).properties(height=PANEL, title=title)


def _gains(series: Series, rows: Sequence[Row]) -> alt.LayerChart:
    found = _long(rows, _GAINS)
    there = [title for _, title in _GAINS if any(row["series"] == title for row in found)]
    colours, shapes = {MINUS_UNSTEERED: BLUE, MINUS_CONTROL: VIOLET}, {MINUS_UNSTEERED: "circle"}
    lines = Lines(names=there, colours=[colours[n] for n in there], shapes=[shapes.get(n, "diamond") for n in there])
    ends = [float(row[name] or 0) for row in found for name in ("value", "low", "high")]
    scale = alt.Scale(domain=[1.05 * min([*ends, 0.0]), 1.05 * max([*ends, 0.001])], nice=False)
    y = alt.Y("value:Q", title="steered, minus …", axis=alt.Axis(format="+.2~%", tickCount=5), scale=scale)
    zero = alt.Chart(pd.DataFrame({"value": [0.0]})).mark_rule(strokeDash=[5, 4], strokeWidth=1.5, color=GRAY)
    chart = _lines(series, found, lines, y=y, scale=scale, form="+.2%")
    title = alt.Title(
        "What the base model's direction adds", subtitle=[f"paired over {_n(rows)} questions, 95% intervals", HOLLOW]
    )
    return alt.layer(zero.encode(y=y), chart).properties(height=PANEL, title=title)


def _lines(
    series: Series,
    rows: Sequence[Row],
    lines: Lines,
    *,
    y: alt.Y,
    scale: alt.Scale,
    form: str,
    without_ends: Sequence[str] = (),
) -> alt.LayerChart:
    """Lines with their intervals as areas, and points that are hollow where the text is not readable."""
    x, chart = _steps(series), alt.Chart(table(rows))
    with_ends = alt.Chart(table([row for row in rows if row["series"] not in without_ends] or rows))
    interval = with_ends.mark_area(opacity=0.16).encode(
        x=x, y=alt.Y("low:Q", title="", scale=scale), y2="high:Q", color=lines.colour()
    )
    dash = alt.Scale(domain=list(lines.names), range=[list(_DASHES.get(name, DASHES[0])) for name in lines.names])
    line = chart.mark_line().encode(
        x=x, y=y, color=lines.colour(), strokeDash=alt.StrokeDash("series:N", scale=dash, legend=None)
    )
    dots = chart.mark_point(filled=False, size=60, strokeWidth=2, opacity=1).encode(
        x=x, y=y, color=lines.colour(), fill=lines.fill(), shape=lines.shape(), fillOpacity=fill_of_readable(),
        tooltip=_tooltips(form),
    )  # fmt: skip
    return alt.layer(interval, line, dots)


def _n(rows: Sequence[Row]) -> int:
    return max(int(row["n"] or 0) for row in rows)


def _cosine_rows(series: Series) -> list[dict[str, object]]:
    """A row per step and layer."""
    chosen = {one.outcome.choice.layer for one in series.measured if one.outcome and one.outcome.choice}
    return [
        {
            "step": one.member.step,
            "layer": f"layer {row.layer}" + (" (steered)" if row.layer in chosen else ""),
            "place": row.layer,
            "steered": row.layer in chosen,
            "value": row.cosine,
            "low": row.low,
            "high": row.high,
            "n": row.n,
        }
        for one in series.measured
        for row in one.cosines
    ]


def _cosines(series: Series, rows: Sequence[dict[str, object]]) -> alt.LayerChart:
    frame = pd.DataFrame(rows)
    names = list(dict.fromkeys(frame.sort_values("place")["layer"]))
    scale = alt.Scale(domain=names, range=[_mixed(i / max(len(names) - 1, 1)) for i in range(len(names))])
    legend = alt.Legend(**LEGEND, columns=2, symbolType="stroke", symbolSize=500, symbolStrokeWidth=2.5)
    colour = alt.Color("layer:N", title=None, scale=scale, legend=legend)
    dashed = alt.Scale(domain=names, range=dashes(len(names)))
    dash = alt.StrokeDash("layer:N", title=None, scale=dashed, legend=legend)
    lows = [value for name in ("value", "low") for value in frame[name].dropna()]
    ends = alt.Scale(domain=[min([*lows, 0.9]) - 0.02, 1.0], nice=False)
    y = alt.Y("value:Q", title="cosine, base and reasoner", scale=ends, axis=alt.Axis(tickCount=5, format=".2~f"))
    numbers = (
        ("value", "cosine", "+.3f"),
        ("low", "95% from", "+.3f"),
        ("high", "95% to", "+.3f"),
        ("n", "traces", "d"),
    )
    shown = [alt.Tooltip("layer:N"), alt.Tooltip("step:Q")]
    shown += [alt.Tooltip(f"{name}:Q", title=title, format=form) for name, title, form in numbers]
    chart, x = alt.Chart(frame), _steps(series)
    interval = chart.mark_rule(strokeWidth=1.5, opacity=0.55).encode(
        x=x, y=alt.Y("low:Q", title="", scale=ends), y2="high:Q", color=colour
    )
    line = chart.mark_line(strokeWidth=1.8).encode(x=x, y=y, color=colour, strokeDash=dash)
    steered = (
        chart.transform_filter(alt.datum.steered)
        .mark_line(strokeWidth=4)
        .encode(x=x, y=y, color=colour, strokeDash=dash)
    )
    dots = chart.mark_point(size=40, filled=True, opacity=1).encode(x=x, y=y, color=colour, tooltip=shown)
    said = f"cosine by layer, {frame['n'].max()} traces, 95% intervals over folds"
    title = alt.Title("How alike the two directions are", subtitle=[said])
    return alt.layer(interval, line, steered, dots).properties(height=PANEL, title=title)


def _mixed(share: float) -> str:
    """The colour at a share of the way along SPREAD."""
    place = share * (len(SPREAD) - 1)
    i = min(int(place), len(SPREAD) - 2)
    ends = [[int(colour[k : k + 2], 16) for k in (1, 3, 5)] for colour in SPREAD[i : i + 2]]
    return "#" + "".join(f"{round(a + (b - a) * (place - i)):02x}" for a, b in zip(*ends, strict=True))
