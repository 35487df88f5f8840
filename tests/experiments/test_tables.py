"""The directions of an experiment are those of the extraction, label by label, and its controls what they say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from core.experiments.arms import Directions
from core.experiments.values import ControlPlan
from core.extraction.contrast import contrast, mean_activation
from core.extraction.controls import CONTROL
from core.extraction.moments import SHUFFLED, Moments
from core.extraction.passes import record_moments
from core.extraction.tables import POSITION, TableSpec, table_of
from core.values import Window
from tests.extraction.test_passes import make_traces
from tests.tiny_models import tiny_loaded

WINDOWS = (Window(start=-4, stop=-1), Window(start=-2, stop=1))


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """(spec, moments, table) of a tiny model over labelled traces."""
    loaded = tiny_loaded(tmp_path_factory.mktemp("model"))
    traces = make_traces(6)
    spec = TableSpec(
        model=loaded.spec,
        fingerprint=loaded.fingerprint,
        traces_digest="d",
        label="backtracking",
        labels=tuple(sorted({part.label for trace in traces for part in trace.parts})),
        windows=WINDOWS,
        layers=(0, 2),
        negatives="all",
        weighting="trace",
    )
    moments = [item for item in record_moments(loaded, traces, spec.moments()) if isinstance(item, Moments)][-1]
    return spec, moments, table_of(moments, spec)


def test_every_row_is_eq_3_of_its_label(found):
    spec, moments, table = found
    assert table.rows == ("backtracking", *table.others, SHUFFLED + "backtracking", POSITION)
    for row in table.rows:
        label, negatives = ("backtracking", "position") if row == POSITION else (row, "all")
        wanted = contrast(moments, label, windows=WINDOWS, layers=(0, 2), negatives=negatives)
        for layer in spec.layers:
            for window in WINDOWS:
                if table.has(row, layer, window):
                    direction, one = table.at(row, layer, window), wanted.at(layer, window)
                    assert direction.digest == one.digest
                    assert direction.norm == one.norm
                    assert direction.resid_norm == one.resid_norm


def test_controls_are_what_their_names_say(found):
    _, moments, table = found
    directions = Directions({"base": table}, {})
    tested = directions.arm("base", "reasoner", 2, WINDOWS[0]).direction
    arms, _ = directions.controls(ControlPlan(random=2, matched=0, curves=0), 2, WINDOWS[0])
    by_kind = {arm.kind: arm for arm in arms}
    mean = mean_activation(moments, 2)
    np.testing.assert_allclose(by_kind["mean"].direction.vector, mean / np.linalg.norm(mean), atol=1e-6)
    np.testing.assert_array_equal(by_kind["flip"].direction.vector, -tested.vector)
    assert by_kind["self"].operator == "amplify"
    assert by_kind["self"].direction == tested
    others = [table.at(label, 2, WINDOWS[0]) for label in table.others if table.has(label, 2, WINDOWS[0])]
    nearest = max(others, key=lambda other: abs(tested.cosine(other)))
    assert by_kind["without"].direction.cosine(nearest) == pytest.approx(0, abs=1e-5)
    assert dict(by_kind["without"].direction.provenance)[CONTROL] == by_kind["without"].name
    assert {arm.direction.norm for arm in arms if arm.kind != "without"} == {tested.norm}
    assert {(arm.layer, arm.window, arm.target) for arm in arms} == {(2, WINDOWS[0], "reasoner")}


def test_shuffled_events_follow_the_seed(found):
    spec, _, _ = found
    assert spec.moments().shuffled == "backtracking"
    assert replace(spec, seed=3).moments() != spec.moments()
