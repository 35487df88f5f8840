"""The 2×2 dose-response chart: keyword fraction over the coefficient, one panel per steered model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import altair as alt
import numpy as np
import pandas as pd

from core.models.pair import ROLES
from core.runs.dose_response import DosePoint
from core.statistics import mean_interval, rate_interval
from ui.components.roles import COLOURS, NAMES, REASONER_FIRST

TARGETS: dict[str, str] = {role: f"Steer the {NAMES[role]}" for role in REASONER_FIRST}
SOURCES: dict[str, str] = {role: f"from the {NAMES[role]}" for role in ROLES}
READABLE, UNREADABLE = "readable", "not readable, or no evidence"


def point_rows(points: Sequence[DosePoint], *, resid_norms: Mapping[tuple[str, str], float]) -> pd.DataFrame:
    """One row per point: mean and 95% interval over prompts, and whether the text is still readable.

    A share is of the residual norm of the steered model where the direction is added, known by (source, target).
    What is readable says `core.runs.coherence` for CURVE_POINT, against the same model's unsteered texts.
    """
    baselines = {p.target: p for p in points if p.coefficient == 0}
    return pd.DataFrame([_row(p, baselines.get(p.target), resid_norms.get((p.source, p.target), 0.0)) for p in points])


def _row(point: DosePoint, baseline: DosePoint | None, resid_norm: float) -> dict[str, object]:
    fraction = rate_interval(point.hits, point.words)
    return {
        "source": SOURCES[point.source],
        "target": TARGETS[point.target],
        "coefficient": point.coefficient,
        "share": point.coefficient / resid_norm if resid_norm else None,
        "fraction": fraction.mean,
        "low": fraction.low,
        "high": fraction.high,
        "nll": mean_interval(point.nll).mean,
        "repetition": float(np.mean(point.repetition)),
        "prompts": len(point.hits),
        "words": sum(point.words),
        "no evidence": point.no_evidence,
        "readable": READABLE if point.is_readable(baseline) else UNREADABLE,
    }


def dose_charts(rows: pd.DataFrame) -> list[alt.LayerChart]:
    """One chart per steered model, on one scale: lines with 95% bands per source, hollow points where not readable."""
    top = float(np.nanmax([*rows["high"], *rows["fraction"], 0.001])) * 1.05
    return [_panel(rows[rows["target"] == title], title, top) for title in TARGETS.values()]


def _panel(rows: pd.DataFrame, title: str, top: float) -> alt.LayerChart:
    colour = alt.Color(
        "source:N",
        title=None,
        sort=list(SOURCES.values()),
        scale=alt.Scale(domain=list(SOURCES.values()), range=[COLOURS[role] for role in ROLES]),
        legend=alt.Legend(orient="top", labelLimit=320, symbolOpacity=1),
    )
    base = alt.Chart(rows).encode(x=alt.X("coefficient:Q", title="coefficient (× unit vector)"))
    scale = alt.Scale(domain=[0, top])
    axis = alt.Y("fraction:Q", title="words that are wait or hmm", axis=alt.Axis(format=".1%"), scale=scale)
    band = base.mark_area(opacity=0.18).encode(y=alt.Y("low:Q", title="", scale=scale), y2="high:Q", color=colour)
    line = base.mark_line(strokeWidth=2.5).encode(y=axis, color=colour)
    tooltip = [
        alt.Tooltip("source:N"),
        alt.Tooltip("coefficient:Q", format=".3g"),
        alt.Tooltip("share:Q", title="share of the steered model's residual norm", format=".0%"),
        alt.Tooltip("fraction:Q", title="wait / hmm", format=".2%"),
        alt.Tooltip("low:Q", title="95% from", format=".2%"),
        alt.Tooltip("high:Q", title="to", format=".2%"),
        alt.Tooltip("nll:Q", title="NLL, nats per token", format=".2f"),
        alt.Tooltip("repetition:Q", format=".1%"),
        alt.Tooltip("prompts:Q", title="questions"),
        alt.Tooltip("words:Q"),
        alt.Tooltip("no evidence:Q", title="completions without evidence"),
        alt.Tooltip("readable:N", title="text"),
    ]
    whole = base.transform_filter(alt.datum.readable == READABLE).mark_point(size=80, filled=True, opacity=1)
    broken = base.transform_filter(alt.datum.readable == UNREADABLE).mark_point(
        size=80, strokeWidth=2, opacity=1, filled=False
    )
    dots = [marks.encode(y=axis, color=colour, tooltip=tooltip) for marks in (whole, broken)]
    return alt.layer(band, line, *dots).properties(height=380, title=title)
