"""The order of an experiment, played with made-up answers: chosen on one half, reported on the other, nothing twice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from core.directions.direction import Direction
from core.experiments.arms import Directions
from core.experiments.check import cost_of, wants_of
from core.experiments.points import SHORT_TOKENS, Setting, Want
from core.experiments.protocol import Notebook, Steps
from core.experiments.values import ControlPlan, Doses, Fixed, Outcome, Plan, Point
from core.extraction.tables import POSITION, DirectionTable, TableSpec
from core.extraction.values import Negatives
from core.models.pair import ROLES, ModelFacts
from core.values import ModelSpec, Prompt, Window
from tests.experiments.test_check import plan as small_plan

WINDOWS = (Window(start=-13, stop=-7), Window(start=-7, stop=-1))
LAYERS = (1, 2, 3)
NORM, D_MODEL = 20.0, 12
EDGE = {1: 3.0, 2: 12.0, 3: 40.0}
"""The dose at which a layer's text is 0.5 nats less likely."""


def table(role: str, negatives: Negatives = "all") -> DirectionTable:
    rows = ("backtracking", "deduction", "shuffled backtracking", POSITION)
    rng = np.random.default_rng(ROLES.index(role))  # type: ignore[arg-type]
    spec = TableSpec(
        model=ModelSpec(repo_id=role),
        fingerprint=role[0],
        traces_digest="d",
        label="backtracking",
        labels=("backtracking", "deduction"),
        windows=WINDOWS,
        layers=LAYERS,
        negatives=negatives,
        weighting="trace",
    )
    return DirectionTable(
        spec=spec,
        rows=rows,
        vectors=rng.standard_normal((4, 3, 2, D_MODEL)).astype(np.float32),
        means=rng.standard_normal((3, D_MODEL)).astype(np.float32),
        resid_norms=np.full(3, NORM, np.float32),
        n_traces=4,
        n_events=9,
    )


def plan(**changes: Any) -> Plan:
    made = small_plan(windows=WINDOWS, layers=LAYERS, controls=ControlPlan(random=3, matched=2, curves=1))
    return replace(made, figures=("fig2", "fig3", "fig4", "figB1"), **changes)


def answer(want: Want, rate: Callable[[Want], float]) -> Point:
    """A point whose text grows less likely with the square of the dose, with `rate` keywords in 1,000 words."""
    cost = 0.5 * (want.coefficient / EDGE[want.arm.layer]) ** 2 if want.coefficient else 0.0
    hits = round(rate(want))
    return Point(
        target=want.arm.target,
        kind=want.arm.kind,
        name=want.arm.name,
        source=want.arm.source,
        layer=want.arm.layer,
        window=want.arm.window,
        match=want.arm.match,
        half=want.half,
        coefficient=want.coefficient,
        resid_norm=NORM,
        raw_norm=1.0,
        hits=(hits, hits),
        words=(1000, 1000),
        repetition=(0.05, 0.05),
        nll=(1.0 + cost, 1.0 + cost),
        no_evidence=0,
    )


def play(one: Plan, rate: Callable[[Want], float]) -> tuple[Outcome, list[Want]]:
    directions = Directions({role: table(role) for role in ROLES}, {})
    book = Notebook(one, ("b", "r"))
    steps, wants = Steps(one, directions, book).run(), []
    try:
        want = next(steps)
        while True:
            wants.append(want)
            want = steps.send(answer(want, rate))
    except StopIteration:
        return book.outcome(done=len(wants), total=0, finished=True), wants


def best_at(layer: int, window: Window, share: float) -> Callable[[Want], float]:
    """The effect peaks at a layer, a window and a share of that layer's edge."""

    def rate(want: Want) -> float:
        if want.arm.kind != "direction" or want.arm.target == "base":
            return 2
        near = 1 - abs(want.coefficient / EDGE[want.arm.layer] - share)
        return max(2 + 30 * near * (want.arm.layer == layer) + 10 * near * (want.arm.window == window), 0)

    return rate


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("window", WINDOWS)
def test_the_best_place_and_dose_are_found(layer, window):
    outcome, _ = play(plan(), best_at(layer, window, 0.7))
    choice = outcome.choice
    assert (choice.layer, choice.window, choice.readable) == (layer, window, True)
    assert choice.coefficient == pytest.approx(0.7 * EDGE[layer], rel=0.1)
    assert {edge.layer: edge.found for edge in outcome.edges} == dict.fromkeys(LAYERS, True)
    for edge in outcome.edges:
        assert edge.coefficient == pytest.approx(EDGE[edge.layer], rel=0.1)


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("window", WINDOWS)
def test_the_map_measures_every_window_at_every_layer_at_every_dose(layer, window):
    one = replace(plan(), figures=("fig2", "fig3", "map"))
    outcome, wants = play(one, best_at(layer, window, 0.7))
    found = [(p.layer, p.window) for p in outcome.chosen_from if p.kind == "direction"]
    every = {(layer, window) for layer in LAYERS for window in WINDOWS}
    assert {place: found.count(place) for place in found} == dict.fromkeys(every, len(one.doses.values))
    assert (outcome.choice.layer, outcome.choice.window) == (layer, window)
    assert outcome.choice.n_compared == len(every) * len(one.doses.values)
    assert cost_of(one, n_labels=2).points == len([want for want in wants if not want.short])


def test_a_place_that_only_the_map_finds_is_chosen():
    def hidden(want: Want) -> float:
        at = (want.arm.layer, want.arm.window)
        return {(1, WINDOWS[0]): 12, (3, WINDOWS[1]): 30}.get(at, 2) if want.arm.kind == "direction" else 2

    chosen = {}
    for figures in (("fig2", "fig3"), ("map", "fig3")):
        choice = play(replace(plan(), figures=figures), hidden)[0].choice
        chosen[figures[0]] = (choice.layer, choice.window)
    assert chosen == {"fig2": (1, WINDOWS[0]), "map": (3, WINDOWS[1])}


def test_what_is_fixed_holds_beside_the_map():
    one = replace(plan(), figures=("fig3", "map"), fixed=Fixed(layer=2))
    outcome, _ = play(one, best_at(3, WINDOWS[1], 0.7))
    found = {(p.layer, p.window) for p in outcome.chosen_from if p.kind == "direction"}
    assert found == {(layer, window) for layer in LAYERS for window in WINDOWS}
    assert outcome.choice.layer == 2
    assert outcome.choice.n_compared == len(WINDOWS) * len(one.doses.values)


def test_an_unreadable_dose_is_never_chosen():
    outcome, _ = play(plan(), best_at(2, WINDOWS[1], 2.5))
    assert outcome.choice.coefficient < EDGE[2]
    only = plan(doses=Doses(unit="unit", values=(900.0, 800.0)))
    outcome, _ = play(only, best_at(2, WINDOWS[1], 1.0))
    assert (outcome.choice.readable, outcome.choice.coefficient) == (False, 800.0)


def test_the_reported_half_chooses_nothing():
    def biased(want: Want) -> float:
        return 90 if want.half == "report" and want.arm.layer == 3 else best_at(1, WINDOWS[0], 0.8)(want)

    outcome, wants = play(plan(), biased)
    assert (outcome.choice.layer, outcome.choice.window) == (1, WINDOWS[0])
    halves = [want.half for want in wants if not want.short]
    assert halves == sorted(halves)
    assert all(want.half == "choose" for want in wants if want.short)
    assert {p.half for p in outcome.chosen_from} == {"choose"}
    assert {p.half for p in outcome.reported} == {"report"}


def test_base_and_reasoner_arms_have_one_place_and_controls_its_norm():
    outcome, wants = play(plan(), best_at(2, WINDOWS[1], 0.8))
    steered = [want for want in wants if want.half == "report" and want.arm.kind != "unsteered"]
    assert {(want.arm.layer, want.arm.window) for want in steered} == {(2, WINDOWS[1])}
    lines = {(p.source, p.target) for p in outcome.reported if p.kind == "direction"}
    assert lines == {(source, target) for source in ROLES for target in ROLES}
    tested = table("base").at("backtracking", 2, WINDOWS[1])
    for want in steered:
        if want.arm.kind not in ("direction", "without"):
            assert want.arm.direction.norm == pytest.approx(tested.norm)
    doses = {
        kind: {p.coefficient for p in outcome.reported if p.kind == kind} for kind in ("direction", "label", "mean")
    }
    assert doses["direction"] == doses["label"] == doses["mean"]


def test_a_random_direction_of_equal_coherence_costs_what_the_direction_costs():
    outcome, _ = play(plan(), best_at(2, WINDOWS[1], 0.8))
    matched = [p for p in outcome.reported if p.match == "coherence"]
    assert len(matched) == 2
    for point in matched:
        assert point.coefficient == pytest.approx(outcome.choice.coefficient, rel=0.1)


def test_whoever_else_measures_may_go_on_with_another_search():
    _, wants = play(plan(), best_at(2, WINDOWS[1], 0.8))
    first = next(want for want in wants if want.short and want.arm.name == "random 1")
    assert {one.arm.name for one in first.ahead if one.short} == {"random 1", "random 2"}
    asked = [want for want in wants if not want.short]
    assert not any(one.short for want in asked for one in want.ahead)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"figures": ("fig3",)},
        {"figures": ("fig3", "fig4"), "fixed": Fixed(layer=2, window=WINDOWS[1])},
        {"figures": ("fig3", "fig4"), "fixed": Fixed(layer=2, window=WINDOWS[1], dose=0.8)},
        {"doses": Doses(unit="share", values=(0.1, 0.3))},
    ],
)
def test_nothing_is_asked_twice_and_the_cost_is_what_is_asked(changes):
    one = replace(plan(), **changes)
    outcome, wants = play(one, best_at(2, WINDOWS[1], 0.8))
    shown = [
        (w.arm.name, w.arm.target, w.arm.match, w.arm.layer, w.arm.window, w.coefficient, w.half)
        for w in wants
        if not w.short
    ]
    assert len(shown) == len(set(shown)) == len(outcome.chosen_from) + len(outcome.reported)
    said = cost_of(one, n_labels=2)
    assert said.points == pytest.approx(len(shown), abs=len(LAYERS) * len(one.doses.values))
    assert said.points >= 0.8 * len(shown)
    assert len(wants_of(one, n_labels=2)) >= said.points


def test_a_fixed_place_is_the_one_that_is_reported():
    one = plan(fixed=Fixed(layer=3, window=WINDOWS[0], dose=0.5), doses=Doses(unit="share", values=(0.25,)))
    outcome, _ = play(replace(one, figures=("fig3",)), best_at(1, WINDOWS[1], 0.5))
    assert (outcome.choice.layer, outcome.choice.window) == (3, WINDOWS[0])
    assert outcome.choice.coefficient == 0.5 * NORM
    assert outcome.chosen_from == ()


def test_a_control_that_the_traces_do_not_give_is_named():
    made = table("base")
    made.vectors[made.rows.index(POSITION)] = np.nan
    arms, notes = Directions({"base": made}, {}).controls(ControlPlan(random=1, matched=0, curves=0), 2, WINDOWS[0])
    assert [arm.kind for arm in arms] == ["random", "label", "shuffled", "mean", "flip", "self", "without"]
    assert len(notes) == 1
    assert "against the place of other parts" in notes[0]


def test_a_direction_against_the_place_of_other_parts_is_no_control_of_itself():
    made = table("base")
    placed = replace(made, spec=replace(made.spec, negatives="position"))
    arms, notes = Directions({"base": placed}, {}).controls(ControlPlan(random=1, matched=0, curves=0), 2, WINDOWS[0])
    assert "position" not in {arm.kind for arm in arms}
    assert notes == []


def test_saved_directions_have_the_controls_that_need_no_traces():
    saved = Direction.from_raw(np.ones(D_MODEL, np.float32), name="mine", layer=2, resid_norm=NORM)
    arms, notes = Directions({}, {"base": saved}).controls(ControlPlan(random=2, matched=0, curves=0), 2, None)
    assert [arm.kind for arm in arms] == ["random", "random", "flip", "self"]
    assert len(notes) == 5


def facts(role: str) -> ModelFacts:
    spec = ModelSpec(repo_id=role)
    return ModelFacts(
        spec=spec, fingerprint=role[0], name=role, n_layers=4, d_model=D_MODEL, d_vocab=9, context_length=64
    )


def test_a_points_cells_are_its_questions_in_blocks_paired_by_seed():
    one = plan(block=3)
    prompts = {
        (role, half): tuple(Prompt(question=str(i), text=str(i), token_ids=(i,)) for i in range(7))
        for role in ROLES
        for half in ("choose", "report")
    }
    setting = Setting(plan=one, facts={role: facts(role) for role in ROLES}, prompts=prompts)
    arm = Directions({"base": table("base")}, {}).arm("base", "reasoner", 2, WINDOWS[0])
    found = setting.cells(Want(arm=arm, coefficient=4.0, half="report"))
    assert [len(cell.prompts) for cell in found] == [3, 3, 1]
    seeds = [spec.sampling.seed for cell in found for spec in cell.generations()]
    assert seeds == [one.sampling.seed + i for i in range(7)]
    assert [spec.prompt.question for cell in found for spec in cell.generations()] == [str(i) for i in range(7)]
    zero = setting.cells(Want(arm=arm, coefficient=0.0, half="report"))
    assert {cell.direction for cell in zero} == {None}
    short = setting.cells(Want(arm=arm, coefficient=4.0, half="choose", short=True))
    assert {cell.sampling.max_new_tokens for cell in short} == {SHORT_TOKENS}


def test_what_is_fixed_is_reported_whatever_the_compared_places_show():
    fixed = Fixed(layer=2, window=WINDOWS[1], dose=2.0)
    outcome, _ = play(plan(fixed=fixed, doses=Doses(values=(0.5, 1.0))), lambda want: want.arm.layer)
    assert outcome.choice is not None
    assert {point.layer for point in outcome.chosen_from if point.kind == "direction"} == set(LAYERS)
    (edge,) = [e.coefficient for e in outcome.edges if (e.layer, e.window) == (2, WINDOWS[1])]
    assert (outcome.choice.layer, outcome.choice.window, outcome.choice.n_compared) == (2, WINDOWS[1], 0)
    assert outcome.choice.coefficient == pytest.approx(2.0 * edge, rel=1e-3)


def test_fig_3_alone_is_held_against_random_directions_and_no_other_control():
    outcome, wants = play(plan(), best_at(2, WINDOWS[0], 0.8))
    alone, fewer = play(replace(plan(), figures=("fig3",)), best_at(2, WINDOWS[0], 0.8))
    random = {point.name for point in alone.reported if point.kind == "random"}
    assert random == {"random 1", "random 2", "random 3"}
    assert {point.kind for point in alone.reported} == {"unsteered", "direction", "random"}
    curve = [point for point in alone.reported if point.name == "random 1"]
    assert len(curve) == len({p.coefficient for p in alone.reported if p.coefficient})
    assert {point.match for point in alone.reported} == {"norm"}
    assert len(fewer) < len(wants)
    assert {point.kind for point in outcome.reported} > {"unsteered", "direction", "random"}
