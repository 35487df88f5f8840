"""What Home's columns count and say of one question."""

from __future__ import annotations

import pytest

from core.runs.values import Generation, GenerationSpec
from core.values import ModelSpec, Prompt, SamplingSpec
from ui.home.columns import times, turns, verdict

FILL = "The sum of three and four is seven and so we go on with the next one of them here. "


def wrote(text: str) -> Generation:
    spec = GenerationSpec(
        model=ModelSpec(repo_id="a"),
        fingerprint="f",
        prompt=Prompt(question="q", text="q", token_ids=(1,)),
        sampling=SamplingSpec(max_new_tokens=9),
    )
    return Generation(spec=spec, token_ids=(1,), pieces=(text,), stop_reason="eos")


def lanes(*n: int) -> list[Generation]:
    return [wrote(FILL + "Wait, no. " * many) for many in n]


def test_turns_are_the_keywords_of_eq_1():
    assert [turns(one) for one in lanes(0, 1, 3)] == [0, 1, 3]
    assert turns(wrote("Hmm, wait: waiting is no wait.")) == 3
    assert [times(n) for n in (0, 1, 2, 7)] == ["never", "once", "twice", "7 times"]


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ((2, 0, 1), "turns back **twice** with the direction and **once** with a random one"),
        ((2, 0, 2), "**a random push does it too**"),
        ((1, 0, 2), "**a random push does it too**"),
        ((0, 0, 2), "turns back **never** with the direction and **twice** with a random one"),
    ],
)
def test_the_sentence_names_the_random_push_first_where_it_does_as_much(counts, said):
    assert said in verdict(lanes(*counts), has_push=True)


def test_a_broken_text_is_no_evidence_whatever_it_counts():
    broken = wrote("wait " * 60)
    assert "no evidence" in verdict([broken, *lanes(0, 0)], has_push=True)


def test_without_a_direction_both_models_are_told_unsteered():
    assert verdict(lanes(3, 0), has_push=False).startswith("Unsteered")
