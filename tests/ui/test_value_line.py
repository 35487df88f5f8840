"""The line over a text: what is drawn of a long one, and which token a click takes."""

import json

import altair as alt
import numpy as np
import pandas as pd
import pytest
import streamlit as st

from ui.attribution.pinned import direct_chart, profile_chart
from ui.components.fixed_chart import _spec, fixed_chart
from ui.components.value_line import POINTS, ValueLine, extremes, line_chart, line_rows, with_bands


def line_of(values, **marks):
    n = len(values)
    return ValueLine(
        values=np.asarray(values, np.float32), pieces=("a",) * n, labels=("",) * n, title="Projection", **marks
    )


def test_a_short_text_is_drawn_whole_from_its_first_token():
    rows = line_rows(line_of(range(20), first=5, events=(7,), pinned=9))
    assert rows["token"].tolist() == list(range(5, 20))
    assert rows["value"].tolist() == list(range(5, 20))
    assert rows["token"][rows["event"]].tolist() == [7]
    assert rows["token"][rows["pinned"]].tolist() == [9]
    assert extremes(rows) is rows


def test_of_a_long_text_the_extremes_of_every_stretch_and_all_marks_remain():
    values = np.random.default_rng(0).standard_normal(6000)
    values[40] = np.nan
    rows = line_rows(line_of(values, events=(17, 4711), pinned=123))
    shown = extremes(rows)
    assert len(shown) <= 2 * POINTS + 6
    assert {0, 17, 123, 4711, 5999} <= set(shown["token"])
    assert shown["token"].is_monotonic_increasing
    assert shown["token"].is_unique
    for start in range(0, 6000, 6000 // POINTS):
        stretch, kept = (f["value"][f["token"].between(start, start + 6000 // POINTS - 1)] for f in (rows, shown))
        assert (kept.min(), kept.max()) == (stretch.min(), stretch.max())


def test_a_reading_that_exists_at_few_positions_keeps_its_gaps():
    values = np.full(3000, np.nan)
    values[2700:2900] = np.arange(200)
    shown = extremes(line_rows(line_of(values, pinned=5)))
    assert len(shown) <= 3 * POINTS
    assert {5, 2700, 2899} <= set(shown["token"])
    assert shown["value"][shown["token"] < 2700].isna().all()
    assert shown["value"].max() == 199


def test_the_band_of_a_token_holds_what_is_nearest_to_it():
    rows = with_bands(pd.DataFrame({"token": [3, 4, 10]}))
    assert rows["left"].tolist() == [3.0, 3.5, 7.0]
    assert rows["right"].tolist() == [3.5, 7.0, 10.0]


FRAMES = {
    line_chart: with_bands(line_rows(line_of(range(8), events=(2,), pinned=3))),
    profile_chart: pd.DataFrame({"layer": [0, 1], "value": [0.5, -0.5], "shown": [False, True]}),
    direct_chart: pd.DataFrame({"layer": ["in", "0"], "part": ["embedding", "MLP"], "value": [1.0, 2.0]}),
}


@pytest.mark.parametrize("form", FRAMES)
def test_the_form_of_a_chart_is_the_same_whatever_its_data(form):
    """The browser draws a chart anew when its form changes; data alone move its marks."""
    whole = form(FRAMES[form]).to_dict()
    assert whole.pop("datasets")
    assert whole.pop("data")
    assert whole.pop("config")
    assert json.loads(_spec(form)) == whole


@pytest.mark.parametrize("colour", ["#111111", "#eeeeee"])
def test_a_chart_takes_the_theme_of_the_session_that_draws_it(colour, monkeypatch):
    """One session may be light and the next dark, on the same server."""
    drawn = {}
    monkeypatch.setattr(st, "vega_lite_chart", lambda rows, spec, **options: drawn.update(spec))
    theme = {"config": {"axis": {"labelColor": colour}}}
    alt.theme.register("of a session", enable=False)(lambda: theme)
    with alt.theme.enable("of a session"):
        fixed_chart(line_chart, FRAMES[line_chart])
    assert drawn["config"] == theme["config"]
