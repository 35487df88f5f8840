"""The sentence above the lanes: counts with their tokens, the control's too, and that one text proves nothing."""

from __future__ import annotations

import pytest

from core.directions.direction import Direction
from core.extraction.controls import random_controls
from core.forward.edits import SteeringSpec
from core.runs.values import Generation, GenerationSpec
from core.values import ModelSpec, Prompt, SamplingSpec
from tests.ui.test_home_columns import FILL
from ui.playground.experiment import anecdote
from ui.playground.plan import DEFAULT_LANES

DIRECTION = Direction.from_raw([1.0, 2.0, 0.5, -1.0], name="mine", layer=1)
KINDS = {
    "unsteered": (),
    "steered": (SteeringSpec(direction=DIRECTION, layer=1, coefficient=4.0),),
    "random control": (SteeringSpec(direction=random_controls(DIRECTION, 1)[0], layer=1, coefficient=4.0),),
}


def lane(kind: str, n: int | None, *, stop: str = "eos", fingerprint: str = "f") -> Generation:
    """A text with n keywords; None for one that repeats itself."""
    spec = GenerationSpec(
        model=ModelSpec(repo_id="a"),
        fingerprint=fingerprint,
        prompt=Prompt(question="q", text="q", token_ids=(1,)),
        sampling=SamplingSpec(max_new_tokens=9),
        steering=KINDS[kind],
    )
    text = "wait and see " * 40 if n is None else FILL + "Wait, no. " * n
    return Generation(spec=spec, token_ids=(1, 2, 3), pieces=(text, "", ""), stop_reason=stop)


def said(*lanes: Generation) -> str:
    return anecdote(lanes, [one.spec for one in lanes]).replace("\\", "")


def test_every_lane_is_counted_with_its_tokens_and_one_text_proves_nothing():
    text = said(lane("unsteered", 0), lane("steered", 3), lane("random control", 1))
    assert text.startswith("**wait / hmm**: unsteered **0** in 3 tokens, steered **3** in 3, ")
    assert "random control **1** in 3." in text
    assert text.endswith("One text proves nothing.")
    assert "as many" not in text
    assert "No control" not in text


@pytest.mark.parametrize(
    ("counts", "told"),
    [
        ((0, 2, 2), "**The random direction has as many or more.**"),
        ((0, 2, 5), "**The random direction has as many or more.**"),
        ((2, 2, 0), "**The unsteered text has as many or more.**"),
        ((3, 2, 2), "**The random direction and the unsteered text have as many or more.**"),
        ((0, 2, 1), ""),
        ((0, 0, 0), ""),
        ((1, 0, 3), ""),
    ],
)
def test_what_does_as_much_as_the_direction_is_said_first(counts, told):
    text = said(*(lane(kind, n) for kind, n in zip(KINDS, counts, strict=True)))
    assert told in text
    assert bool(told) == ("as many" in text)


def test_no_word_claims_an_effect_whatever_the_counts_are():
    for counts in ((0, 9, 0), (5, 0, 0), (0, 0, 9)):
        text = said(*(lane(kind, n) for kind, n in zip(KINDS, counts, strict=True)))
        assert not {"raises", "causes", "makes", "effect", "more than"} & set(text.replace(".", "").split())


def test_without_a_control_and_for_a_broken_text_it_says_so():
    assert "No control stands beside it." in said(lane("unsteered", 0), lane("steered", 3))
    assert "No control" not in said(lane("unsteered", 0), lane("unsteered", 0))
    assert "steered **40** in 3 (no evidence)" in said(lane("unsteered", 0), lane("steered", None))
    assert "no evidence" not in said(lane("steered", None, stop="running"))


def test_of_two_models_each_is_named_and_held_against_its_own(monkeypatch):
    monkeypatch.setattr("ui.playground.experiment.title_of", lambda spec: f"Model {spec.fingerprint}")
    text = said(lane("unsteered", 5, fingerprint="base"), lane("steered", 3), lane("random control", 1))
    assert "Model base **5**" in text
    assert "as many" not in text


def test_what_is_not_written_yet_is_left_out():
    lanes = (None, lane("steered", 2), None)
    specs = [lane(kind, 0).spec for kind in KINDS]
    assert anecdote(lanes, specs).replace("\\", "").startswith("**wait / hmm**: steered **2** in 3 tokens.")
    assert "nothing is written yet" in anecdote((None, None), specs[:2])


def test_a_control_is_among_the_lanes_that_nobody_chose():
    assert DEFAULT_LANES == ["baseline", "steered", "control"]
