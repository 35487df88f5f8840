"""When the panel warns that read-out, or the target's own position, explains the result."""

from __future__ import annotations

import pytest
from streamlit.testing.v1 import AppTest


def panel_app(here: list[float], last: list[float]) -> None:
    from tests.attribution.test_cross_check import gradients
    from ui.attribution.agreement import _warn_of_readout

    _warn_of_readout(gradients([here, last]), 0)


def said(here: list[float], last: list[float]) -> tuple[list[str], list[str]]:
    """(warnings, captions) of the panel; the last position is the target."""
    app = AppTest.from_function(panel_app, kwargs={"here": here, "last": last}).run()
    assert not app.exception
    return [block.value.split("**")[1] for block in app.warning], [block.value for block in app.caption]


@pytest.mark.parametrize("readout", [1.99, 2.0])
def test_up_to_half_the_effect_by_read_out_is_no_warning(readout):
    warnings, (caption,) = said([1, 1, 1, 1], [0, 0, 0, readout])
    assert warnings == []
    assert f"Read-out alone explains {readout / 4:.0%}" in caption
    assert "25% of the effect sits at the target" in caption


def test_more_than_half_by_read_out_is_a_warning():
    assert said([1, 1, 1, 1], [0, 0, 0, 2.01]) == (["Read-out explains this result."], [])


@pytest.mark.parametrize("target", [2.97, 3.0])
def test_up_to_half_at_the_target_is_no_warning(target):
    warnings, (caption,) = said([1, -1, 1, target], [0, 0, 0, 0])
    assert warnings == []
    assert f"{target / (3 + target):.0%} of the effect sits at the target" in caption


def test_more_than_half_at_the_target_is_a_warning_unless_read_out_explains_more():
    own, readout = "The target's own position explains this result.", "Read-out explains this result."
    assert said([1, -1, 1, 3.03], [0, 0, 0, 0]) == ([own], [])
    assert said([1, -1, 1, 3.03], [0, 0, 0, 4]) == ([readout], [])
