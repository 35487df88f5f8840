"""The presets: what the quick form takes over from what is recorded, and what it must not ask again."""

from __future__ import annotations

import pytest

from core.embedded import fresh_questions, recorded_experiment, recorded_place
from core.experiments.presets import REPORT, default_layers, paper_plan, split
from core.experiments.values import Fixed, TraceSource
from core.models.pair import DEMO_PAIR, ModelFacts
from core.runs.questions import Example
from core.values import ModelSpec, PairSpec

QUESTIONS = [Example(prompt=f"Question {i}?") for i in range(400)]


def facts(d_model: int) -> tuple[ModelFacts, ModelFacts]:
    one = ModelFacts(
        spec=ModelSpec(repo_id="a/b"),
        fingerprint="",
        name="b",
        n_layers=6,
        d_model=d_model,
        d_vocab=9,
        context_length=99,
    )
    return one, one


@pytest.mark.parametrize(
    ("n_layers", "limit", "layers"),
    [(6, 12, (0, 1, 2, 3, 4, 5)), (6, 3, (1, 2, 4)), (32, 3, (3, 10, 24)), (30, 3, (3, 9, 22))],
)
def test_a_few_layers_are_spread_around_the_papers_depth(n_layers, limit, layers):
    assert default_layers(n_layers, limit) == layers


@pytest.mark.parametrize(("d_model", "n_report"), [(128, REPORT), (4096, 40)])
def test_the_quick_form_of_a_small_model_reports_as_many_questions_as_the_whole_one(d_model, n_report):
    plan = paper_plan(facts(d_model), TraceSource(kind="none"), QUESTIONS, quick=True)
    assert (len(plan.choose), len(plan.report)) == (20, n_report)
    assert not {e.prompt for e in plan.choose} & {e.prompt for e in plan.report}


def test_the_recorded_place_is_the_one_that_was_chosen_and_of_that_pair_alone():
    found = recorded_experiment()
    assert found is not None
    assert found.choice is not None
    place = recorded_place(DEMO_PAIR)
    assert (place.layer, place.window) == (found.choice.layer, found.choice.window)
    edge = next(e.coefficient for e in found.edges if (e.layer, e.window) == (place.layer, place.window))
    assert place.dose is not None
    assert abs(place.dose * edge - found.choice.coefficient) < 0.005 * edge
    other = ModelSpec(repo_id="demo/seeds/1/reasoner")
    assert recorded_place(PairSpec(base=DEMO_PAIR.base, reasoner=other)) == Fixed()


def test_fresh_questions_chose_nothing():
    found = recorded_experiment()
    assert found is not None
    chose = {example.prompt for example in found.plan.choose}
    fresh = [example.prompt for example in fresh_questions()]
    assert len(chose) == 40
    assert len(fresh) > REPORT
    assert not chose & set(fresh)


def test_fewer_than_four_questions_are_refused():
    with pytest.raises(Exception, match="3 different questions"):
        split(QUESTIONS[:3], 2, 2)
