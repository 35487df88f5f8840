"""Charts of an experiment: each mark has the value of its point, and nothing stops where little was measured."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest

from core.experiments.statistics import band, baseline_of, beside, null_of, rate, readable
from core.experiments.values import Figure, Outcome, Point, SavedPair
from core.experiments.words import TITLES
from core.statistics import wilson
from tests.experiments.outcomes import DOSE, DOSES, EDGE, LABELS, LAYERS, RANDOM, RESID_NORM, WINDOWS, outcome, plan
from ui.components.colours import BACKGROUND, TEXT
from ui.components.roles import COLOURS, NAMES
from ui.figures.catalogue import csv_of, drawings, measured
from ui.figures.controls import _wrapped
from ui.figures.marks import SOURCES, Drawing
from ui.figures.pictures import NARROW, in_dark, png_of, svg_of

WHOLE = outcome()
FIGURES: tuple[Figure, ...] = tuple(TITLES)


def only(points: tuple[Point, ...], **fields: Any) -> tuple[Point, ...]:
    return tuple(p for p in points if all(getattr(p, name) == value for name, value in fields.items()))


def data_of(drawing: Drawing) -> list[dict[str, Any]]:
    """Every row that a chart is drawn from."""
    return [row for rows in drawing.chart.to_dict()["datasets"].values() for row in rows]


def table_of(figure: Figure, of: Outcome = WHOLE) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(csv_of(of, figure))))


def named(figure: Figure, name: str, of: Outcome = WHOLE) -> Drawing:
    return next(drawing for drawing in drawings(of, figure) if drawing.name == name)


def test_every_figure_is_drawn_of_plain_values_without_streamlit():
    code = (
        "import sys; from tests.experiments.outcomes import outcome; from ui.figures.catalogue import measured\n"
        "from ui.figures.report import report_html; assert len(measured(outcome())) == 8\n"
        "sys.exit('streamlit' in sys.modules or 'torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=120).returncode == 0


@pytest.mark.parametrize("target", ["reasoner", "base"])
def test_a_mark_of_the_2x2_has_the_rate_of_its_point(target):
    marks = [row for row in data_of(named("fig3", f"fig3-{target}")) if "rate" in row]
    points = only(WHOLE.reported, target=target, kind="direction")
    assert {(row["series"], row["dose_unit_vectors"]) for row in marks if row["dose_unit_vectors"]} == {
        (SOURCES[p.source], p.coefficient) for p in points if p.source
    }
    for point in points:
        row = next(r for r in marks if (r["source"], r["dose_unit_vectors"]) == (point.source, point.coefficient))
        found, unsteered = rate(point), baseline_of(WHOLE.reported, point)
        assert (row["rate"], row["rate_low"], row["rate_high"]) == (found.mean, found.low, found.high)
        assert row["readable"] is readable(point, unsteered)
        assert row["difference"] == beside(point, unsteered).difference.mean
        assert row["dose_share_of_residual_norm"] == point.coefficient / RESID_NORM


def test_both_panels_begin_at_their_own_unsteered_text_and_share_one_scale():
    domains = set()
    for target in ("reasoner", "base"):
        drawing = named("fig3", f"fig3-{target}")
        start = [row["rate"] for row in data_of(drawing) if row.get("dose_unit_vectors") == 0]
        assert start == [rate(only(WHOLE.reported, target=target, kind="unsteered")[0]).mean] * 2
        scales = [layer["encoding"]["y"]["scale"]["domain"] for layer in drawing.chart.to_dict()["layer"]]
        domains |= {tuple(scale) for scale in scales}
    assert len(domains) == 1


@pytest.mark.parametrize(("figure", "name"), [("fig3", "fig3-reasoner"), ("fig3", "fig3-base"), ("fig4", "fig4-doses")])
def test_the_band_of_the_controls_is_in_every_chart_over_doses(figure, name):
    found = [row for row in data_of(named(figure, name)) if "controls" in row]
    assert [(r["dose_unit_vectors"], r["low"], r["high"], r["controls"]) for r in found] == [
        (row.coefficient, row.low, row.high, row.n_controls) for row in band(WHOLE.reported)
    ]


def test_colours_are_those_of_the_models_everywhere():
    for figure, name in (("fig3", "fig3-base"), ("fig5", "fig5-score"), ("fig6", "fig6-auc")):
        layers = named(figure, name).chart.to_dict()["layer"]
        scale = next(s for layer in layers if (s := layer["encoding"].get("color", {}).get("scale")))
        found = dict(zip(scale["domain"], scale["range"], strict=True))
        assert {role: found[f"from the {NAMES[role]}"] for role in COLOURS} == COLOURS


def test_the_ladder_has_the_direction_on_top_and_every_control_of_the_chosen_dose():
    drawing = named("fig4", "fig4-ladder")
    rows = [row for row in data_of(drawing) if "rung" in row]
    controls = {
        (p.name, p.match)
        for p in WHOLE.reported
        if p.kind not in ("unsteered", "direction") and (p.coefficient == DOSE or p.match == "coherence")
    }
    assert {(row["name"], row["match"]) for row in rows} == controls | {("base-derived", "norm")}
    assert len(controls) == 2 * RANDOM + len(LABELS) + 6
    order = drawing.chart.to_dict()["layer"][-1]["encoding"]["y"]["sort"]
    assert order[0] == "base-derived"


def test_the_null_shows_each_random_direction_and_the_share_below():
    rows = data_of(named("fig4", "fig4-null"))
    assert sum(row["kind"] == "random" for row in rows) == 2 * RANDOM
    subtitle = named("fig4", "fig4-null").chart.to_dict()["title"]["subtitle"]
    null = null_of(WHOLE)
    assert null
    for share, line in zip(null.shares, subtitle, strict=False):
        assert line.startswith(f"above {100 * share.below.mean:.0f}% [")
        assert line.endswith(share.match)


def test_maps_are_of_the_choosing_half_and_a_cell_is_steered_minus_unsteered():
    unsteered = only(WHOLE.chosen_from, kind="unsteered")[0]
    rows = data_of(named("fig2", "fig2"))
    assert len(rows) == len(WINDOWS) * len(DOSES)
    for row in rows:
        point = next(
            p
            for p in only(WHOLE.chosen_from, source="base", layer=row["layer"], coefficient=row["dose_unit_vectors"])
            if p.window and p.window.label == row["row"]
        )
        assert row["half"] == "choose"
        assert row["difference"] == beside(point, unsteered).difference.mean
        assert (row["shown"] == "×") is not readable(point, unsteered)
    assert [(row["row"], row["column"]) for row in rows if row["chosen"]] == [("-7..-2", f"{DOSE / EDGE:.3g}")]
    for source in ("base", "reasoner"):
        layers = data_of(named("figB1", f"figB1-{source}"))
        assert {row["row"] for row in layers} == {str(layer) for layer in LAYERS}
        assert {row["column"] for row in layers} == {f"{value:.3g}" for value in plan().doses.values}


def test_a_place_of_the_map_has_its_largest_readable_effect():
    loud = [replace(p, hits=(50,) * p.n) if p.coefficient == DOSES[-1] else p for p in WHOLE.chosen_from]
    whole = replace(WHOLE, chosen_from=tuple(loud))
    unsteered = only(whole.chosen_from, kind="unsteered")[0]
    rows = data_of(named("map", "map", whole))
    points = only(whole.chosen_from, source="base")
    assert not any(readable(p, unsteered) for p in only(points, coefficient=DOSES[-1]))
    assert {(row["row"], row["column"]) for row in rows} == {(p.window.label, str(p.layer)) for p in points if p.window}
    assert len(rows) == len({(p.window, p.layer) for p in points})
    for row in rows:
        mine = [p for p in points if p.window and (p.window.label, p.layer) == (row["window"], row["layer"])]
        effects = [beside(p, unsteered).difference.mean for p in mine if readable(p, unsteered)]
        assert effects
        assert row["chosen"] or row["difference"] == max(effects)
    assert [(row["row"], row["column"], row["dose_unit_vectors"]) for row in rows if row["chosen"]] == [
        ("-7..-2", "4", DOSE)
    ]


def test_a_plan_without_the_map_has_none():
    without = replace(WHOLE, plan=plan(figures=("fig2", "fig3")))
    assert "fig2" in measured(without)
    assert "map" not in measured(without)


def test_a_place_without_readable_text_is_crossed_out():
    silent = replace(
        WHOLE, chosen_from=tuple(replace(p, no_evidence=p.n) if p.layer == 6 else p for p in WHOLE.chosen_from)
    )
    assert {row["shown"] for row in data_of(named("map", "map", silent)) if row["column"] == "6"} == {"×"}


@pytest.mark.parametrize("figure", ["fig2", "fig3", "fig4", "figB1", "map"])
def test_the_rate_of_the_csv_is_hits_over_words(figure):
    rows = table_of(figure)
    assert len(rows) == len({tuple(row.values()) for row in rows})
    for row in rows:
        assert float(row["rate"]) == pytest.approx(int(row["hits"]) / int(row["words"]), rel=1e-8)
        assert float(row["rate_low"]) <= float(row["rate"]) <= float(row["rate_high"])
        if row["kind"] != "unsteered":
            assert float(row["dose_raw_norms"]) == pytest.approx(float(row["dose_unit_vectors"]) / 1.5, rel=1e-8)
            assert float(row["difference_low"]) <= float(row["difference"]) <= float(row["difference_high"])
            assert 0 < float(row["p"]) <= 1


def test_the_csv_of_labels_is_precision_recall_and_f1():
    for row, label in zip(table_of("figC1"), WHOLE.labels, strict=True):
        precision = wilson(label.both, label.both + label.keyword_only)
        recall = label.both / (label.both + label.reference_only)
        assert float(row["precision_low"]) == pytest.approx(precision.low)
        assert float(row["recall"]) == pytest.approx(recall)
        assert float(row["f1"]) == pytest.approx(2 * precision.mean * recall / (precision.mean + recall))
        assert float(row["f1_low"]) < float(row["f1"]) < float(row["f1_high"])


def test_no_cell_of_a_csv_begins_like_a_formula():
    trace = replace(WHOLE.lead_traces[0], pieces=("=1+1", "\n", *WHOLE.lead_traces[0].pieces[2:]))
    rows = table_of("fig6", replace(WHOLE, leads=(), lead_traces=(trace,)))
    assert [row["text"] for row in rows[:2]] == ['"=1+1"', '"\\n"']


EMPTY = Outcome(plan=plan())
PARTS: dict[str, Outcome] = {
    "nothing": EMPTY,
    "the choosing half": replace(EMPTY, chosen_from=WHOLE.chosen_from),
    "unsteered text alone": replace(EMPTY, reported=only(WHOLE.reported, kind="unsteered")),
    "one model": replace(WHOLE, reported=only(WHOLE.reported, target="reasoner")),
    "no unsteered text": replace(WHOLE, reported=tuple(p for p in WHOLE.reported if p.kind != "unsteered")),
    "no controls": replace(WHOLE, reported=tuple(p for p in WHOLE.reported if p.kind in ("unsteered", "direction"))),
    "saved directions": outcome(
        plan=plan(saved=SavedPair(base="x")),
        choice=replace(WHOLE.choice, window=None) if WHOLE.choice else None,
        **{
            half: tuple(replace(p, window=None) for p in getattr(WHOLE, half) if p.layer in (0, 4))
            for half in ("reported", "chosen_from")
        },
    ),
    "no words": replace(
        WHOLE,
        reported=tuple(
            replace(p, words=(0,) * p.n, hits=(0,) * p.n, nll=(None,) * p.n, no_evidence=p.n) for p in WHOLE.reported
        ),
    ),
    "no keyword": replace(WHOLE, reported=tuple(replace(p, hits=(0,) * p.n) for p in WHOLE.reported)),
    "a long trace": replace(
        WHOLE, lead_traces=(replace(WHOLE.lead_traces[0], projection=(0.1,) * 9000, pieces=("x",) * 9000),)
    ),
}


@pytest.mark.parametrize("of", PARTS.values(), ids=PARTS)
def test_what_was_measured_is_drawn_whatever_is_missing(of):
    for figure in FIGURES:
        drawn = drawings(of, figure)
        assert bool(drawn) is (figure in measured(of)) is bool(csv_of(of, figure))
        for drawing in drawn:
            assert "NaN" not in str(drawing.chart.to_json(allow_nan=False))


def test_nothing_is_measured_of_unsteered_text_alone():
    assert measured(PARTS["unsteered text alone"]) == measured(EMPTY) == ()


@pytest.mark.parametrize("mode", ["light", "dark"])
@pytest.mark.parametrize("figure", FIGURES)
def test_a_chart_is_the_same_file_each_time_in_the_colours_of_its_theme(figure, mode):
    chart = drawings(WHOLE, figure)[0].chart
    svg = svg_of(chart, mode=mode, width=NARROW)
    assert svg == svg_of(chart, mode=mode, width=NARROW)
    assert BACKGROUND[mode].encode() in svg
    assert f'fill="{TEXT[mode]}"'.encode() in svg
    assert f'width="{NARROW}"'.encode() in svg


@pytest.mark.parametrize("figure", FIGURES)
def test_the_dark_drawing_is_the_light_one_in_other_colours(figure):
    for drawing in drawings(WHOLE, figure):
        assert in_dark(svg_of(drawing.chart)) == svg_of(drawing.chart, mode="dark")


def test_a_picture_is_three_pixels_for_each_of_the_page():
    chart = named("fig2", "fig2").chart
    png = png_of(chart, width=300)
    assert png == png_of(chart, width=300)
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    assert int.from_bytes(png[16:20]) == 900


def test_names_of_any_length_fit_beside_the_ladder():
    for name in ("label: uncertainty-estimation", "x" * 200, "label: " + "long word " * 20, ""):
        lines = _wrapped(name).split("\n")
        assert 1 <= len(lines) <= 2
        assert max(map(len, lines)) <= 32
