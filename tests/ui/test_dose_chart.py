"""What the 2×2 says: coherence of doses and the verdict in words, whichever way it goes."""

import pytest

from core.runs.dose_response import DosePoint
from ui.home.dose_chart import COHERENT, dose_charts, point_rows
from ui.home.verdict import verdict


def point(source, target, coefficient, hits, *, nll=0.2, repetition=0.05, no_evidence=0):
    n = 40
    return DosePoint(
        source=source,
        target=target,
        coefficient=coefficient,
        hits=tuple(hits if i % 2 else 0 for i in range(n)),
        words=(100,) * n,
        repetition=(repetition,) * n,
        nll=(nll,) * n,
        no_evidence=no_evidence,
    )


def square(*, dosed=4, base=0, nll=0.4):
    return [
        point(source, target, coefficient, hits, nll=0.2 if coefficient == 0 else nll)
        for source in ("base", "reasoner")
        for target, hits_at_dose in (("reasoner", dosed), ("base", base))
        for coefficient, hits in ((0.0, 1 if target == "reasoner" else 0), (8.0, hits_at_dose))
    ]


@pytest.mark.parametrize(
    ("fields", "coherent"),
    [({}, True), ({"nll": 0.71}, False), ({"repetition": 0.2}, False), ({"no_evidence": 21}, False)],
)
def test_a_dose_is_coherent_while_likely_fresh_and_evidence(fields, coherent):
    rows = point_rows([point("base", "reasoner", 0.0, 1), point("base", "reasoner", 8.0, 4, **fields)], resid_norm=16)
    assert (rows.iloc[1]["coherent"] == COHERENT) is coherent
    assert rows.iloc[1]["share"] == 0.5
    assert rows.iloc[1]["fraction"] == pytest.approx(0.02)
    assert rows.iloc[1]["low"] < 0.02 < rows.iloc[1]["high"]


def test_the_verdict_follows_the_numbers():
    def said(**fields):
        return " ".join(verdict(point_rows(square(**fields), resid_norm=0)))

    holds = said()
    assert "raises backtracking" in holds
    assert "4.0 times as much" in holds
    assert "as the paper found" in holds
    assert "does not clearly raise backtracking" in said(dosed=1)
    assert "unlike the paper" in said(base=3)
    assert "nothing can be said yet" in said(nll=3.0)


def test_both_panels_share_one_scale():
    panels = [chart.to_dict() for chart in dose_charts(point_rows(square(), resid_norm=16))]
    domains = [panel["layer"][1]["encoding"]["y"]["scale"]["domain"] for panel in panels]
    assert len(panels) == 2
    assert domains[0] == domains[1]
    assert domains[0][1] > 0.02


@pytest.mark.parametrize(("repetition", "coherent"), [(0.0199, True), (0.0201, False)])
def test_two_percent_of_repetition_are_allowed_where_the_baseline_has_none(repetition, coherent):
    points = [
        point("base", "reasoner", 0.0, 1, repetition=0.0),
        point("base", "reasoner", 8.0, 4, repetition=repetition),
    ]
    assert (point_rows(points, resid_norm=16).iloc[1]["coherent"] == COHERENT) is coherent


@pytest.mark.parametrize(("no_evidence", "coherent"), [(20, True), (21, False)])
def test_a_dose_of_which_half_is_evidence_is_still_coherent(no_evidence, coherent):
    points = [point("base", "reasoner", 0.0, 1), point("base", "reasoner", 8.0, 4, no_evidence=no_evidence)]
    assert (point_rows(points, resid_norm=16).iloc[1]["coherent"] == COHERENT) is coherent
