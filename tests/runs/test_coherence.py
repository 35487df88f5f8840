"""One rule of readable text: what each allowance says is written out, and each place that asks gives its answer."""

import itertools
import math

import pytest

from core.runs import coherence
from core.runs.coherence import CHOSEN, CURVE_POINT, ONE_TEXT, REPORTED, Measured, is_readable

NLLS = (0.0, 0.2, 0.62, 0.63, 0.7, 0.71, math.nan)
REPETITIONS = (0.0, 0.01, 0.02, 0.021, 0.085, 0.09, 0.1, 0.11, 0.4)
BASELINES = [(0.2, 0.0), (0.2, 0.05), (math.nan, 0.2)]


def written_out(text, baseline, *, share, always, silent):
    """The rule of one place as an inequality."""
    nll, repetition = baseline
    unlikely = not math.isnan(text.nll) and not text.nll <= nll + share * 0.5
    return not silent and not unlikely and text.repetition <= max(share * 2 * repetition, always)


@pytest.mark.parametrize(
    ("allowed", "n", "share", "always", "most_silent"),
    [(ONE_TEXT, 1, 1, 0.1, 0), (CURVE_POINT, 40, 1, 0.02, 20), (REPORTED, 30, 1, 0, 3), (CHOSEN, 104, 0.85, 0, 10)],
)
def test_each_allowance_is_the_rule_of_its_place(allowed, n, share, always, most_silent):
    for nll, repetition, silent, baseline in itertools.product(NLLS, REPETITIONS, (0, 1, 3, 4, 10, 20, 21), BASELINES):
        if silent > n:
            continue
        text = Measured(nll=nll, repetition=repetition, no_evidence=silent, n_texts=n)
        unsteered = Measured(nll=baseline[0], repetition=baseline[1], no_evidence=0, n_texts=n)
        expected = written_out(text, baseline, share=share, always=always, silent=silent > most_silent)
        assert is_readable(text, unsteered, allowed) is expected
        assert is_readable(text, None, allowed) is (silent <= most_silent)


@pytest.mark.parametrize("ask", ["strip", "chart", "study"])
def test_every_place_asks_this_rule(ask, monkeypatch):
    from core.runs import dose_response, dose_strip
    from demo import steering_study
    from tests import stored_values as sv
    from tests.ui.test_dose_chart import point
    from ui.home import dose_chart

    asked = []
    for place in (dose_strip, dose_response, steering_study):
        assert place.is_readable is coherence.is_readable
        monkeypatch.setattr(place, "is_readable", lambda text, baseline, allowed: asked.append(allowed) or False)
    if ask == "strip":
        assert not dose_strip.read_strip([0.0], [sv.generation()])[0].coherent
    elif ask == "chart":
        dose_chart.point_rows([point("base", "reasoner", 0.0, 1)], resid_norms={})
    else:
        row = {"nll": [0.1], "repetition": 0.0, "no_evidence": 0, "prompts": 4}
        assert not steering_study.readable(row, row)
    assert asked == [{"strip": ONE_TEXT, "chart": CURVE_POINT, "study": REPORTED}[ask]]


def test_a_baseline_without_nll_lets_no_known_nll_pass():
    baseline = Measured(nll=math.nan, repetition=0.2, no_evidence=0, n_texts=1)
    for nll, readable in ((0.1, False), (9.0, False), (math.nan, True)):
        text = Measured(nll=nll, repetition=0.0, no_evidence=0, n_texts=1)
        assert is_readable(text, baseline, ONE_TEXT) is readable
