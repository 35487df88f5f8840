"""The figure over checkpoints: every number with its interval, the same in chart, CSV and picture."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from core.series.values import CosineRow, Series
from tests.series.test_words import ABOVE_ALL, ABOVE_UNSTEERED, NO, series, spot
from ui.components.fixed_chart import roomy
from ui.figures.catalogue import csv_text
from ui.figures.emergence import MINUS_CONTROL, MINUS_UNSTEERED, draw_emergence
from ui.figures.pictures import described, png_of, stacked, svg_of
from ui.figures.series_rows import series_rows
from ui.figures.zoo import zoo_html, zoo_table


def shown() -> Series:
    """Four checkpoints, the last of which is not readable, with cosines at two layers."""
    found = series(NO, ABOVE_UNSTEERED, ABOVE_ALL, spot(6, cost=5.0))
    measured = [
        replace(
            one,
            cosines=(
                CosineRow(layer=1, cosine=1 - 0.02 * i, low=0.9 - 0.02 * i, high=1.0, n=30),
                CosineRow(layer=2, cosine=0.9 - 0.1 * i, low=None, high=None, n=0),
            ),
        )
        for i, one in enumerate(found.measured)
    ]
    return replace(found, measured=tuple(measured))


def test_a_row_per_checkpoint_with_every_number_and_its_interval():
    rows = series_rows(shown())
    assert [row["step"] for row in rows] == [0, 15, 30, 45]
    assert [row["readable"] for row in rows] == [True, True, True, False]
    assert rows[2]["steered"] == pytest.approx(0.03)
    for row in rows:
        for name in ("unsteered", "steered", "effect", "specific", "strongest_control_rate"):
            assert row[f"{name}_low"] <= row[name] <= row[f"{name}_high"]
        assert row["n"] == 40
    assert (rows[1]["cosine_layer_1"], rows[1]["cosine_layer_1_low"], rows[1]["n_traces"]) == (0.98, 0.88, 30)
    assert rows[1]["cosine_layer_2_low"] is None
    lines = list(csv.DictReader(io.StringIO(csv_text(rows))))
    assert [float(line["effect"]) for line in lines] == pytest.approx([row["effect"] for row in rows])


def test_three_panels_over_the_steps_and_one_picture_of_them():
    drawn = draw_emergence(shown())
    assert [drawing.name for drawing in drawn] == ["emergence-words", "emergence-gain", "emergence-cosine"]
    spec = described(drawn[1].chart)
    values = [row for data in spec["datasets"].values() for row in data if row.get("series") == MINUS_CONTROL]
    assert {row["step"] for row in values} == {0, 15, 30, 45}
    assert {row["text"] for row in values if row["step"] == 45} == {"not readable"}
    assert any(row.get("series") == MINUS_UNSTEERED for data in spec["datasets"].values() for row in data)
    chart = stacked([drawing.chart for drawing in drawn])
    for mode in ("light", "dark"):
        picture = svg_of(chart, mode=mode)
        assert ElementTree.fromstring(picture).tag.endswith("svg")
        assert picture.count(b"steps of training") == 3
    assert svg_of(chart) == svg_of(chart)
    assert png_of(chart).startswith(b"\x89PNG")


def test_no_line_is_told_by_its_colour_alone():
    words, gains, cosines = (described(drawing.chart) for drawing in draw_emergence(shown()))
    for chart in (words, gains):
        (shape,) = {str(layer["encoding"]["shape"]["scale"]["range"]) for layer in layers(chart, "shape")}
        assert len(set(shape.split(", "))) == len(shape.split(", "))
        assert layers(chart, "strokeDash")
    for layer in layers(cosines, "strokeDash"):
        dashes = [tuple(dash) for dash in layer["encoding"]["strokeDash"]["scale"]["range"]]
        assert len(set(dashes)) == len(dashes) == 2


def layers(chart, channel):
    """The layers of a chart, at whatever depth, that encode something by this channel."""
    below = [found for layer in chart.get("layer", []) for found in layers(layer, channel)]
    return [chart, *below] if channel in chart.get("encoding", {}) else below


def test_a_phone_has_one_column_of_a_wide_legend():
    spec = described(roomy(draw_emergence(shown())[0].chart, is_wide=True))
    assert spec["config"]["legend"]["columns"] == {"expr": "width < 540 ? 1 : 2"}
    assert described(roomy(draw_emergence(shown())[0].chart))["config"]["legend"]["columns"] == 1


def test_nothing_measured_draws_nothing():
    assert draw_emergence(series(total=3)) == ()
    assert csv_text(series_rows(series(total=3))) == ""


def test_a_table_of_pairs_with_ticks_and_no_markup_from_names():
    found = series(ABOVE_ALL, NO, total=3)
    named = replace(found.measured[1].member, name="<b>other</b>")
    plan = replace(found.plan, members=(found.plan.members[0], named, found.plan.members[2]), one_place=False)
    found = Series(plan=plan, measured=(found.measured[0], replace(found.measured[1], member=named), found.measured[2]))
    rows = zoo_table(found)
    assert [row["Pair"] for row in rows] == ["step 0", "<b>other</b>", "step 30"]
    assert rows[0]["Minus unsteered"].startswith("+2.50 [")
    assert rows[0]["Minus that control"].startswith("+2.50 [")
    assert rows[0]["Strongest readable control"].startswith("random 1, 0.50% [")
    assert (rows[0]["Effect"], rows[0]["Questions"], rows[2]["Effect"]) == ("✓", "40", "")
    page = zoo_html(found)
    assert "&lt;b&gt;other&lt;/b&gt;" in page
    assert "<b>other" not in page
    assert "2 of 3 pairs" in page
    assert "<script" not in page
