"""The numbers of a series, a row per pair: what its charts draw, its tables say and its files hold is the same."""

from __future__ import annotations

import json
import statistics

from core.experiments.verdicts import control_name
from core.series.numbers import Standing, standings
from core.series.values import Series
from core.series.words import emergence_sentence
from core.statistics import Comparison, Interval
from ui.figures.rows import Row, finite


def series_rows(series: Series) -> list[Row]:
    """A row per pair whose effect is measured, in order; numbers that are not known are None."""
    layers = sorted({row.layer for one in series.measured for row in one.cosines})
    return [_row(one) | _cosines(one, layers) for one in standings(series)]


def _row(one: Standing) -> Row:
    chosen, member = one.chosen, one.measured.member
    row: Row = {
        "name": member.name,
        "step": member.step,
        "finished": one.measured.finished,
        "layer": chosen.layer,
        "window": chosen.window.label if chosen.window else None,
        "dose_unit_vectors": chosen.coefficient,
        "n": chosen.n,
        **_share("unsteered", one.unsteered),
        **_share("steered", one.steered),
        **_difference("effect", one.effect),
        "strongest_control": control_name(one.strongest) if one.strongest else None,
        **_share("strongest_control_rate", one.strongest_rate),
        **_difference("specific", one.specific),
        "random_low": one.random[0] if one.random else None,
        "random_median": statistics.median(one.random) if one.random else None,
        "random_high": one.random[-1] if one.random else None,
        "n_random_readable": len(one.random),
        **_share("above_random", one.share.below if one.share else None),
        "n_random": one.share.below.n if one.share else None,
        **_share("reasoner_derived", one.reasoner_derived),
        "readable": not one.faults,
        "faults": "; ".join(one.faults),
    }
    row |= {f"tick_{tick.name.replace(' ', '_')}": tick.state for tick in one.ticks}
    return {name: finite(value) for name, value in row.items()}


def _share(name: str, found: Interval | None) -> Row:
    return {
        name: found.mean if found else None,
        f"{name}_low": found.low if found else None,
        f"{name}_high": found.high if found else None,
    }


def _difference(name: str, found: Comparison | None) -> Row:
    told: Row = {f"{name}_p": found.p if found else None, f"{name}_finding": found.finding() if found else None}
    return _share(name, found.difference if found else None) | told


def _cosines(one: Standing, layers: list[int]) -> Row:
    """Of every layer of the series: the cosine with its interval, and the number of traces with an event."""
    found = {row.layer: row for row in one.measured.cosines}
    told: Row = {"n_traces": next((row.n for row in found.values()), None)}
    for layer in layers:
        row = found.get(layer)
        told[f"cosine_layer_{layer}"] = row.cosine if row else None
        told[f"cosine_layer_{layer}_low"] = row.low if row else None
        told[f"cosine_layer_{layer}_high"] = row.high if row else None
    return told


def emergence_json(series: Series) -> bytes:
    """The curves over checkpoints for other programs: the sentence, and every number."""
    told = {
        "schema": "retrace-emergence/1",
        "sentence": emergence_sentence(series),
        "finished": series.finished,
        "checkpoints": series_rows(series),
    }
    return _json(told)


def zoo_json(series: Series) -> bytes:
    """The table of several pairs for other programs."""
    return _json({"schema": "retrace-zoo/1", "finished": series.finished, "pairs": series_rows(series)})


def _json(told: object) -> bytes:
    return (json.dumps(told, ensure_ascii=False, allow_nan=False, indent=1) + "\n").encode()
