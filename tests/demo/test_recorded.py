"""What is recorded of the embedded pair belongs to the plans and the weights that are here."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from core.bundles.reading import open_bundle
from core.directions.direction import DOSE
from core.disk import codec
from core.embedded import (
    DEMO,
    example_questions,
    recorded_bundle,
    recorded_directions,
    recorded_experiment,
    recorded_look,
)
from core.experiments.plans import plan_id, read_plan
from core.experiments.statistics import at_chosen
from core.experiments.verdicts import ticks
from core.fetching.shipped import shipped_pairs
from core.models.checkpoints import find_checkpoint
from core.models.pair import DEMO_PAIR, ROLES
from core.settings import PROJECT
from core.weights import Place, names_weights
from core.workbench import Workbench
from demo.write_look import look_specs
from demo.write_plans import PLANS, plans
from ui.home import live
from ui.home.columns import turns

RECORDED = sorted(path.stem for path in PLANS.glob("*.json") if (DEMO / "recorded" / path.stem).is_dir())
SHIPPED = sorted(name for name in shipped_pairs() if (DEMO / "recorded" / name).is_dir())


def test_the_plans_are_what_their_recipe_makes():
    made = plans()
    assert {path.stem for path in PLANS.glob("*.json")} == set(made)
    for name, plan in made.items():
        held = read_plan((PLANS / f"{name}.json").read_bytes())
        assert replace(held, fingerprints=plan.fingerprints) == plan
        for spec, named in zip((plan.pair.base, plan.pair.reasoner), held.fingerprints, strict=True):
            found = find_checkpoint(spec)
            assert names_weights(named, found.fingerprint, Place(model=spec, fingerprint=found.former))


def test_fig_3_is_recorded():
    assert "fig3" in RECORDED


@pytest.mark.parametrize("name", RECORDED)
def test_an_outcome_is_of_its_plan_and_of_the_weights_that_are_here(name):
    outcome = recorded_experiment(name)
    plan = read_plan((PLANS / f"{name}.json").read_bytes())
    assert plan_id(outcome.plan) == plan_id(plan)
    assert outcome.fingerprints == plan.fingerprints
    assert set(recorded_experiment("fig3").fingerprints) <= {one.fingerprint for one in recorded_directions()}


@pytest.mark.parametrize("name", SHIPPED)
def test_what_is_recorded_of_a_shipped_pair_is_of_its_weights_and_whole(name):
    outcome, pair = recorded_experiment(name), shipped_pairs()[name]
    plan = read_plan((DEMO / "recorded" / name / "plan.json").read_bytes())
    assert plan_id(outcome.plan) == plan_id(plan)
    assert (plan.pair.base.repo_id, plan.pair.reasoner.adapter) == (pair.source.name, pair.adapter)
    assert outcome.finished
    assert not {one.prompt for one in plan.choose} & {one.prompt for one in plan.report}
    record = json.loads((PROJECT / pair.adapter / "record.json").read_text("utf-8"))
    assert outcome.fingerprints[0] == record["base"]["fingerprint"]
    chosen = {p.source: p for p in outcome.reported if p.kind == "direction" and at_chosen(outcome, p)}
    found = {one.fingerprint: one for one in recorded_directions() if one.fingerprint in outcome.fingerprints}
    for role, fingerprint in zip(ROLES, outcome.fingerprints, strict=True):
        direction, point = found[fingerprint], chosen[role]
        assert direction.layer == outcome.choice.layer
        share = float(dict(direction.provenance)[DOSE])
        assert share * point.resid_norm == pytest.approx(outcome.choice.coefficient, rel=0.01)
    with recorded_bundle(name).open("rb") as file:
        bundle = open_bundle(file)
    assert [line.done for line in bundle.manifest.plans] == [outcome.done]
    assert bundle.manifest.count("traces") == 0
    keys = {key for point in outcome.reported for key in point.cells}
    assert keys <= {item.key for item in bundle.manifest.items}


def test_fig_3_of_the_first_study():
    """Hits and words of the first study, prompt by prompt, gave 0.37% unsteered and 1.15% at 65% of the norm."""
    outcome = recorded_experiment("fig3")
    unsteered = next(p for p in outcome.reported if (p.kind, p.target) == ("unsteered", "reasoner"))
    steered = next(p for p in outcome.reported if (p.source, p.target, p.coefficient) == ("base", "reasoner", 60.128))
    assert round(100 * sum(unsteered.hits) / sum(unsteered.words), 2) == 0.37
    assert round(100 * sum(steered.hits) / sum(steered.words), 2) == 1.15
    assert {tick.name: tick.state for tick in ticks(outcome)}["effect"] == "yes"


@pytest.fixture
def bench(tmp_path, monkeypatch):
    made = Workbench(tmp_path)
    assert made.engine.wait(made.load_pair(DEMO_PAIR)).state == "done"
    for place in ("ui.home.live", "ui.directions.choices", "ui.shell.state"):
        monkeypatch.setattr(f"{place}.workbench", lambda: made)
    yield made
    made.close()


def test_the_recorded_look_is_what_home_asks_first_and_is_written_again_token_for_token(bench):
    facts = (bench.pair.facts("base"), bench.pair.facts("reasoner"))
    direction = live.direction_of(facts)
    asked = live.specs_of(facts, example_questions()[0].prompt, direction, live.FIRST_STRENGTH)
    assert asked == look_specs(bench)
    recorded = recorded_look()
    assert len(recorded) == 3
    keys = [codec.key_of("generation", spec) for spec in asked]
    assert [codec.key_of("generation", one.spec) for one in recorded] == keys
    written = bench.engine.wait(bench.generate(asked)).result
    assert [one.token_ids for one in written] == [one.token_ids for one in recorded]
    assert sum(turns(one) for one in recorded) > 0
