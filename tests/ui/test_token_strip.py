"""What the token strip and the lanes send to the browser, and who owns the pinned token."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from ui.components.colours import LABEL_COLOURS
from ui.components.lanes import Lane, lane_data
from ui.components.theme import chart_theme
from ui.components.token_strip import CLIP, Strip, clip_pieces, read_assets, strip_data

PIECES = ("<think>", "\n", " Wait", ",", " no")


def test_values_travel_as_three_digits_and_gaps_as_null() -> None:
    values = np.array([0.123456, -2.0, math.nan, math.inf, 0.0])
    data = strip_data(Strip(pieces=PIECES, values=values))
    assert data["values"] == [0.123, -2.0, None, None, 0.0]
    assert "NaN" not in json.dumps(data)


def test_parts_refer_to_labels_in_their_order() -> None:
    strip = Strip(pieces=PIECES, parts=((2, 4, "backtracking"), (0, 2, "initializing"), (4, 5, "my own")))
    data = strip_data(strip)
    assert data["labels"] == [["initializing", "initializing"], ["backtracking", "backtracking"], ["my own", "other-1"]]
    assert data["parts"] == [[2, 4, 1], [0, 2, 0], [4, 5, 2]]


def test_long_tokens_are_cut_and_their_length_told() -> None:
    pieces, lengths = clip_pieces(("a", "b" * 10_000, "c" * CLIP))
    assert [len(piece) for piece in pieces] == [1, CLIP, CLIP]
    assert lengths == {"1": 10_000}


def test_hostile_pieces_survive_json() -> None:
    pieces = ("\x00", "\ud800", "\u202e", "</script>", "\u2028")
    assert tuple(json.loads(json.dumps(lane_data(Lane(title="t", pieces=pieces))["pieces"]))) == pieces


def test_fifteen_hundred_tokens_stay_small() -> None:
    strip = Strip(pieces=(" token",) * 1500, values=np.linspace(-1, 1, 1500), events=tuple(range(0, 1500, 50)))
    assert len(json.dumps(strip_data(strip))) < 40_000


@pytest.mark.parametrize(
    "wrong",
    [
        {"values": [0.0]},
        {"value_range": (1.0, 2.0)},
        {"value_range": (0.0, 0.0)},
        {"events": (5,)},
        {"window": frozenset({-1})},
        {"parts": ((3, 3, "deduction"),)},
        {"text_start": 6},
    ],
)
def test_a_strip_that_does_not_fit_its_tokens_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(AssertionError):
        Strip(pieces=PIECES, **wrong)  # type: ignore[arg-type]


def test_every_label_has_a_colour_and_a_line_style() -> None:
    css, _ = read_assets("token_strip")
    for label, colour in LABEL_COLOURS.items():
        assert f"--label-{label}: {colour};" in css
        assert f'[data-part="{label}"]' in css


@pytest.mark.parametrize("name", ["token_strip", "lanes"])
def test_the_browser_side_never_makes_html_of_text(name: str) -> None:
    css, js = read_assets(name)
    for danger in (
        "innerHTML",
        "outerHTML",
        "insertAdjacent",
        "document.write",
        "eval(",
        "Function(",
        "http:",
        "https:",
    ):
        assert danger not in js
    assert "url(" not in css
    assert "@import" not in css


def test_chart_theme_fixes_text_colours_only_off_screen() -> None:
    assert "labelColor" not in chart_theme()["config"]["axis"]
    assert chart_theme("dark")["config"]["axis"]["labelColor"] != chart_theme("light")["config"]["axis"]["labelColor"]


def pin_app() -> None:
    import streamlit as st

    from ui.components.lanes import Lane, lanes, select_lane_token
    from ui.components.token_strip import Strip, select_token, selected_token, token_strip

    pieces = tuple(f" {word}" for word in st.session_state.get("words", "a b c d").split())
    if "jump" in st.session_state:
        select_token("strip", st.session_state.pop("jump"))
    if "lane_jump" in st.session_state:
        select_lane_token("lanes", st.session_state.pop("lane_jump"))
    before = selected_token("strip")
    st.session_state["seen"] = (before, token_strip(Strip(pieces=pieces), key="strip"))
    st.session_state["at"] = lanes([Lane(title="one", pieces=pieces)], key="lanes")


def run(app: AppTest, **state: object) -> AppTest:
    for name, value in state.items():
        app.session_state[name] = value
    app.run()
    assert not app.exception
    return app


def test_python_pins_and_a_new_text_lets_go() -> None:
    app = run(AppTest.from_function(pin_app))
    assert app.session_state["seen"] == (None, None)
    run(app, jump=2)
    assert app.session_state["seen"] == (2, 2)
    run(app)
    assert app.session_state["seen"] == (2, 2)
    run(app, words="e f g h")
    assert app.session_state["seen"][1] is None
    run(app, words="i j k l m", jump=4)
    assert app.session_state["seen"] == (4, 4)


def test_a_pin_outside_the_text_counts_as_none() -> None:
    app = run(AppTest.from_function(pin_app), jump=99, lane_jump=(0, 99))
    assert app.session_state["seen"][1] is None
    assert app.session_state["at"] is None
    run(app, lane_jump=(0, 3))
    assert app.session_state["at"] == (0, 3)
    run(app, lane_jump=(1, 0))
    assert app.session_state["at"] is None
