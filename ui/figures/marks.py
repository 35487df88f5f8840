"""What the charts have in common: axes, colours, tooltips, hollow points and the controls' band.

A chart has a height and no width: it is as wide as where it is drawn. No colour tells alone, shapes and dashes do too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import altair as alt
import pandas as pd

from core.experiments.statistics import band
from core.experiments.values import Outcome
from core.experiments.words import keyword_words
from core.models.pair import ROLES, Role
from ui.components.colours import GRAY
from ui.components.roles import COLOURS, NAMES
from ui.figures.rows import READABLE, UNREADABLE, Row

SOURCES: dict[Role, str] = {role: f"from the {NAMES[role]}" for role in ROLES}
CONTROLS, OTHER_CONTROLS = "controls, lowest to highest", "controls in the reasoning model"
SHAPES = ("circle", "square")
HEIGHT = 320
HOLLOW = "hollow: text that is not readable"
LEGEND = {"orient": "top", "direction": "vertical", "labelLimit": 330, "titleLimit": 330, "symbolOpacity": 1}


@dataclass(frozen=True)
class Drawing:
    """One chart of a figure."""

    name: str
    """Of its files: "fig3-reasoner"."""
    title: str
    chart: alt.LayerChart | alt.Chart
    room: int = 0
    """Pixels that title and axes take of its height on a page, where that is too much."""


def table(rows: Sequence[Row]) -> pd.DataFrame:
    """Rows as a chart takes them."""
    frame = pd.DataFrame([dict(row) for row in rows])
    if "readable" in frame:
        frame["text"] = [READABLE if fit else UNREADABLE for fit in frame["readable"]]
        frame["why"] = [why or READABLE for why in frame["faults"]]
    return frame


def dose_axis(rows: Sequence[Row]) -> alt.X:
    """Doses in unit vectors, from 0 on where all are positive."""
    doses = [float(row["dose_unit_vectors"] or 0) for row in rows]
    return alt.X(
        "dose_unit_vectors:Q",
        title="dose (× unit vector)",
        scale=alt.Scale(domain=[min(0.0, *doses), max(0.0, *doses)], nice=False),
        axis=alt.Axis(tickCount=6),
    )


def rate_title(outcome: Outcome) -> str:
    """What the rates are of."""
    return f"words that are {keyword_words(outcome.plan.keywords)}"


def rate_scale(top: float) -> alt.Scale:
    """From 0 to the top that the charts of a figure share."""
    return alt.Scale(domain=[0, top], nice=False)


def rate_axis(outcome: Outcome, top: float) -> alt.Y:
    """Rates, named by what they are of."""
    axis = alt.Axis(format=".1~%", tickCount=6, titleLimit=300)
    return alt.Y("rate:Q", title=rate_title(outcome), axis=axis, scale=rate_scale(top))


def top_of(rows: Sequence[Row]) -> float:
    """A little above the highest end of an interval, or the highest rate where there is none."""
    ends = [float(row[name] or 0) for row in rows for name in ("rate", "rate_high")]
    return max([*ends, 0.001]) * 1.05


def tooltips(*first: str) -> list[alt.Tooltip]:
    """What hovering over a point says: the dose in its three units, every number with its interval and n."""
    shown = (
        ("dose_unit_vectors", "dose (× unit vector)", ".3~g"),
        ("dose_share_of_residual_norm", "of the residual norm", ".0%"),
        ("dose_raw_norms", "× raw difference of means", ".3~g"),
        ("rate", "rate", ".2%"),
        ("rate_low", "95% from", ".2%"),
        ("rate_high", "95% to", ".2%"),
        ("difference", "minus unsteered", "+.2%"),
        ("difference_low", "95% from ", "+.2%"),
        ("difference_high", "95% to ", "+.2%"),
        ("p", "p (paired, uncorrected)", ".3~g"),
        ("delta_nll", "ΔNLL, nats per token", "+.2f"),
        ("repetition", "repetition", ".1%"),
        ("n", "questions", ",d"),
        ("words", "words", ",d"),
        ("no_evidence", "texts that say nothing", ",d"),
    )
    named = [alt.Tooltip(f"{name}:N") for name in first]
    numbers = [alt.Tooltip(f"{name}:Q", title=title, format=form) for name, title, form in shown]
    return [*named, *numbers, alt.Tooltip("why:N", title="text")]


@dataclass(frozen=True)
class Series:
    """The lines of a chart: their names, and a colour and a shape for each."""

    names: Sequence[str]
    colours: Sequence[str]
    shapes: Sequence[str]

    def colour(self) -> alt.Color:
        """With the legend."""
        return alt.Color("series:N", title=None, scale=self._scale(self.colours), legend=alt.Legend(**LEGEND))

    def fill(self) -> alt.Fill:
        """The same for the inside of points."""
        return alt.Fill("series:N", scale=self._scale(self.colours), legend=None)

    def shape(self) -> alt.Shape:
        """In the same legend as the colours."""
        return alt.Shape("series:N", title=None, scale=self._scale(self.shapes), legend=alt.Legend(**LEGEND))

    def _scale(self, values: Sequence[str]) -> alt.Scale:
        return alt.Scale(domain=list(self.names), range=list(values))


def of_sources(sources: Sequence[Role], *extra: str) -> Series:
    """A series per source model, and one for the controls' band where it is drawn."""
    return Series(
        names=[*(SOURCES[role] for role in sources), *extra],
        colours=[*(COLOURS[role] for role in sources), *(GRAY for _ in extra)],
        shapes=[*(SHAPES[ROLES.index(role)] for role in sources), *("stroke" for _ in extra)],
    )


def fill_of_readable() -> alt.FillOpacity:
    """Filled where the text is readable, hollow where it is not; `HOLLOW` says so."""
    scale = alt.Scale(domain=[READABLE, UNREADABLE], range=[1, 0])
    return alt.FillOpacity("text:N", scale=scale, legend=None)


def points_layer(chart: alt.Chart, series: Series, **encoded: object) -> alt.Chart:
    """Points filled or hollow, in the colour and shape of their series."""
    return chart.mark_point(filled=False, size=70, strokeWidth=2, opacity=1).encode(
        color=series.colour(), fill=series.fill(), shape=series.shape(), fillOpacity=fill_of_readable(), **encoded
    )


def band_rows(outcome: Outcome) -> pd.DataFrame:
    """Where the readable controls lie, by dose."""
    return pd.DataFrame(
        [
            {"dose_unit_vectors": r.coefficient, "low": r.low, "high": r.high, "controls": r.n_controls}
            for r in band(outcome.reported)
        ],
        columns=["dose_unit_vectors", "low", "high", "controls"],
    ).assign(series=CONTROLS)


def band_layer(outcome: Outcome, x: alt.X, scale: alt.Scale, *, outline: bool = False) -> alt.Chart:
    """The grey band; as an outline where it is of another model than the chart."""
    mark = {"fillOpacity": 0.0, "stroke": GRAY, "strokeDash": [4, 3], "strokeWidth": 1.5} if outline else {}
    return (
        alt.Chart(band_rows(outcome))
        .mark_area(**{"fill": GRAY, "fillOpacity": 0.28} | mark)
        .encode(
            x=x,
            y=alt.Y("low:Q", title="", scale=scale),
            y2="high:Q",
            tooltip=[
                alt.Tooltip("series:N", title="band"),
                alt.Tooltip("dose_unit_vectors:Q", title="dose (× unit vector)", format=".3~g"),
                alt.Tooltip("low:Q", title="lowest", format=".2%"),
                alt.Tooltip("high:Q", title="highest", format=".2%"),
                alt.Tooltip("controls:Q", title="readable controls"),
            ],
        )
    )
