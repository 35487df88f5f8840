"""Home under AppTest: the claim, the ways in, and the experiment of the loaded pair."""

from dataclasses import replace

import pytest

from core.embedded import example_questions, recorded_of
from core.errors import BadInput
from core.experiments.verdicts import ticks
from core.values import Part, Trace
from tests.experiments import outcomes
from tests.page_helpers import app_test, save_tiny_pair, start_workbench
from ui.directions.first_experiment import quick_plan
from ui.shell.handoff import EXPERIMENT, EXPERIMENT_JOB

TEXT = "The sum of 3 and 4 is 8. Wait, let me check this again. The answer is 7."


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    return save_tiny_pair(tmp_path_factory.mktemp("pair"))


@pytest.fixture
def bench(pair, tmp_path, monkeypatch):
    monkeypatch.setattr("ui.home.experiment.recorded_of", lambda _: None)
    bench = start_workbench(tmp_path / "cache", pair, monkeypatch)
    yield bench
    for job in bench.engine.live():
        bench.engine.stop(job.job_id)
        bench.engine.wait(job.job_id, 20)
    bench.store.close()


def home():
    app = app_test("home")
    assert not app.exception
    return app


def said(app):
    kinds = ("error", "warning", "info", "caption", "markdown")
    return " ".join(box.value for kind in kinds for box in getattr(app, kind)).replace("\\", "")


def facts_of(bench):
    return bench.pair.facts("base"), bench.pair.facts("reasoner")


def of_pair(bench, **changes):
    prints = tuple(facts.fingerprint for facts in facts_of(bench))
    plan = outcomes.plan(pair=bench.pair.spec, fingerprints=prints, title=changes.pop("title", ""))
    return outcomes.outcome(plan=plan, fingerprints=prints, finished=True, **changes)


def keep(bench, outcome):
    found = bench.experiments.save(outcome.plan)
    bench.experiments.keep(found, outcome)
    return found


def test_a_pair_of_which_nothing_was_measured_says_what_the_button_does(bench):
    app = home()
    assert "Nothing was measured of this pair yet" in said(app)
    assert [button for button in app.button if button.label == "Measure it here"]


def test_the_button_starts_a_quick_plan_of_the_pairs_own_traces_and_goes_where_it_is_watched(bench):
    parts = (Part(label="deduction", start=0, end=24), Part(label="backtracking", start=25, end=len(TEXT)))
    made = [Trace(trace_id=f"t{i}", prompt=f"What is {i} + 4?", text=TEXT, parts=parts) for i in range(6)]
    set_id = bench.trace_sets.save(made, name="mine", source="mine.jsonl", form="test")
    app = home()
    next(button for button in app.button if button.label == "Measure it here").click()
    app.run()
    assert not app.exception
    (one,) = bench.experiments.list()
    assert (one.plan.traces.kind, one.plan.traces.name, one.plan.figures) == ("set", set_id, ("fig3", "fig4"))
    assert {e.prompt for e in (*one.plan.choose, *one.plan.report)} == {trace.prompt for trace in made}
    assert app.session_state[EXPERIMENT] == one.experiment_id
    assert bench.engine.snapshot(app.session_state[EXPERIMENT_JOB]).kind == "experiment"
    assert app.title[0].value == "Experiments"


def test_without_labelled_traces_it_says_how_to_come_by_some(bench, monkeypatch):
    monkeypatch.setattr("ui.directions.first_experiment.workbench", lambda: bench)
    monkeypatch.setattr(bench.trace_sets, "list", list)
    with pytest.raises(BadInput, match="No traces with the label"):
        quick_plan(facts_of(bench))


def test_the_embedded_questions_are_asked_where_the_traces_have_too_few(bench, monkeypatch):
    monkeypatch.setattr("ui.directions.first_experiment.workbench", lambda: bench)
    plan = quick_plan(facts_of(bench))
    assert {e.prompt for e in plan.report} <= {e.prompt for e in example_questions("heldout")}


def test_the_newest_experiment_of_exactly_this_pair_is_shown_with_its_ticks(bench):
    keep(bench, outcomes.outcome(finished=True))
    assert "Nothing was measured" in said(home())
    keep(bench, of_pair(bench))
    app = home()
    assert all(name in said(app) for name in ("Effect.", "Specific.", "Only the reasoner.", "Readable."))
    assert "CACHED" in said(app)
    assert len(app.get("vega_lite_chart")) == 2


def test_what_is_measured_here_stands_beside_the_recorded_one_and_never_replaces_it(bench, monkeypatch):
    recorded = of_pair(bench)
    monkeypatch.setattr("ui.home.experiment.recorded_of", lambda _: recorded)
    keep(bench, of_pair(bench))
    app = home()
    assert "RECORDED" in said(app)
    app.session_state["home_shown"] = "Measured here"
    app.run()
    assert not app.exception
    assert "RECORDED" not in said(app)
    assert "CACHED" in said(app)


def test_a_recorded_experiment_of_other_weights_is_not_shown(bench, monkeypatch):
    monkeypatch.setattr("ui.home.experiment.recorded_of", recorded_of)
    monkeypatch.setattr("core.embedded.recorded_experiment", lambda *_: outcomes.outcome(finished=True))
    assert "RECORDED" not in said(home())


def test_the_devices_offered_are_those_that_are_here_the_best_at_first(bench, monkeypatch):
    def device():
        return next(box for box in home().selectbox if box.label == "Device")

    assert bench.pair.devices[-1] == "cpu"
    assert tuple(device().options) == bench.pair.devices
    for here in (("cuda", "cuda:1", "cpu"), ("mps", "cpu"), ("cpu",)):
        monkeypatch.setattr(bench.pair, "_devices", here)
        assert (tuple(device().options), device().value) == (here, here[0])


def test_before_torch_is_there_only_the_cpu_is_offered_and_the_list_says_so(bench, monkeypatch):
    monkeypatch.setattr(bench.pair, "_devices", ())
    box = next(box for box in home().selectbox if box.label == "Device")
    assert box.options == ["cpu"]
    assert "once the first models have been loaded" in box.help


def test_the_same_on_other_trainings_is_a_row_each_with_what_does_not_hold(bench, monkeypatch):
    mine = of_pair(bench, title="from start 0")
    other = outcomes.outcome(finished=True)
    monkeypatch.setattr("ui.home.trainings.recorded_trainings", lambda: (mine, other))
    rows = home().table[0].value
    assert list(rows["Pair"]) == ["from start 0", other.plan.title]
    shown = {"yes": "✓ yes", "no": "✗ no", "unclear": "? cannot be told", "too little": "? too little text"}
    for tick in ticks(mine):
        assert rows[tick.name.capitalize()].iloc[0] == shown[tick.state]


def test_trainings_of_another_pair_are_not_shown(bench, monkeypatch):
    made = (outcomes.outcome(finished=True),) * 2
    monkeypatch.setattr("ui.home.trainings.recorded_trainings", lambda: made)
    assert not home().table


def test_a_pair_without_a_direction_answers_unasked_and_one_press_measures_its_first(bench):
    app = home()
    for job in bench.engine.live():
        bench.engine.wait(job.job_id, 60)
    app.run()
    assert "Unsteered, the reasoning model turns back" in said(app)
    assert "against controls: about " in said(app)
    next(button for button in app.button if button.label == "Measure a first direction").click()
    app.run()
    assert not app.exception
    (one,) = bench.experiments.list()
    assert app.session_state[EXPERIMENT] == one.experiment_id
    assert bench.engine.snapshot(app.session_state[EXPERIMENT_JOB]).live
    assert app.title[0].value == "Experiments"


def test_a_stopped_first_answer_is_not_begun_again_by_itself(bench):
    app = home()
    for job in bench.engine.live():
        bench.engine.stop(job.job_id)
        bench.engine.wait(job.job_id, 20)
    app.run()
    assert bench.engine.live() == []


def test_with_a_direction_of_the_pair_none_is_offered_as_the_first(bench, make_direction):
    base = bench.pair.facts("base")
    bench.directions.save(replace(make_direction(base.d_model, layer=1), fingerprint=base.fingerprint))
    assert "Measure a first direction" not in [button.label for button in home().button]
