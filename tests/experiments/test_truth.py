"""Experiments on pairs whose truth is planted: what holds is ticked, what does not is not; doses find their range."""

from __future__ import annotations

import pytest

from core.experiments.values import ControlPlan, Doses, Plan, SavedPair, TraceSource
from core.experiments.verdicts import ticks
from core.runs.questions import Example
from core.values import SamplingSpec
from core.workbench import Workbench
from tests.planted import WORDS, planted_direction, planted_pair

QUESTIONS = [
    Example(prompt=" ".join(WORDS[(7 * i + j * (i % 5 + 1)) % len(WORDS)] for j in range(5))) for i in range(160)
]


@pytest.fixture
def measure(tmp_path):
    """Runs a plan of saved directions on a planted pair and returns the outcome."""
    benches = []

    def run(direction, *, doses=None, controls=None, figures=("fig3", "fig4"), n=(12, 48), **planted):
        bench = Workbench(tmp_path / f"cache{len(benches)}")
        benches.append(bench)
        pair = planted_pair(tmp_path, **planted)
        assert bench.engine.wait(bench.load_pair(pair), 60).state == "done"
        saved = bench.directions.save(direction)
        plan = Plan(
            pair=pair,
            figures=figures,
            traces=TraceSource(kind="none"),
            saved=SavedPair(base=saved),
            layers=(direction.layer,),
            choose=tuple(QUESTIONS[: n[0]]),
            report=tuple(QUESTIONS[n[0] : n[0] + n[1]]),
            doses=doses or Doses(),
            sampling=SamplingSpec(max_new_tokens=32, temperature=1.0),
            controls=controls or ControlPlan(random=6, matched=1, curves=0, kinds=("random", "flip")),
            block=104,
        )
        done = bench.engine.wait(bench.run_plan(plan), 300)
        assert done.state == "done", done.error
        return done.outcome

    yield run
    for bench in benches:
        bench.close()


def states(outcome):
    return {tick.name: tick.state for tick in ticks(outcome)}


def test_a_planted_direction_gets_all_four_ticks(measure):
    assert states(measure(planted_direction())) == {
        "effect": "yes",
        "specific": "yes",
        "only the reasoner": "yes",
        "readable": "yes",
    }


def test_a_direction_that_nothing_reads_is_not_specific(measure):
    outcome = measure(planted_direction(axis=-2, name="nothing"))
    assert states(outcome)["specific"] != "yes"
    assert states(outcome)["effect"] != "yes"


def test_a_base_model_that_reacts_too_is_seen(measure):
    assert (
        states(measure(planted_direction(), figures=("fig3",), base_gain=11.0, base_wait=0.3))["only the reasoner"]
        == "no"
    )


def test_a_dose_that_wrecks_the_text_is_not_readable(measure):
    outcome = measure(planted_direction(), figures=("fig3",), doses=Doses(unit="unit", values=(60.0,)))
    assert states(outcome)["readable"] == "no"


@pytest.mark.parametrize("best", [4.0, 12.0, 60.0])
def test_doses_find_their_range(measure, best):
    size = 2 * best
    controls = ControlPlan(random=0, matched=0, curves=0, kinds=())
    outcome = measure(planted_direction(size), size=size, controls=controls, figures=("fig3",), n=(12, 12))
    doses = sorted({p.coefficient for p in outcome.reported if p.coefficient})
    assert doses[0] < best < doses[-1]
    assert best / 2 <= outcome.choice.coefficient <= 1.5 * best
