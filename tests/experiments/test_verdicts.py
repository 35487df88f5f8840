"""The numbers and sentences of an experiment on counts whose truth is written down."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from benchmarks.specificity import false_positives
from core.experiments.statistics import (
    band,
    baseline_of,
    beside,
    chosen_point,
    effect_at,
    faults,
    n_holding_half,
    nll,
    null_of,
    rate,
    readable,
)
from core.experiments.values import Choice, Outcome, Point
from core.experiments.verdicts import TICKS, sentences, ticks
from core.statistics import compare_rates, rate_interval, wilson
from core.values import PAPER_WINDOW, Window
from tests.experiments.test_check import plan

N, WORDS, DOSE = 40, 100, 4.0


def point(kind="direction", hits=2, *, target="reasoner", dose=DOSE, name="", cost=0.1, **changes) -> Point:
    """`hits` keywords in every second text of N texts of WORDS words, `cost` nats per token above 1."""
    made = Point(
        target=target,
        kind=kind,
        name=name or kind,
        source="base" if kind == "direction" else None,
        layer=2,
        window=None,
        match="norm",
        half="report",
        coefficient=0.0 if kind == "unsteered" else dose,
        resid_norm=16.0,
        raw_norm=1.0,
        hits=tuple(hits if i % 2 else 0 for i in range(N)),
        words=(WORDS,) * N,
        repetition=(0.1,) * N,
        nll=(1.0 if kind == "unsteered" else 1.0 + cost,) * N,
        no_evidence=0,
    )
    return replace(made, **changes)


def outcome(*points: Point, dose: float = DOSE) -> Outcome:
    choice = Choice(layer=2, window=None, coefficient=dose, readable=True, n_compared=3)
    return Outcome(plan=plan(), choice=choice, reported=points)


GOOD = (
    point("unsteered", 0),
    point("unsteered", 0, target="base"),
    point("direction", 6),
    point("direction", 0, target="base"),
    *(point("random", 1, name=f"random {i}") for i in range(20)),
)


def state(name, *points, **changes):
    return next(tick for tick in ticks(outcome(*points, **changes)) if tick.name == name)


def swapped(change: Point) -> tuple[Point, ...]:
    """GOOD with the point of the same kind, model and name replaced."""
    same = lambda p: (p.kind, p.target, p.name) == (change.kind, change.target, change.name)  # noqa: E731
    return tuple(change if same(p) else p for p in GOOD)


def test_all_four_hold_where_everything_is_good():
    assert [(tick.name, tick.state) for tick in ticks(outcome(*GOOD))] == [(name, "yes") for name in TICKS]


def test_nothing_is_said_before_it_was_measured():
    assert {tick.state for tick in ticks(Outcome(plan=plan()))} == {"not measured"}
    assert state("specific", *GOOD[:4]).state == "not measured"
    assert state("only the reasoner", *GOOD[:1], *GOOD[2:3]).state == "not measured"


@pytest.mark.parametrize(
    ("name", "change", "wanted", "said"),
    [
        ("effect", point("direction", 0), "unclear", "cannot be told from chance"),
        ("specific", point("random", 7, name="random 3"), "no", "cannot be told|does more than it"),
        ("specific", point("random", 40, name="random 3"), "no", "does more than it"),
        ("only the reasoner", point("direction", 6, target="base"), "no", "backtracks more too"),
        ("only the reasoner", point("direction", 0, target="base", cost=2.0), "unclear", "not readable"),
        ("only the reasoner", point("direction", 0, target="base", no_evidence=30), "unclear", "says nothing"),
        ("readable", point("direction", 6, cost=0.7), "no", "less likely"),
        ("readable", point("direction", 6, repetition=(0.3,) * N), "no", "repeats itself"),
        ("readable", point("direction", 6, no_evidence=5), "no", "says nothing"),
    ],
)
def test_what_fails_is_said(name, change, wanted, said):
    tick = state(name, *swapped(change))
    assert tick.state == wanted
    assert any(part in tick.sentence for part in said.split("|"))


def test_an_unreadable_control_is_no_rival():
    wrecked = point("random", 40, name="random 3", cost=3.0)
    assert state("specific", *swapped(wrecked)).state == "yes"
    null = null_of(outcome(*swapped(wrecked)))
    assert (null.n_readable, null.n_controls) == (19, 20)


def test_variants_are_no_rivals():
    variant = point("position", 40)
    found = outcome(*GOOD, variant)
    assert next(tick for tick in ticks(found) if tick.name == "specific").state == "yes"
    assert any("position" in sentence for sentence in sentences(found, "fig4"))


def test_too_few_questions_say_so():
    few = tuple(
        replace(p, hits=p.hits[:4], words=p.words[:4], nll=p.nll[:4], repetition=p.repetition[:4]) for p in GOOD
    )
    assert {state(name, *few).state for name in ("effect", "specific", "only the reasoner")} == {"too little"}


def test_the_numbers_are_those_of_the_tests():
    steered, unsteered, random = GOOD[2], GOOD[0], GOOD[4]
    assert rate(steered) == rate_interval(steered.hits, steered.words)
    assert rate(steered).mean == 6 * (N // 2) / (N * WORDS)
    assert beside(steered, random) == compare_rates(steered.hits, steered.words, random.hits, random.words)
    assert nll(steered).mean == pytest.approx(1.1)
    assert math.isnan(nll(replace(steered, nll=(None,) * N)).mean)
    found = outcome(*GOOD)
    assert chosen_point(found) == steered
    assert baseline_of(found.reported, steered) == unsteered
    null = null_of(found)
    assert null.difference == beside(steered, null.strongest)
    assert [(share.match, share.below) for share in null.shares] == [("norm", wilson(20, 20))]


def test_the_band_is_that_of_the_readable_controls_dose_by_dose():
    points = (
        GOOD[0],
        point("random", 1, dose=2.0),
        point("mean", 3, dose=2.0),
        point("label", 30, dose=2.0, cost=3.0),
        point("random", 2, dose=4.0),
        point("random", 50, dose=2.0, match="coherence"),
        point("direction", 50, dose=2.0),
    )
    (row,) = band(points)
    assert (row.coefficient, row.low, row.high, row.n_controls) == (2.0, 0.005, 0.015, 2)


def test_readable_is_judged_beside_the_same_models_text():
    assert readable(point(cost=0.49), GOOD[0])
    assert not readable(point(cost=0.51), GOOD[0])
    assert readable(point(cost=0.42, half="choose"), replace(GOOD[0], half="choose"))
    assert not readable(point(cost=0.44, half="choose"), replace(GOOD[0], half="choose"))
    assert faults(GOOD[0], None) == ()


def test_the_share_of_hits_that_go_back_is_told():
    points = swapped(point("direction", 6, back=90, remarks=6))
    assert any("75% stand in a sentence that goes back" in s and "5%" in s for s in sentences(outcome(*points), "fig4"))


@pytest.mark.parametrize(
    ("hits", "n"), [((1, 1, 1, 1), 2), ((9, 1, 1, 1), 1), ((1, 0, 3, 2), 1), ((2, 2, 3), 2), ((0, 0), 0), ((), 0)]
)
def test_in_how_few_texts_half_of_the_keywords_stand(hits, n):
    assert n_holding_half(replace(GOOD[0], hits=hits)) == n


def test_that_a_few_texts_hold_half_of_the_keywords_is_told_beside_the_unsteered_texts():
    looping = replace(point("direction", 6), hits=(40, *(1,) * 39))
    even = replace(GOOD[0], hits=(1,) * 40)
    said = sentences(outcome(*(even if one == GOOD[0] else one for one in swapped(looping))), "fig4")
    assert f"Half of these keywords stand in 1 of {looping.n} texts (unsteered: 20)." in said


@pytest.mark.parametrize("n", [16, 64])
def test_a_random_direction_is_hardly_ever_called_specific(n):
    assert false_positives(60, n, 0.3)[0] <= 3


def test_the_effect_of_a_place_is_the_reported_one_else_of_the_readable_dose_that_gained_most():
    near, far = Window(start=-7, stop=-1), Window(start=-19, stop=-13)
    chosen = tuple(
        point(hits=hits, dose=dose, cost=cost, half="choose", window=near)
        for hits, dose, cost in ((2, 1.0, 0.1), (6, 2.0, 0.2), (40, 8.0, 3.0))
    )
    asked = point("unsteered", 0, half="choose")
    found = replace(
        outcome(point("unsteered", 0), point(hits=4, window=PAPER_WINDOW)),
        choice=Choice(layer=2, window=PAPER_WINDOW, coefficient=DOSE, readable=True, n_compared=3),
        chosen_from=(asked, *chosen, point(hits=9, dose=8.0, cost=3.0, half="choose", window=far)),
    )
    reported = effect_at(found, source="base", layer=2, window=PAPER_WINDOW)
    assert (reported.point.half, reported.n_doses) == ("report", 1)
    assert reported.gain.difference.mean == pytest.approx(0.02)
    best = effect_at(found, source="base", layer=2, window=near)
    assert (best.point.coefficient, best.n_doses) == (2.0, 2)
    assert best.gain.difference.mean == pytest.approx(0.03)
    assert best.gain.difference.low < 0.03 < best.gain.difference.high
    assert effect_at(found, source="base", layer=2, window=far) is None
    assert effect_at(found, source="base", layer=1, window=near) is None
    assert effect_at(found, source="reasoner", layer=2, window=near) is None
