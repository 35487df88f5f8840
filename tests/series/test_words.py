"""When a direction begins to act, in a sentence, on counts whose truth is written down."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.experiments.values import Outcome
from core.series.numbers import first_from, standings
from core.series.values import Measured, Member, Series, SeriesPlan
from core.series.words import emergence_sentence
from core.values import ModelSpec, PairSpec
from tests.experiments.test_check import plan
from tests.experiments.test_verdicts import outcome, point

PAIR = PairSpec(base=ModelSpec(repo_id="a/base"), reasoner=ModelSpec(repo_id="a/reasoner"))


def spot(steered: int, control: int = 1, *, cost: float = 0.1, unsteered: int = 1) -> Outcome:
    """`steered` keywords in every second text with the direction, `control` with the strongest control."""
    found = outcome(
        point("unsteered", unsteered),
        point("direction", steered, name="base-derived", cost=cost),
        point("random", control, name="random 1"),
        point("label", 0, name="label: deduction"),
    )
    return replace(found, finished=True)


def series(*spots: Outcome | None, total: int = 0) -> Series:
    members = tuple(
        Member(name=f"step {15 * i}", pair=PAIR, fingerprints=("", ""), step=15 * i)
        for i in range(max(total, len(spots)))
    )
    made = SeriesPlan(title="thinker", plan=plan(), members=members, one_place=True)
    measured = [
        Measured(member=member, outcome=spots[i] if i < len(spots) else None) for i, member in enumerate(members)
    ]
    return Series(plan=made, measured=tuple(measured))


NO, ABOVE_UNSTEERED, ABOVE_ALL = spot(1), spot(4, control=4), spot(6, control=1)


@pytest.mark.parametrize(
    ("flags", "index"),
    [
        ((), None),
        ((False,), None),
        ((True,), 0),
        ((False, True, True), 1),
        ((True, False, True), 2),
        ((True, True, False), None),
        ((True, True), 0),
    ],
)
def test_from_which_on_all_hold(flags, index):
    assert first_from(flags) == index


def test_it_begins_where_it_stays_and_becomes_specific_later():
    said = emergence_sentence(series(NO, ABOVE_UNSTEERED, NO, ABOVE_UNSTEERED, ABOVE_ALL, ABOVE_ALL))
    assert "raises the keywords above the unsteered text from step 45 on (at step 45, +1.50 [" in said
    assert "and above the strongest readable control from step 60 on (“random 1 at 4”: +2.50 [" in said
    assert said.startswith("At layer 2, 4 unit vectors, ")


def test_it_acts_from_the_first_checkpoint_on():
    said = emergence_sentence(series(ABOVE_ALL, ABOVE_ALL))
    assert "from the first checkpoint on (step 0)" in said


def test_above_unsteered_but_never_above_its_controls():
    said = emergence_sentence(series(NO, ABOVE_UNSTEERED))
    assert "from step 15 on" in said
    assert "it is not above the strongest readable control at the end (“random 1 at 4”: +0.00 [" in said


def test_it_never_acts():
    said = emergence_sentence(series(NO, NO, NO))
    assert "the base model's direction never acts: at no checkpoint does it raise the keywords" in said
    assert "at step 30, +0.00 [" in said


def test_what_acted_and_stopped_acting_does_not_act():
    said = emergence_sentence(series(NO, ABOVE_ALL, NO))
    assert "does not act at the end" in said
    assert "it did at step 15" in said


def test_text_that_is_not_readable_is_no_effect():
    said = emergence_sentence(series(NO, spot(6, cost=5.0)))
    assert "never acts" in said
    assert "not readable" in said


def test_too_few_questions_can_tell_nothing():
    few = replace(NO, reported=tuple(replace(p, **_first(p, 3)) for p in NO.reported))
    said = emergence_sentence(series(few, few))
    assert "too little text to say" in said


def _first(found, n):
    return {name: getattr(found, name)[:n] for name in ("hits", "words", "repetition", "nll")}


def test_a_part_is_told_as_a_part():
    said = emergence_sentence(series(NO, ABOVE_ALL, total=4))
    assert said.startswith("So far, with 2 of 4 checkpoints measured: at layer 2")
    assert emergence_sentence(series(total=2)) == "No checkpoint has been measured yet."


def test_numbers_of_a_checkpoint():
    (one,) = standings(series(ABOVE_ALL))
    assert (one.unsteered.mean, one.steered.mean) == (pytest.approx(0.005), pytest.approx(0.03))
    assert one.effect.difference.mean == pytest.approx(0.025)
    assert (one.strongest.name, one.specific.difference.mean) == ("random 1", pytest.approx(0.025))
    assert one.random == (pytest.approx(0.005),)
    assert one.effect.difference.n == 40
