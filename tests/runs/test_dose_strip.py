"""The dose strip: which specs it consists of, what is coherent, and what is drawn."""

import math
from dataclasses import replace

import pytest

from core.forward.edits import SteeringSpec
from core.runs.dose_strip import UNIT_DOSES, coherent_band, read_strip, strip_specs
from tests import stored_values as sv
from ui.components.dose_strip import strip_data

TEXT = "So the answer is seven and the sum of both is twelve because we add them one by one."


def written(text, nll):
    return replace(sv.generation(), token_ids=(1,), pieces=(text,), nll=nll)


def test_a_dose_changes_the_first_edit_alone_and_zero_is_the_unsteered_run():
    first = SteeringSpec(direction=sv.direction(1), layer=2, coefficient=8.0)
    other = replace(first, direction=sv.direction(2), coefficient=3.0)
    spec = sv.generation_spec(steering=(first, other))
    low, zero, high = strip_specs(spec, (-4, 0, 16))
    assert low == replace(spec, steering=(replace(first, coefficient=-4.0), other))
    assert high.steering[0].coefficient == 16
    assert zero == replace(spec, steering=(other,))
    clamp = replace(first, operator="clamp")
    assert strip_specs(replace(spec, steering=(clamp,)), (0,))[0].steering[0].coefficient == 0


def test_the_default_row_is_that_of_the_replications_with_twelve_doses():
    assert (UNIT_DOSES[0], UNIT_DOSES[-1], len(UNIT_DOSES)) == (-12, 16, 12)
    assert 0 in UNIT_DOSES


@pytest.mark.parametrize(
    ("text", "nll", "coherent"),
    [
        (TEXT, 1.0, True),
        (TEXT, 1.5, True),
        (TEXT, 1.51, False),
        ("Wait wait wait wait wait wait wait wait wait wait wait wait", 1.0, False),
        ("", math.nan, False),
        ("One two three.", 1.0, False),
    ],
)
def test_coherent_means_evidence_a_likely_text_and_no_loop(text, nll, coherent):
    readings = read_strip((0.0, 4.0), (written(TEXT, 1.0), written(text, nll)))
    assert [reading.coherent for reading in readings] == [True, coherent]


def test_the_band_is_what_hangs_together_around_zero():
    texts = {-8: "", -4: TEXT, 0: TEXT, 4: TEXT, 8: "", 12: TEXT}
    readings = read_strip(list(texts), [written(text, 1.0) for text in texts.values()])
    assert coherent_band(readings) == (-4, 4)
    assert coherent_band([reading for reading in readings if reading.coefficient]) is None
    assert coherent_band(read_strip((0.0,), (written("", math.nan),))) is None


def test_a_strip_in_the_making_and_a_finished_one_as_data():
    doses = (-4.0, 0.0, 4.0)
    made = [written("", math.nan), written(TEXT, 1.0), written("Wait, " + TEXT, 1.2)]
    readings = read_strip(doses, made)
    whole = strip_data(doses, readings, [g.text for g in made], resid_norm=20, by_share=False)["doses"]
    assert [column["inBand"] for column in whole] == [False, True, True]
    assert [column["label"] for column in whole] == ["-4", "0", "+4"]
    assert whole[2]["other"] == "+20%"
    assert "empty" in whole[0]["note"]
    assert whole[2]["fraction"]["share"] == 0.62
    part = strip_data(doses, [None, readings[1], None], ["", TEXT, ""], resid_norm=20, by_share=True, finished=False)
    assert [column["state"] for column in part["doses"]] == ["waiting", "writing", "waiting"]
    assert part["doses"][2]["label"] == "+20%"


@pytest.mark.parametrize(("distinct", "again", "coherent"), [(9, 4, True), (17, 10, True), (17, 11, False)])
def test_what_good_text_repeats_may_repeat_where_the_baseline_repeats_nothing(distinct, again, coherent):
    words = [f"{chr(97 + i)}{chr(98 + i)}" for i in range(distinct)]
    text = " ".join(words + words[:again])
    readings = read_strip((0.0, 4.0), (written(TEXT, 1.0), written(text, 1.0)))
    n = distinct - 3 + again
    assert readings[0].repetition == 0
    assert readings[1].repetition == pytest.approx((again - 3) / n)
    assert readings[1].coherent is coherent
    assert [fault.split(":")[0] for fault in readings[1].faults] == ([] if coherent else ["repeats itself more"])
