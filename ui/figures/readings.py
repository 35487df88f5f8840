"""Fig. 5, Fig. 6 and Table C.1: the direction as words, along texts, and keywords against labels."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import pandas as pd

from core.experiments.values import LeadTrace, Outcome
from core.models.pair import ROLES, Role
from ui.components.colours import BLUE, CATEGORICAL, GRAY, ORANGE, RED
from ui.components.roles import NAMES
from ui.figures.marks import HEIGHT, SHAPES, SOURCES, Drawing, Series, dose_axis, of_sources
from ui.figures.rows import Row, rows_of

HEADS: dict[Role, str] = {role: f"read by the {NAMES[role]}" for role in ROLES}
SCORES = {"precision": "precision", "recall": "recall", "f1": "F1"}
TRACE_HEIGHT, MOST_TOKENS = 150, 1200


def draw_lens(outcome: Outcome) -> tuple[Drawing, ...]:
    """Fig. 5: the score and the rank over the layers, by source (colour) and unembedding (dash)."""
    rows = rows_of(outcome, "fig5")
    if not rows:
        return ()
    ranks = alt.Y(
        "rank:Q",
        title="rank of the best word (1 = first)",
        scale=alt.Scale(type="log", reverse=True, domainMin=1),
        axis=alt.Axis(format="~s", tickCount=5, titleLimit=300),
    )
    scores = alt.Y("score:Q", title="lens score s(v)", axis=alt.Axis(tickCount=6))
    return (
        Drawing("fig5-score", "Lens score by layer", _lens(rows, scores, "Lens score by layer")),
        Drawing("fig5-rank", "Best rank by layer", _lens(rows, ranks, "Best rank by layer")),
    )


def _lens(rows: Sequence[Row], y: alt.Y, title: str) -> alt.LayerChart:
    sources = [role for role in ROLES if any(row["source"] == role for row in rows)]
    series = of_sources(sources)
    frame = pd.DataFrame(
        [row | {"series": SOURCES[_role(row["source"])], "read": HEADS[_role(row["head"])]} for row in rows]
    )
    scale = alt.Scale(domain=list(HEADS.values()), range=[[1, 0], [6, 4]])
    dash = alt.StrokeDash("read:N", scale=scale, legend=None)
    x = alt.X("layer:Q", axis=alt.Axis(tickMinStep=1, format="d", tickCount=8), scale=alt.Scale(nice=False))
    shown = [alt.Tooltip(name) for name in ("series:N", "read:N", "layer:Q", "rank:Q")]
    chart = alt.Chart(frame).encode(x=x, y=y)
    line = chart.mark_line().encode(color=series.colour(), strokeDash=dash)
    dots = chart.mark_point(size=50, opacity=1).encode(
        color=series.colour(), shape=series.shape(), tooltip=[*shown, alt.Tooltip("score:Q", format=".4~g")]
    )
    said = [f"solid: {HEADS['base']}", f"dashed: {HEADS['reasoner']}"]
    return alt.layer(line, dots).properties(height=HEIGHT, title=alt.Title(title, subtitle=said))


def _role(value: object) -> Role:
    return "base" if value == "base" else "reasoner"


def draw_leads(outcome: Outcome) -> tuple[Drawing, ...]:
    """Fig. 6: AUC by lead, and the projection along single traces."""
    drawn = []
    rows = [row for row in rows_of(outcome, "fig6") if row["lead"] is not None]
    if rows:
        drawn.append(Drawing("fig6-auc", "Telling an event ahead", _auc(rows)))
    by_trace: dict[str, list[LeadTrace]] = {}
    for trace in outcome.lead_traces:
        by_trace.setdefault(trace.trace_id, []).append(trace)
    for number, (trace_id, traces) in enumerate(by_trace.items(), start=1):
        drawn.append(Drawing(f"fig6-trace-{number}", f"Along “{clipped(trace_id)}”", _along(trace_id, traces)))
    return tuple(drawn)


def _auc(rows: Sequence[Row]) -> alt.LayerChart:
    sources = [role for role in ROLES if any(row["source"] == role for row in rows)]
    series = of_sources(sources)
    frame = pd.DataFrame([row | {"series": SOURCES[_role(row["source"])]} for row in rows])
    x = alt.X(
        "lead:Q",
        title="tokens before the part's first token",
        scale=alt.Scale(reverse=True, nice=False),
        axis=alt.Axis(tickMinStep=1, format="d", tickCount=8, titleLimit=320),
    )
    ends = [float(row[name] or 0.5) for row in rows for name in ("auc", "auc_low")]
    scale = alt.Scale(domain=[min(0.4, *ends), 1], nice=False)
    y = alt.Y("auc:Q", title="AUC (0.5 = not at all)", scale=scale)
    numbers = (("auc", "AUC", ".3f"), ("auc_low", "95% from", ".3f"), ("auc_high", "95% to", ".3f"))
    shown = [alt.Tooltip("series:N"), alt.Tooltip("lead:Q")]
    shown += [alt.Tooltip(f"{name}:Q", title=title, format=form) for name, title, form in numbers]
    shown += [alt.Tooltip("n_events:Q", title="events"), alt.Tooltip("n_others:Q", title="other parts")]
    chart = alt.Chart(frame).encode(x=x)
    interval = chart.mark_area(opacity=0.18).encode(
        y=alt.Y("auc_low:Q", title="", scale=scale), y2="auc_high:Q", color=series.colour()
    )
    line = chart.mark_line().encode(y=y, color=series.colour())
    dots = chart.mark_point(size=50, opacity=1).encode(y=y, color=series.colour(), shape=series.shape(), tooltip=shown)
    half = alt.Chart(pd.DataFrame({"auc": [0.5]})).mark_rule(strokeDash=[5, 4], color=GRAY).encode(y=y)
    return alt.layer(half, interval, line, dots).properties(height=HEIGHT, title="Telling an event ahead")


def _along(trace_id: str, traces: Sequence[LeadTrace]) -> alt.LayerChart:
    """One trace, a line per source; rules where an event begins."""
    series = of_sources([role for role in ROLES if any(trace.source == role for trace in traces)])
    step = -(-max(len(trace.pieces) for trace in traces) // MOST_TOKENS)
    rows = [
        {"series": SOURCES[trace.source], "token": i, "projection": trace.projection[i], "text": repr(piece)[1:-1]}
        for trace in traces
        for i, piece in enumerate(trace.pieces)
        if i % step == 0
    ]
    events = sorted({token for trace in traces for token in trace.events})
    x = alt.X("token:Q", title="token", scale=alt.Scale(nice=False), axis=alt.Axis(tickCount=6, format="d"))
    shown = [alt.Tooltip(name) for name in ("series:N", "token:Q", "text:N")]
    line = (
        alt.Chart(pd.DataFrame(rows))
        .mark_line(strokeWidth=1.6)
        .encode(
            x=x,
            y=alt.Y("projection:Q", title="projection", axis=alt.Axis(tickCount=4)),
            color=series.colour(),
            tooltip=[*shown, alt.Tooltip("projection:Q", format="+.3f")],
        )
    )
    rules = alt.Chart(pd.DataFrame({"token": events}, columns=["token"])).mark_rule(color=RED, strokeWidth=2)
    title = alt.Title(
        f"Along “{clipped(trace_id)}”",
        subtitle="red: an event begins" + (f", every {step}th token" if step > 1 else ""),
    )
    return alt.layer(rules.encode(x=x), line).properties(height=TRACE_HEIGHT, title=title)


def clipped(text: str, letters: int = 16) -> str:
    """A name as a title of a phone has room for."""
    return text if len(text) <= letters else text[: letters - 1] + "…"


def draw_labels(outcome: Outcome) -> tuple[Drawing, ...]:
    """Table C.1: precision, recall and F1 of the keywords over the doses, with intervals."""
    rows = rows_of(outcome, "figC1")
    if not rows:
        return ()
    long: list[Row] = [
        row | {"series": title, "share": row[name], "low": row[f"{name}_low"], "high": row[f"{name}_high"]}
        for row in rows
        for name, title in SCORES.items()
    ]
    series = Series(names=list(SCORES.values()), colours=[BLUE, ORANGE, CATEGORICAL[2]], shapes=[*SHAPES, "diamond"])
    chart = alt.Chart(pd.DataFrame(long)).encode(x=dose_axis(rows))
    scale = alt.Scale(domain=[0, 1])
    y = alt.Y("share:Q", title="share of sentences", axis=alt.Axis(format=".0%", tickCount=6), scale=scale)
    shown = [alt.Tooltip("series:N"), alt.Tooltip("dose_unit_vectors:Q", title="dose (× unit vector)", format=".3~g")]
    shown += [alt.Tooltip(f"{name}:Q", format=".1%") for name in ("share", "low", "high")]
    shown += [alt.Tooltip(f"{name}:Q") for name in ("n_texts", "both", "keyword_only", "reference_only")]
    interval = chart.mark_area(opacity=0.14).encode(
        y=alt.Y("low:Q", title="", scale=scale), y2="high:Q", color=series.colour()
    )
    line = chart.mark_line().encode(y=y, color=series.colour())
    dots = chart.mark_point(size=60, opacity=1).encode(y=y, color=series.colour(), shape=series.shape(), tooltip=shown)
    title = alt.Title("Keywords against labels", subtitle=f"{rows[0]['n_texts']} completions a dose")
    return (
        Drawing(
            "figC1", "Keywords against labels", alt.layer(interval, line, dots).properties(height=HEIGHT, title=title)
        ),
    )
