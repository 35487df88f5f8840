"""Arithmetic on directions, as equations on their raw vectors."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from core.directions.algebra import METHOD, minus, orthogonalised, plus, raw_vector, times
from core.directions.direction import Direction
from core.directions.folder import direction_bytes, read_direction_bytes
from core.errors import BadDirection, BadInput
from tests.stored_values import assert_same

SIZES = (2, 3, 32, 4096)


def pair(d_model: int = 32) -> tuple[Direction, Direction]:
    rng = np.random.default_rng(d_model)
    v, w = rng.standard_normal((2, d_model)).astype(np.float32)
    about = {"source_model": "base", "fingerprint": "f", "resid_norm": 4.0}
    return (
        Direction.from_raw(v * 3, name="v0", layer=2, provenance=(("window", "-13..-8"),), **about),
        Direction.from_raw(w * 0.2, name="w0", layer=3, **about),
    )


def close(direction: Direction, raw: np.ndarray) -> None:
    assert raw_vector(direction) == pytest.approx(raw, rel=1e-5, abs=1e-6 * float(np.linalg.norm(raw)))
    assert direction.norm == pytest.approx(float(np.linalg.norm(raw)), rel=1e-6)


@pytest.mark.parametrize("d_model", SIZES)
def test_the_arithmetic_is_that_of_the_raw_vectors(d_model):
    v, w = pair(d_model)
    a, b = raw_vector(v), raw_vector(w)
    close(plus(v, w), a + b)
    close(minus(v, w), a - b)
    close(plus(v, w, weight=0.5), a + b / 2)
    close(times(v, -2), -2 * a)


def test_by_hand():
    x = Direction.from_raw(np.array([3, 0], np.float32), name="x", layer=0)
    y = Direction.from_raw(np.array([0, 4], np.float32), name="y", layer=0)
    total = plus(x, y)
    assert total.norm == pytest.approx(5, abs=1e-12)
    assert total.vector == pytest.approx([0.6, 0.8])
    assert orthogonalised(total, x).norm == pytest.approx(4, rel=1e-6)
    assert orthogonalised(total, x).vector == pytest.approx([0, 1])


@pytest.mark.parametrize("d_model", [32, 4096])
def test_nothing_added_changes_nothing(d_model):
    v, w = pair(d_model)
    same = plus(v, w, weight=0)
    assert same.digest == v.digest
    assert same.norm == pytest.approx(v.norm, rel=1e-12)
    assert times(v, 1).digest == times(v, 7).digest == v.digest


@pytest.mark.parametrize("d_model", SIZES)
def test_what_was_added_can_be_taken_away(d_model):
    v, w = pair(d_model)
    close(minus(plus(v, w), w), raw_vector(v))
    assert plus(v, w).cosine(plus(w, v)) == pytest.approx(1, abs=1e-6)
    assert minus(v, w).cosine(minus(w, v)) == pytest.approx(-1, abs=1e-6)


@pytest.mark.parametrize("d_model", SIZES)
def test_what_is_orthogonalised_has_no_part_in_the_other(d_model):
    v, w = pair(d_model)
    left = orthogonalised(v, w)
    assert abs(left.cosine(w)) < 1e-6
    assert left.norm**2 + (v.norm * v.cosine(w)) ** 2 == pytest.approx(v.norm**2, rel=1e-5)
    again = orthogonalised(left, w)
    assert again.cosine(left) == pytest.approx(1, abs=1e-6)
    assert orthogonalised(v, times(w, -5)).cosine(left) == pytest.approx(1, abs=1e-6)


def test_a_multiple_scales_the_norm_and_a_negative_one_turns_round():
    v, _ = pair()
    assert times(v, -2).norm == pytest.approx(2 * v.norm, rel=1e-12)
    assert np.array_equal(times(v, -2).vector, -v.vector)


def test_zero_results_are_refused_with_a_sentence():
    v, w = pair()
    rounded = dataclasses.replace(v, vector=(v.vector * np.float32(1 + 1e-6)))
    for act in (
        lambda: minus(v, v),
        lambda: plus(v, times(v, -1)),
        lambda: minus(v, rounded),
        lambda: orthogonalised(v, v),
        lambda: orthogonalised(v, times(v, -3)),
        lambda: minus(plus(v, v), times(v, 2)),
    ):
        with pytest.raises(BadDirection, match="zero"):
            act()
    with pytest.raises(BadInput, match="zero vector"):
        times(v, 0)
    with pytest.raises(BadDirection, match="outside"):
        times(w, 1e-7)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf"), 1e9])
def test_a_number_that_is_none_is_refused(number):
    v, w = pair()
    with pytest.raises(BadInput, match="factor"):
        times(v, number)
    with pytest.raises(BadInput, match="weight"):
        plus(v, w, weight=number)


def test_directions_of_other_widths_are_refused():
    (v, _), (w, _) = pair(32), pair(3)
    for act in (plus, minus, orthogonalised):
        with pytest.raises(BadDirection, match=r"32 dimensions .* has 3"):
            act(v, w)


def test_the_expression_and_the_operands_are_on_record():
    v, w = pair()
    notes = dict(plus(v, w, weight=-0.5).provenance)
    assert notes["method"] == METHOD
    assert notes["expression"] == "v − 0.5 · w"
    assert notes["v"].startswith("v0 (layer 2 of base, norm ")
    assert w.digest in notes["w"]
    assert notes["v: window"] == "-13..-8"
    assert dict(minus(v, w).provenance)["expression"] == "v − w"
    assert dict(times(v, 2).provenance)["expression"] == "2 · v"
    assert dict(orthogonalised(v, w).provenance)["expression"] == "v without w"
    assert plus(v, w, weight=-0.5).name == "v0 − 0.5 · w0"


def test_a_result_belongs_to_the_operands_model_only_where_they_agree():
    v, w = pair()
    assert (minus(v, w).source_model, minus(v, w).fingerprint, minus(v, w).layer) == ("base", "f", 2)
    other = minus(v, dataclasses.replace(w, source_model="reasoner", fingerprint="g"))
    assert (other.source_model, other.fingerprint) == ("", "")
    assert times(v, 2).source_model == "base"
    assert minus(v, w).resid_norm == 4.0


def test_results_of_results_survive_an_export():
    v, w = pair()
    for _ in range(6):
        v, w = plus(v, w, weight=0.5), orthogonalised(w, v)
    assert_same(read_direction_bytes(direction_bytes(v), name="x"), v)
    assert dict(v.provenance)["expression"] == "v + 0.5 · w"


def test_names_with_braces_are_only_names_and_long_ones_are_cut():
    v, w = pair()
    named = minus(dataclasses.replace(v, name="{w}{0}" + "x" * 200), w).name
    assert named.startswith("{w}{0}x")
    assert len(named) < 120
