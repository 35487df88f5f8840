"""The search for a dose: on curves of any steepness it ends near the target, in few tries, or says that it did not."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.dose_search import NARROW, TOLERANCE, TRIES, find_dose, together


def search(curve, start, target):
    """(dose, found, doses that were tried)."""
    work, tried = find_dose(start, target), []
    try:
        dose = next(work)
        while True:
            tried.append(dose)
            dose = work.send(curve(dose))
    except StopIteration as stop:
        return (*stop.value, tried)


@given(edge=st.floats(0.5, 500), power=st.floats(0.8, 4), ratio=st.floats(0.05, 20), target=st.floats(0.05, 2.0))
def test_it_ends_at_the_target(edge, power, ratio, target):
    dose, found, tried = search(lambda c: target * (c / edge) ** power, edge * ratio, target)
    assert len(tried) <= TRIES
    assert found
    cost = target * (dose / edge) ** power
    assert (
        abs(cost / target - 1) <= TOLERANCE + 1e-3
        or (dose / edge < NARROW and edge / dose < NARROW)
        or len(tried) == TRIES
    )
    assert 0.5 < dose / edge < 2


def test_a_text_that_says_nothing_is_beyond_the_target():
    dose, found, _ = search(lambda c: math.inf if c > 10 else 0.0, 100.0, 0.5)
    assert found
    assert 10 / NARROW**2 <= dose <= 10 * NARROW**2


@pytest.mark.parametrize(("curve", "side"), [(lambda c: 0.0, "above"), (lambda c: math.inf, "below")])
def test_a_curve_that_never_crosses_is_said_to_be_so(curve, side):
    dose, found, tried = search(curve, 4.0, 0.5)
    assert not found
    assert dose in tried
    assert (dose > 4.0) == (side == "above")


EDGES = (2.0, 9.0, 70.0)


def test_searches_in_turn_find_what_each_finds_alone():
    steps, tried, others, found = together([find_dose(10.0, 0.5) for _ in EDGES]), [], [], None
    try:
        i, asked = next(steps)
        while True:
            tried.append((i, asked[i]))
            others.append(len(asked))
            i, asked = steps.send(0.5 * (asked[i] / EDGES[i]) ** 2)
    except StopIteration as stop:
        found = stop.value
    alone = [search(lambda dose, edge=edge: 0.5 * (dose / edge) ** 2, 10.0, 0.5) for edge in EDGES]
    assert found == [(dose, is_found) for dose, is_found, _ in alone]
    for i, (_, _, doses) in enumerate(alone):
        assert [dose for j, dose in tried if j == i] == doses
    assert [j for j, _ in tried[:3]] == [0, 1, 2]
    assert others[:3] == [3, 3, 3]
    assert list(together([])) == []
