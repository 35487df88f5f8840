"""Experiments under AppTest: a plan in one click, what it takes, its results, and the list of what is kept."""

import threading
from dataclasses import replace

import pytest

import core.embedded
from core.experiments.plans import plan_id, plan_json
from core.fleet.values import FleetSpec
from core.jobs import Progress
from core.runs.questions import Example
from core.traces.events import digest_of
from core.values import Part, Trace
from tests.experiments import outcomes
from tests.page_helpers import app_test, save_tiny_pair, start_workbench
from ui.experiments import cluster
from ui.experiments.questions import _READ
from ui.experiments.source import directions_of
from ui.shell.handoff import EXPERIMENT, EXPERIMENT_JOB, EXPERIMENT_VIEW, PLANNED

TEXT = "The sum of 3 and 4 is 8. Wait, let me check this again. The answer is 7."
QUESTIONS = tuple(Example(prompt=f"What is {i} + {i}?", answer=str(2 * i)) for i in range(12))


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    return save_tiny_pair(tmp_path_factory.mktemp("pair"))


@pytest.fixture
def bench(pair, tmp_path, monkeypatch):
    monkeypatch.setattr(core.embedded, "DEMO", tmp_path / "demo")
    monkeypatch.setattr("ui.experiments.questions.example_questions", lambda kind: QUESTIONS)
    bench = start_workbench(tmp_path / "cache", pair, monkeypatch)
    yield bench
    for job in bench.engine.live():
        bench.engine.stop(job.job_id)
        bench.engine.wait(job.job_id, 20)
    bench.store.close()


@pytest.fixture
def traces(bench):
    parts = (Part(label="deduction", start=0, end=24), Part(label="backtracking", start=25, end=len(TEXT)))
    made = [Trace(trace_id=f"t{i}", prompt=f"What is {i} + 4?", text=TEXT, parts=parts) for i in range(6)]
    return bench.trace_sets.save(made, name="mine", source="mine.jsonl", form="test")


def page(**state):
    app = app_test("experiments")
    for key, value in state.items():
        app.session_state[key] = value
    app.run()
    assert not app.exception, [box.value for box in app.exception]
    return app


def press(app, label):
    next(one for one in app.button if one.label == label).click()
    app.run()
    assert not app.exception, [box.value for box in app.exception]
    return app


def button(app, label):
    return next(one for one in app.button if one.label == label)


def control(app, label):
    return next(one for one in (*app.selectbox, *app.number_input, *app.text_input) if one.label == label)


def group(app, label):
    return next(one for one in app.get("button_group") if one.label == label)


def said(app):
    kinds = ("error", "warning", "info", "success", "caption", "markdown")
    return " ".join(box.value for kind in kinds for box in getattr(app, kind)).replace("\\", "")


def keep(bench, outcome):
    found = bench.experiments.save(outcome.plan)
    bench.experiments.keep(found, outcome)
    return found


def of_pair(bench, **changes):
    facts = [bench.pair.facts(role) for role in ("base", "reasoner")]
    prints = (facts[0].fingerprint, facts[1].fingerprint)
    plan = outcomes.plan(pair=bench.pair.spec, fingerprints=prints)
    return outcomes.outcome(plan=plan, fingerprints=prints, **changes)


def test_without_traces_the_page_says_where_they_come_from_and_run_is_off(bench):
    app = page()
    assert button(app, "Run").disabled
    assert "There are no labelled traces" in said(app)


def test_run_is_one_click_and_what_it_takes_stands_beside_it(bench, traces):
    app = page()
    assert not button(app, "Run").disabled
    assert "points in" in said(app)
    assert "new tokens" in said(app)
    press(app, "Run")
    (one,) = bench.experiments.list()
    assert app.session_state[EXPERIMENT] == one.experiment_id
    assert app.session_state[EXPERIMENT_VIEW] == "Results"
    assert one.plan.traces.digest == digest_of(bench.trace_sets.load(traces))
    assert one.plan.fingerprints == (bench.pair.facts("base").fingerprint, bench.pair.facts("reasoner").fingerprint)
    assert [job.kind for job in bench.engine.live() if job.kind != "generate"] == ["experiment"]
    assert {e.prompt for e in one.plan.choose} & {e.prompt for e in one.plan.report} == set()


def test_a_fault_of_the_plan_is_a_sentence_beside_run_before_anything_starts(bench, traces):
    app = page(**{_READ: ("id", "two.txt", replace_questions(2)), "exp:quick:questions": "upload"})
    assert button(app, "Run").disabled
    assert "2 different questions were given" in said(app)
    app = page(**{"exp:quick:doses:auto": "0, 0"})
    assert button(app, "Run").disabled
    assert "no dose but 0" in said(app)
    app = page(**{"exp:quick:doses:auto": "1, many"})
    assert "“many” is not a number" in said(app) or "'many' is not a number" in said(app)
    app = page(**{"exp:quick:windows": ["-8..-13"]})
    assert button(app, "Run").disabled
    assert not bench.experiments.list()


def replace_questions(n):
    from core.runs.questions import QuestionList

    return QuestionList(questions=QUESTIONS[:n], problems=())


def test_uploaded_questions_are_split_in_two_halves(bench, traces):
    app = page(**{_READ: ("id", "mine.txt", replace_questions(10)), "exp:quick:questions": "upload"})
    assert "mine.txt: 10 questions" in said(app)
    press(app, "Run")
    plan = bench.experiments.list()[0].plan
    assert sorted(e.prompt for e in (*plan.choose, *plan.report)) == sorted(e.prompt for e in QUESTIONS[:10])


def test_controls_are_never_offered_as_directions(bench, make_direction):
    facts = bench.pair.facts("base")
    for i, notes in enumerate(((), (("control", "random 1"),))):
        made = replace(make_direction(32, layer=1, seed=i), name=f"d{i}", fingerprint=facts.fingerprint)
        bench.directions.save(replace(made, provenance=notes))
    app = page(**{"exp:directions:own": "saved"})
    assert [c.direction.name for c in directions_of(facts)] == ["d0"]
    assert len(control(app, "Found in the base model").options) == 1
    press(app, "Run")
    (one,) = bench.experiments.list()
    assert one.plan.saved is not None
    assert bench.directions.load(one.plan.saved.base).name == "d0"


def test_directions_of_two_layers_are_refused_before_the_start(bench, make_direction):
    for role, layer in (("base", 0), ("reasoner", 1)):
        made = replace(make_direction(32, layer=layer), fingerprint=bench.pair.facts(role).fingerprint)
        bench.directions.save(made)
    app = page(**{"exp:directions:own": "saved"})
    assert "of layers 0 and 1" in said(app)
    assert button(app, "Run").disabled


def test_an_experiment_shows_its_four_ticks_its_figure_and_its_texts(bench):
    found = keep(bench, of_pair(bench, finished=True))
    app = page(**{EXPERIMENT: found, EXPERIMENT_VIEW: "Results"})
    for name in ("Effect.", "Specific.", "Only the reasoner.", "Readable."):
        assert name in said(app)
    assert len(app.get("vega_lite_chart")) == 2
    assert "The texts behind a point" in said(app)
    assert "Question " in said(app)
    assert {"CSV"} <= {one.label for one in app.get("download_button")}
    assert "experiment" in app.query_params


def test_what_was_stopped_says_how_far_it_is_and_goes_on(bench, traces):
    outcome = of_pair(bench, done=37, total=120, finished=False)
    own = replace(outcome.plan, traces=replace(outcome.plan.traces, kind="set", name=traces, digest=""), layers=(0, 1))
    own = replace(
        own, controls=replace(own.controls, random=0, matched=0, curves=0), choose=QUESTIONS[:2], report=QUESTIONS[2:4]
    )
    found = keep(bench, replace(outcome, plan=own))
    app = page(**{EXPERIMENT: found, EXPERIMENT_VIEW: "Results"})
    assert "37 of 120" in said(app)
    press(app, "Go on")
    assert bench.engine.snapshot(app.session_state[EXPERIMENT_JOB]).kind == "experiment"


def test_an_experiment_of_another_pair_is_shown_and_says_why_it_cannot_go_on(bench):
    found = keep(bench, outcomes.outcome(done=3, total=9, finished=False))
    app = page(**{EXPERIMENT: found, EXPERIMENT_VIEW: "Results"})
    assert "other weights" in said(app)
    assert "Effect." in said(app)
    assert not [one for one in app.button if one.label == "Go on"]


def test_kept_experiments_are_listed_opened_renamed_and_deleted(bench):
    found = keep(bench, of_pair(bench, finished=True))
    app = press(page(**{EXPERIMENT_VIEW: "Kept"}), "Open")
    assert app.session_state[EXPERIMENT] == found
    control(app, "Title").input("A <b>new</b> title")
    press(app, "Rename")
    assert bench.experiments.plan(found).title == "A <b>new</b> title"
    press(app, "Yes, delete it")
    assert bench.experiments.list() == []
    assert "Nothing is kept yet" in said(app)


def test_a_new_one_begins_as_a_given_plan(bench, traces):
    plan = outcomes.plan(pair=bench.pair.spec, fingerprints=("", ""), layers=(0, 1))
    plan = replace(plan, title="Given", traces=replace(plan.traces, kind="set", name=traces, digest=""))
    app = page(**{PLANNED: plan})
    assert app.session_state[EXPERIMENT_VIEW] == "New"
    press(app, "Run")
    (one,) = bench.experiments.list()
    kept = (one.plan.choose, one.plan.report, one.plan.doses, one.plan.windows, one.plan.layers, one.plan.controls)
    assert kept == (plan.choose, plan.report, plan.doses, plan.windows, plan.layers, plan.controls)


def test_the_plan_of_an_experiment_can_be_taken_away(bench):
    outcome = of_pair(bench)
    found = keep(bench, outcome)
    app = page(**{EXPERIMENT: found, EXPERIMENT_VIEW: "Results"})
    assert any("python -m retrace" in block.value for block in app.code)
    assert plan_id(outcome.plan) == found
    assert "retrace-plan" in plan_json(outcome.plan)
    press(app, "New one like this")
    assert app.session_state[EXPERIMENT_VIEW] == "New"


def test_a_link_names_an_experiment_and_a_wrong_one_is_said(bench):
    found = keep(bench, of_pair(bench))
    app = app_test("experiments")
    app.query_params["experiment"] = found
    app.run()
    assert not app.exception
    app = page(**{EXPERIMENT: "0" * 20, EXPERIMENT_VIEW: "Results"})
    assert "There is no experiment" in said(app)


def test_a_job_of_a_closed_tab_is_followed_before_it_tells_which_experiment_it_is(bench):
    outcome, told = of_pair(bench), threading.Event()
    found = bench.experiments.save(outcome.plan)

    def work():
        while True:
            yield Progress(1, 9, "reading traces", outcome if told.is_set() else None, waiting=True)

    job = bench.engine.submit("experiment", work(), title="Experiment", lasting=True)
    app = page(**{EXPERIMENT_JOB: job, EXPERIMENT_VIEW: "Results"})
    assert "of a closed tab goes on" in said(app)
    assert [one for one in app.button if one.label == "Stop"]
    told.set()
    bench.engine.wait(job, 0.5)
    app.run()
    assert "LIVE" in said(app)
    assert "Effect." in said(app)
    assert plan_id(outcome.plan) == found


def test_a_new_experiment_says_that_one_is_being_measured(bench, traces):
    def work():
        while True:
            yield Progress(1, 9, "reading traces", waiting=True)

    job = bench.engine.submit("experiment", work(), title="Experiment", lasting=True)
    app = page(**{EXPERIMENT_JOB: job, EXPERIMENT_VIEW: "New"})
    assert "An experiment is being measured" in said(app)
    press(app, "Show it")
    assert app.session_state[EXPERIMENT_VIEW] == "Results"


def test_a_plan_can_be_handed_to_a_cluster_and_a_wrong_address_is_a_sentence(bench, traces, monkeypatch):
    seen = []
    run_plan = bench.run_plan
    monkeypatch.setattr(bench, "run_plan", lambda plan, caller, fleet: seen.append(fleet) or run_plan(plan, caller))
    monkeypatch.setattr(cluster, "is_installed", lambda: True)
    app = page()
    group(app, "Measured").set_value(cluster.CLUSTER)
    app.run()
    app.text_input(key=cluster.ADDRESS).set_value("no address").run()
    assert "no address of a Ray cluster" in said(app)
    assert button(app, "Run").disabled
    app.text_input(key=cluster.ADDRESS).set_value("10.0.0.1:6379")
    app.number_input(key=cluster.WORKERS).set_value(8)
    app.number_input(key=cluster.CARDS).set_value(1.0).run()
    press(app, "Run")
    assert seen == [FleetSpec(address="10.0.0.1:6379", workers=8, gpus=1.0)]
    monkeypatch.setattr(cluster, "is_installed", lambda: False)
    app = page(**{cluster.WHERE: cluster.CLUSTER})
    assert not any(one.label == "Measured" for one in app.get("button_group"))
    press(app, "Run")
    assert seen[1:] == [None]
