"""What the 2×2 says: coherence of doses and the verdict in words, whichever way it goes."""

from dataclasses import replace

import pytest

from core.runs.dose_response import DosePoint
from ui.home.dose_chart import READABLE, SOURCES, TARGETS, dose_charts, point_rows
from ui.home.verdict import verdict

NORMS = {(source, target): 16.0 for source in ("base", "reasoner") for target in ("base", "reasoner")}


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
    rows = point_rows(
        [point("base", "reasoner", 0.0, 1), point("base", "reasoner", 8.0, 4, **fields)], resid_norms=NORMS
    )
    assert (rows.iloc[1]["readable"] == READABLE) is coherent
    assert rows.iloc[1]["share"] == 0.5
    assert rows.iloc[1]["fraction"] == pytest.approx(0.02)
    assert rows.iloc[1]["low"] < 0.02 < rows.iloc[1]["high"]


def said(**fields):
    return verdict(square(**fields))


def test_the_verdict_follows_the_numbers():
    base_derived, reasoning_derived, base = said()
    for sentence in (base_derived, reasoning_derived):
        assert "raises backtracking" in sentence
        assert "from 0.50% [" in sentence
        assert "to 2.00% [" in sentence
        assert "4.0 times as much" in sentence
        assert "+1.50 points [" in sentence
        assert "40 questions, p < 0.001" in sentence
    assert "does not follow" in base
    assert "as the paper found" in base
    assert "cannot be told from chance" in said(dosed=1)[0]
    assert "unlike the paper" in said(base=3)[2]
    assert "nothing can be said yet" in said(nll=3.0)[0]
    assert "no evidence" in said(nll=3.0)[2]


def test_without_a_rise_of_the_reasoner_the_base_has_nothing_to_be_compared_with():
    assert "none to compare with" in said(dosed=1)[2]


def test_one_word_of_the_base_model_turns_no_sentence():
    """Of old one word in 720 made it "unlike the paper's", its own unsteered row included."""
    for at in (0.0, 8.0):
        points = [
            replace(one, hits=(1, *one.hits[1:])) if one.target == "base" and one.coefficient == at else one
            for one in square()
        ]
        assert "as the paper found" in verdict(points)[2]


def test_zero_hits_of_few_words_are_not_no_effect():
    """Three words a question: what the base model may do unseen is more than what the reasoner does."""
    points = [replace(one, words=(3,) * 40) if one.target == "base" else one for one in square()]
    assert "too few questions" in verdict(points)[2]


def test_few_questions_are_too_little_text_to_say():
    few = [
        replace(one, hits=one.hits[:5], words=one.words[:5], repetition=one.repetition[:5], nll=one.nll[:5])
        for one in square()
    ]
    for sentence in verdict(few):
        assert "too little text to say" in sentence


def test_the_test_is_corrected_for_the_doses_that_were_tried():
    doses = [point("base", "reasoner", 0.0, 0), *(point("base", "reasoner", float(k), 1) for k in range(1, 9))]
    assert "p = 0.004 corrected for 8 readable doses" in verdict(doses)[0]
    alone = [point("base", "reasoner", 0.0, 0), point("base", "reasoner", 8.0, 0)]
    weak = [replace(alone[1], coefficient=float(k), hits=(1,) * 6 + (0,) * 34) for k in range(1, 4)]
    assert "raises" in verdict([alone[0], weak[0]])[0]
    assert "cannot be told from chance" in verdict([alone[0], *weak])[0]


def test_both_panels_share_one_scale():
    panels = [chart.to_dict() for chart in dose_charts(point_rows(square(), resid_norms=NORMS))]
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
    assert (point_rows(points, resid_norms=NORMS).iloc[1]["readable"] == READABLE) is coherent


@pytest.mark.parametrize(("no_evidence", "coherent"), [(20, True), (21, False)])
def test_a_dose_of_which_half_is_evidence_is_still_coherent(no_evidence, coherent):
    points = [point("base", "reasoner", 0.0, 1), point("base", "reasoner", 8.0, 4, no_evidence=no_evidence)]
    assert (point_rows(points, resid_norms=NORMS).iloc[1]["readable"] == READABLE) is coherent


def test_a_share_is_of_the_steered_models_own_norm():
    norms = {("base", "reasoner"): 16.0, ("base", "base"): 32.0, ("reasoner", "reasoner"): 64.0}
    rows = point_rows(square(), resid_norms=norms)
    dosed = rows[(rows["coefficient"] == 8) & (rows["source"] == SOURCES["base"])]
    assert set(dosed[dosed["target"] == TARGETS["reasoner"]]["share"]) == {0.5}
    assert set(dosed[dosed["target"] == TARGETS["base"]]["share"]) == {0.25}
    assert rows[(rows["source"] == SOURCES["reasoner"]) & (rows["target"] == TARGETS["base"])]["share"].isna().all()
