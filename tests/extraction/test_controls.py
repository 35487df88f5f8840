"""Equations of the controls of a direction."""

import numpy as np
import pytest

from core.directions.direction import Direction
from core.errors import BadDirection, BadInput
from core.extraction.contrast import contrast, mean_activation
from core.extraction.controls import (
    control_set,
    is_control_of,
    label_controls,
    matched,
    nearest_projected_out,
    orthogonalised,
    overall_mean,
    random_controls,
    shuffled_events,
    sign_flip,
)
from core.extraction.moments import SHUFFLED, MomentsSpec, single_offsets
from core.extraction.passes import record_moments
from core.traces.events import digest_of
from core.values import PAPER_WINDOW
from tests.extraction.test_passes import make_traces
from tests.tiny_models import tiny_loaded


@pytest.fixture(scope="module")
def moments(tmp_path_factory):
    loaded, traces = tiny_loaded(tmp_path_factory.mktemp("model")), make_traces(8)
    spec = MomentsSpec(
        model=loaded.spec,
        fingerprint=loaded.fingerprint,
        traces_digest=digest_of(traces),
        labels=("backtracking", "deduction", "initializing"),
        windows=(PAPER_WINDOW, *single_offsets(-3, 1)),
        layers=(0, 1, 2),
        shuffled="backtracking",
    )
    return list(record_moments(loaded, traces, spec))[-1]


@pytest.fixture(scope="module")
def found(moments):
    return contrast(moments, "backtracking")


@pytest.fixture(scope="module")
def direction(found):
    return found.at(1, PAPER_WINDOW)


def test_random_controls_have_the_norm_and_are_the_same_for_the_same_seed(make_direction):
    direction = make_direction(4096, norm=3.5)
    controls = random_controls(direction, 4, seed=7)
    assert controls == random_controls(direction, 6, seed=7)[:4]
    assert [control.norm for control in controls] == [direction.norm] * 4
    assert all(abs(control.cosine(direction)) < 0.08 for control in controls)
    assert abs(controls[0].cosine(controls[1])) < 0.08
    assert not set(controls) & set(random_controls(direction, 4, seed=8))
    with pytest.raises(BadInput):
        random_controls(direction, 0)


def test_the_sign_flip_is_the_opposite(direction):
    assert sign_flip(direction).cosine(direction) == pytest.approx(-1)
    assert np.array_equal(sign_flip(sign_flip(direction)).vector, direction.vector)


def test_orthogonalised_is_what_the_two_vectors_leave(make_direction):
    a, b = make_direction(64, seed=1, norm=5.0), make_direction(64, seed=2)
    rest = orthogonalised(a, b)
    assert rest.cosine(b) == pytest.approx(0, abs=1e-6)
    whole = rest.norm * rest.vector + a.norm * a.cosine(b) * b.vector
    assert np.allclose(whole, a.norm * a.vector, atol=1e-5)
    with pytest.raises(BadDirection, match="cancel"):
        orthogonalised(a, sign_flip(a))
    with pytest.raises(BadDirection):
        orthogonalised(a, make_direction(32))


def test_the_nearest_one_is_projected_out(make_direction):
    a, far = make_direction(64, seed=1), make_direction(64, seed=2)
    near = Direction.from_raw((-a.vector + 0.2 * far.vector).astype(np.float32), name="near", layer=0)
    assert nearest_projected_out(a, [far, near]) == orthogonalised(a, near)
    with pytest.raises(BadInput):
        nearest_projected_out(a, [])


def test_label_controls_are_the_directions_of_the_other_labels_that_have_events(moments):
    others = label_controls(moments, 1, PAPER_WINDOW, "backtracking")
    assert [dict(other.provenance)["label"] for other in others] == ["deduction", f"{SHUFFLED}backtracking"]
    assert others[0] == contrast(moments, "deduction").at(1, PAPER_WINDOW)


def test_the_overall_mean_points_along_the_mean_activation(moments, direction):
    control, mean = overall_mean(moments, direction), mean_activation(moments, 1)
    assert np.allclose(control.vector, mean / np.linalg.norm(mean), atol=1e-6)
    assert control.norm == direction.norm


def test_a_control_set_is_complete_and_says_what_it_is_a_control_of(moments, found, direction):
    controls = control_set(moments, found, direction, PAPER_WINDOW, k=2)
    kinds = [dict(control.provenance)["control"] for control in controls]
    assert kinds == [
        "random 1",
        "random 2",
        "overall mean",
        "sign flip",
        "deduction",
        f"{SHUFFLED}backtracking",
        "position matched",
        "without deduction",
    ]
    assert all(is_control_of(control, direction) for control in controls)
    assert all(direction.name in control.name for control in controls)
    assert {control.norm for control in controls[:-1]} == {direction.norm}
    assert {control.layer for control in controls} == {1}
    assert not is_control_of(direction, direction)
    placed = contrast(moments, "backtracking", windows=(PAPER_WINDOW,), layers=(1,), negatives="position")
    assert np.allclose(controls[-2].vector, placed.at(1, PAPER_WINDOW).vector, atol=1e-6)
    of_it = control_set(moments, placed, placed.at(1, PAPER_WINDOW), PAPER_WINDOW, k=1)
    assert "position matched" not in [dict(control.provenance)["control"] for control in of_it]


def test_a_matched_control_keeps_its_vector_and_takes_the_norm(direction, make_direction):
    other = make_direction(32, norm=9.0, layer=1)
    assert np.allclose(matched(other, direction).vector, other.vector, atol=1e-7)
    assert matched(other, direction).norm == direction.norm


def test_shuffled_events_are_as_many_and_elsewhere_and_the_same_for_the_same_seed():
    traces = make_traces(8)
    moved = shuffled_events(traces, 3)
    assert moved == shuffled_events(traces, 3)
    assert moved != shuffled_events(traces, 4)
    for before, after in zip(traces, moved, strict=True):
        assert after.text == before.text
        assert count(after, "backtracking") == count(before, "backtracking")
        assert of(after, "deduction") == of(before, "deduction")
        starts = {part.start for part in of(after, "backtracking")}
        assert len(starts) == count(before, "backtracking")
        assert all(start == 0 or before.text[start - 1].isspace() for start in starts)
    all_before = {(t.trace_id, p.start) for t in traces for p in of(t, "backtracking")}
    all_after = {(t.trace_id, p.start) for t in moved for p in of(t, "backtracking")}
    assert len(all_after - all_before) > len(all_after) / 2


def test_shuffled_events_in_the_pass_are_those_of_the_shuffled_traces(moments, tmp_path):
    loaded, traces = tiny_loaded(tmp_path), shuffled_events(make_traces(8), 0)
    spec = MomentsSpec(
        model=loaded.spec,
        fingerprint=loaded.fingerprint,
        traces_digest=digest_of(traces),
        labels=("backtracking",),
        windows=(PAPER_WINDOW,),
        layers=(1,),
    )
    alone = list(record_moments(loaded, traces, spec))[-1]
    row = moments.row(f"{SHUFFLED}backtracking")
    assert np.allclose(moments.sums[:, row, :, 1:2, :1], alone.sums[:, 0], atol=1e-5)
    assert np.array_equal(moments.counts[:, row, :, :1], alone.counts[:, 0])


def of(trace, label):
    return [part for part in trace.parts if part.label == label]


def count(trace, label):
    return len(of(trace, label))
