"""Numbers about how far methods agree, on hand-made values."""

import json
import math

import numpy as np
import pytest

from core import embedded
from core.attribution.cross_check import completeness_error, rank_correlation, rank_matrix, readout_share
from core.attribution.values import Gradients, GradientSpec, Interventions, InterventionSpec, TargetText
from core.embedded import FILE, recorded_agreement
from tests.stored_values import MODEL, direction

ROW = {"estimate": "a", "exact": "b", "median": 0.5, "low": 0.4, "high": 0.6}
REPORT = {
    "fingerprint": "f",
    "layer": 2,
    "coefficient": 4.0,
    "n_traces": 24,
    "n_positions": 64,
    "completeness_error": 0.1,
    "readout_share": 0.2,
    "correlations": [ROW],
}


def text(seq=4):
    return TargetText(
        model=MODEL, fingerprint="f", token_ids=tuple(range(seq)), text_start=1, keywords=("wait",), targets=(seq - 1,)
    )


def interventions(steered, *, steered_all):
    spec = InterventionSpec(text=text(len(steered)), direction=direction(), layer=1, coefficient=2.0)
    values = np.asarray(steered, np.float32)
    return Interventions(
        spec=spec, steered=values, ablated=values, steered_all=steered_all, ablated_all=0.0, target=0.0
    )


def gradients(along):
    along = np.asarray(along, np.float32)
    return Gradients(
        spec=GradientSpec(text=text(along.shape[1]), direction=direction()),
        along=along,
        times_activation=along,
        removal=along,
        direct=np.zeros((0, along.shape[1]), np.float32),
    )


def test_rank_correlation_is_spearmans_over_the_finite_places():
    a = np.array([1.0, 2.0, 3.0, np.nan, 5.0])
    assert rank_correlation(a, a**3) == pytest.approx(1.0)
    assert rank_correlation(a, -a) == pytest.approx(-1.0)
    assert rank_correlation(a, np.array([2.0, 1.0, 3.0, 9.0, 4.0])) == pytest.approx(1 - 6 * 2 / (4 * 15))
    assert math.isnan(rank_correlation(a, np.ones(5)))
    assert math.isnan(rank_correlation(a[:2], a[:2]))


def test_the_matrix_holds_every_pair():
    rows = {"x": np.arange(5.0), "y": -np.arange(5.0), "z": np.array([0.0, 2.0, 1.0, 3.0, 4.0])}
    found = rank_matrix(rows)
    assert found[0, 1] == found[1, 0] == pytest.approx(-1)
    assert found[0, 2] == pytest.approx(rank_correlation(rows["x"], rows["z"]))
    assert np.array_equal(np.diag(found), np.ones(3))


def test_completeness_compares_the_sum_with_all_at_once():
    assert completeness_error(interventions([1, 2, np.nan, 1], steered_all=4.0)) == pytest.approx(0)
    assert completeness_error(interventions([1, 2, np.nan, 1], steered_all=-2.0)) == pytest.approx(3)
    assert math.isnan(completeness_error(interventions([1, 2, 3, 4], steered_all=0.0)))


def test_the_readout_share_is_the_last_layers_sum_over_this_layers():
    found = gradients([[1, 1, 1, 1], [0, 0, 0, 3]])
    assert readout_share(found, 0) == pytest.approx(0.75)
    assert readout_share(found, 1) == pytest.approx(1)
    assert math.isnan(readout_share(gradients([[0, 0, 0, 0], [0, 0, 0, 1]]), 0))


def test_the_report_is_read_whole_or_not_at_all(tmp_path, monkeypatch):
    monkeypatch.setattr(embedded, "DEMO", tmp_path)
    assert recorded_agreement() is None
    for bad in ("[]", "{", json.dumps({**REPORT, "correlations": [{}]}), json.dumps({**REPORT, "more": 1})):
        (tmp_path / FILE).write_text(bad)
        assert recorded_agreement() is None
    (tmp_path / FILE).write_text(json.dumps(REPORT))
    found = recorded_agreement()
    assert found is not None
    assert (found.n_traces, found.correlations[0].median) == (24, 0.5)
