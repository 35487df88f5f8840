"""The numbers of every mark, a row each: what charts draw, tooltips say and the CSV holds is the same."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from core.experiments.readings import label_scores
from core.experiments.statistics import at_chosen, baseline_of, beside, faults, nll, rate, repetition
from core.experiments.values import Figure, LabelRow, Outcome, Point
from core.models.pair import ROLES, Role
from core.statistics import Comparison, Interval

Cell = str | int | float | bool | None
Row = dict[str, Cell]
READABLE, UNREADABLE = "readable", "not readable"


@dataclass(frozen=True)
class _Numbers:
    rate: Interval
    nll: float
    delta_nll: float
    difference: Comparison | None
    faults: tuple[str, ...]


@functools.lru_cache(maxsize=4096)
def _numbers(point: Point, baseline: Point | None) -> _Numbers:
    """Kept, since a page that follows a run draws the same points again and again."""
    cost = nll(point).mean
    return _Numbers(
        rate=rate(point),
        nll=cost,
        delta_nll=cost - nll(baseline).mean if baseline else math.nan,
        difference=beside(point, baseline) if baseline and point.kind != "unsteered" else None,
        faults=faults(point, baseline),
    )


def point_row(outcome: Outcome, point: Point) -> Row:
    """Everything that is said of a point. Numbers that are not known are None."""
    found = _numbers(point, baseline_of((*outcome.chosen_from, *outcome.reported), point))
    gain = found.difference
    row: Row = {
        "half": point.half,
        "target": point.target,
        "kind": point.kind,
        "name": point.name,
        "source": point.source,
        "match": point.match,
        "layer": point.layer if point.kind != "unsteered" else None,
        "window": point.window.label if point.window else None,
        "dose_unit_vectors": point.coefficient,
        "dose_share_of_residual_norm": point.coefficient / point.resid_norm if point.resid_norm else None,
        "dose_raw_norms": point.coefficient / point.raw_norm if point.raw_norm else None,
        "chosen": _is_chosen(outcome, point),
        "n": point.n,
        "hits": sum(point.hits),
        "words": sum(point.words),
        "rate": found.rate.mean,
        "rate_low": found.rate.low,
        "rate_high": found.rate.high,
        "difference": gain.difference.mean if gain else None,
        "difference_low": gain.difference.low if gain else None,
        "difference_high": gain.difference.high if gain else None,
        "p": gain.p if gain else None,
        "nll": found.nll,
        "delta_nll": found.delta_nll,
        "repetition": repetition(point),
        "no_evidence": point.no_evidence,
        "readable": not found.faults,
        "faults": "; ".join(found.faults),
        "right": point.right,
        "n_known": point.n_known,
        "back_to_task": point.back,
        "remarks_on_text": point.remarks,
        "cosine": point.cosine,
    }
    return {name: finite(value) for name, value in row.items()}


def _is_chosen(outcome: Outcome, point: Point) -> bool:
    choice = outcome.choice
    here = choice is not None and (point.layer, point.window) == (choice.layer, choice.window)
    return here and point.kind != "unsteered" and at_chosen(outcome, point)


def finite(value: Cell) -> Cell:
    """None in the place of a number that is none."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def points_of(outcome: Outcome, figure: Figure) -> tuple[Point, ...]:
    """The points of a figure; () for those that are not of points."""
    if figure == "fig3":
        return tuple(p for p in outcome.reported if p.kind in ("unsteered", "direction"))
    if figure == "fig4":
        mine = (p for p in outcome.reported if p.target == "reasoner")
        return tuple(p for p in mine if p.kind != "direction" or p.source == "base")
    if figure == "fig2":
        return _map(outcome.chosen_from, _place_of_windows(outcome))
    if figure == "figB1":
        return _by_layer(outcome)
    if figure == "map" and figure in outcome.plan.figures:
        return tuple(p for p in outcome.chosen_from if p.kind == "unsteered" or p.source == "base")
    return ()


def _place_of_windows(outcome: Outcome) -> int:
    """The layer at which most windows were measured; the chosen one where several have as many."""
    windows: dict[int, set[object]] = {}
    for p in _directions(outcome.chosen_from, "base"):
        windows.setdefault(p.layer, set()).add(p.window)
    chosen = outcome.choice.layer if outcome.choice else -1
    return max(windows, key=lambda layer: (len(windows[layer]), layer == chosen), default=-1)


def _map(points: Sequence[Point], layer: int) -> tuple[Point, ...]:
    return tuple(p for p in points if p.kind == "unsteered" or (p.source == "base" and p.layer == layer))


def _by_layer(outcome: Outcome) -> tuple[Point, ...]:
    """Of each source the window at which most layers were measured; the chosen one where several have as many."""
    found = [p for p in outcome.chosen_from if p.kind == "unsteered"]
    for source in ROLES:
        mine = _directions(outcome.chosen_from, source)
        layers: dict[object, set[int]] = {}
        for p in mine:
            layers.setdefault(p.window, set()).add(p.layer)
        chosen = outcome.choice.window if outcome.choice else None
        window = max(layers, key=lambda w: (len(layers[w]), w == chosen), default=None)
        found += [p for p in mine if p.window == window]
    return tuple(found)


def _directions(points: Iterable[Point], source: Role) -> list[Point]:
    return [p for p in points if p.kind == "direction" and p.source == source]


def rows_of(outcome: Outcome, figure: Figure) -> list[Row]:
    """The rows of a figure, in a fixed order; [] where nothing was measured for it."""
    if figure == "fig5":
        return [
            {"source": r.source, "head": r.head, "layer": r.layer, "score": r.score, "rank": r.rank}
            for r in outcome.lens
        ]
    if figure == "fig6":
        return _lead_rows(outcome)
    if figure == "figC1":
        return [_label_row(row) for row in outcome.labels]
    points = points_of(outcome, figure)
    shown = {p.kind for p in points} - ({"unsteered", "direction"} if figure == "fig4" else {"unsteered"})
    if not shown:
        return []
    return [point_row(outcome, p) for p in points]


def _lead_rows(outcome: Outcome) -> list[Row]:
    """The AUC by lead, then the projection along the traces."""
    empty: Row = dict.fromkeys(("lead", "auc", "auc_low", "auc_high", "n_events", "n_others"))
    nowhere: Row = dict.fromkeys(("trace", "token", "text", "projection", "event"))
    found: list[Row] = []
    for r in outcome.leads:
        row: Row = {"source": r.source, "lead": r.lead, "auc": r.auc, "auc_low": r.low, "auc_high": r.high}
        found.append(row | {"n_events": r.n_events, "n_others": r.n_others} | nowhere)
    for trace in outcome.lead_traces:
        events = set(trace.events)
        pairs = zip(trace.projection, trace.pieces, strict=True)
        found += [
            {"source": trace.source, **empty, "trace": trace.trace_id, "token": i, "text": piece}
            | {"projection": value, "event": i in events}
            for i, (value, piece) in enumerate(pairs)
        ]
    return found


def _label_row(row: LabelRow) -> Row:
    scores = label_scores(row)
    found: Row = {
        "dose_unit_vectors": row.coefficient,
        "labeller": row.labeller,
        "n_texts": row.n_texts,
        "both": row.both,
        "keyword_only": row.keyword_only,
        "reference_only": row.reference_only,
    }
    for name, share in (("precision", scores.precision), ("recall", scores.recall), ("f1", scores.f1)):
        found |= {name: finite(share.mean), f"{name}_low": finite(share.low), f"{name}_high": finite(share.high)}
    return found
