"""An experiment as a job on a tiny pair: kept as it goes, found again, stopped and gone on with, or refused."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from core.directions.direction import DOSE
from core.errors import BadInput
from core.experiments import cell_work
from core.experiments.plans import outcome_json, plan_id, plan_json, read_plan
from core.experiments.statistics import chosen_point
from core.experiments.values import ControlPlan, Doses, Outcome, Plan, TraceSource
from core.labelling.references import at_once
from core.models.pair import ROLES
from core.runs.cells import DoseCell
from core.runs.questions import Example
from core.traces.events import digest_of
from core.values import ModelSpec, PairSpec, Part, SamplingSpec, Window
from core.workbench import Workbench
from tests.extraction.test_passes import make_traces
from tests.processes import Forked
from tests.tiny_models import tiny_folder

QUESTIONS = tuple(Example(prompt=f"What is {i} plus 4?", answer=str(i + 4)) for i in range(9))


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    root = tmp_path_factory.mktemp("pair")
    base = tiny_folder(root, seed=1, name="base", chat_template=None)
    return PairSpec(
        base=ModelSpec(repo_id=str(base)), reasoner=ModelSpec(repo_id=str(tiny_folder(root, seed=2, name="reasoner")))
    )


def bench_at(folder: Path, pair: PairSpec) -> Workbench:
    """A workbench on a folder with the pair loaded and the traces saved."""
    bench = Workbench(folder)
    assert bench.engine.wait(bench.load_pair(pair), 60).state == "done"
    if not [one for one in bench.trace_sets.list() if one.name == "mine"]:
        bench.trace_sets.save(make_traces(6), name="mine")
    return bench


@pytest.fixture
def open_bench(pair):
    """Opens workbenches on folders; they are closed at the end."""
    opened = []

    def opened_at(folder: Path) -> Workbench:
        opened.append(bench_at(folder, pair))
        return opened[-1]

    yield opened_at
    for bench in opened:
        bench.close()


@pytest.fixture(scope="module")
def measured(pair, tmp_path_factory):
    """(workbench, outcome) of a run that nothing interrupted; to be read."""
    bench = bench_at(tmp_path_factory.mktemp("whole"), pair)
    yield bench, run(bench, plan_for(bench))
    bench.close()


def plan_for(bench: Workbench, **changes) -> Plan:
    (one,) = [one for one in bench.trace_sets.list() if one.name == "mine"]
    traces = TraceSource(kind="set", name=one.set_id, digest=digest_of(bench.trace_sets.load(one.set_id)))
    made = Plan(
        pair=bench.pair.spec,
        fingerprints=(bench.pair.facts("base").fingerprint, bench.pair.facts("reasoner").fingerprint),
        figures=("fig2", "fig3", "fig4", "figB1"),
        traces=traces,
        windows=(Window(start=-4, stop=-1), Window(start=-2, stop=1)),
        layers=(0, 2),
        choose=QUESTIONS[:4],
        report=QUESTIONS[4:],
        doses=Doses(values=(0.5, 1.0)),
        sampling=SamplingSpec(max_new_tokens=6, temperature=0.7),
        controls=ControlPlan(random=2, matched=1, curves=1),
        block=3,
    )
    return replace(made, **changes)


def run(bench: Workbench, plan: Plan) -> Outcome:
    done = bench.engine.wait(bench.run_plan(plan), 120)
    assert done.state == "done", done.error
    return done.outcome


def test_what_was_measured_is_kept_and_nothing_is_run_twice(measured, monkeypatch):
    bench, outcome = measured
    plan = outcome.plan
    assert plan == plan_for(bench)
    assert outcome.finished
    assert outcome.done == len(outcome.chosen_from) + len(outcome.reported) == outcome.total
    (saved,) = bench.experiments.list()
    assert saved.plan == plan
    assert bench.experiments.outcome(saved.experiment_id) == outcome
    monkeypatch.setattr(cell_work, "run_cell", lambda *_, **__: pytest.fail("a cell was run again"))
    assert outcome_json(run(bench, plan)) == outcome_json(outcome)
    assert chosen_point(outcome) is not None


def test_a_point_is_its_cells(measured):
    bench, outcome = measured
    for point in outcome.reported:
        cells = [bench.cell(key) for key in point.cells]
        assert all(isinstance(cell, DoseCell) for cell in cells)
        assert point.hits == tuple(n for cell in cells for n in cell.hits)
        assert point.words == tuple(n for cell in cells for n in cell.words)
        assert {cell.spec.coefficient for cell in cells} == {point.coefficient}
        questions = [prompt.question for cell in cells for prompt in cell.spec.prompts]
        assert questions == [example.prompt for example in outcome.plan.report]


def test_a_stopped_run_shows_what_it_has_and_goes_on(measured, open_bench, tmp_path):
    _, whole = measured
    bench = open_bench(tmp_path / "stopped")
    plan = plan_for(bench)
    job = bench.run_plan(plan)
    while (snapshot := bench.engine.snapshot(job)).progress.partial is None or snapshot.progress.partial.done < 5:
        assert snapshot.live
        time.sleep(0.01)
    bench.engine.stop(job)
    assert bench.engine.wait(job, 30).state == "cancelled"
    kept = bench.experiments.outcome(plan_id(plan))
    assert 5 <= kept.done < whole.done
    assert [one.done for one in (kept, whole)] == [len(one.chosen_from + one.reported) for one in (kept, whole)]
    assert not kept.finished
    assert kept.chosen_from == whole.chosen_from[: len(kept.chosen_from)]
    ended = run(bench, plan)
    assert plan_id(ended.plan) == plan_id(whole.plan)
    assert outcome_json(replace(ended, plan=whole.plan)) == outcome_json(whole)


def test_what_counts_as_done_is_kept(open_bench, tmp_path):
    bench = open_bench(tmp_path)
    plan = replace(plan_for(bench), doses=Doses(unit="unit", values=(2.0, 4.0)))
    job = bench.run_plan(plan)
    while (snapshot := bench.engine.snapshot(job)).progress.partial is None or snapshot.progress.partial.done < 5:
        assert snapshot.live
        time.sleep(0.01)
    bench.engine.stop(job)
    bench.engine.wait(job, 30)
    kept = bench.experiments.outcome(plan_id(plan))
    assert kept.done == len(kept.chosen_from + kept.reported)


def test_other_traces_than_the_plans_are_refused(open_bench, tmp_path):
    bench = open_bench(tmp_path)
    plan = plan_for(bench)
    changed = replace(plan, traces=replace(plan.traces, digest="other"))
    done = bench.engine.wait(bench.run_plan(changed), 60)
    assert done.state == "error"
    assert isinstance(done.error, BadInput)
    assert "not those of the plan" in done.error.problem
    assert bench.experiments.list() == []


def test_traces_are_found_by_their_digest_in_another_folder(open_bench, tmp_path):
    here = plan_for(open_bench(tmp_path / "here"))
    there = open_bench(tmp_path / "there")
    assert run(there, replace(here, figures=("fig3",))).finished


def measure(folder: Path, plan_file: Path) -> None:
    """For a process of its own, which may be killed."""
    bench = Workbench(folder)
    plan = read_plan(plan_file.read_bytes())
    bench.engine.wait(bench.load_pair(plan.pair))
    job = bench.run_plan(plan)
    print("ready", flush=True)
    print(bench.engine.wait(job).state, flush=True)
    bench.close()


def test_a_killed_run_loses_a_block_at_most_and_ends_the_same(measured, open_bench, tmp_path):
    _, whole = measured
    plan = whole.plan
    open_bench(tmp_path / "killed").close()
    (tmp_path / "plan.json").write_text(plan_json(plan))

    def begun() -> Forked:
        (tmp_path / "log").unlink(missing_ok=True)
        function, args = "tests.experiments.test_work:measure", (tmp_path / "killed", tmp_path / "plan.json")
        process = Forked(function, *args, env=os.environ, log=tmp_path / "log")
        until = time.monotonic() + 120
        while not (tmp_path / "log").exists() or "ready" not in (tmp_path / "log").read_text():
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.01)
        return process

    for wait in (0.4, 1.2):
        process = begun()
        time.sleep(wait)
        process.kill()
        process.wait()
    said, _ = begun().communicate(120)
    assert said.splitlines()[-1] == "done", said
    kept = open_bench(tmp_path / "killed").experiments.outcome(plan_id(plan))
    assert outcome_json(kept) == outcome_json(whole)


def test_what_is_read_without_steering_stands_beside_it(open_bench, tmp_path):
    bench = open_bench(tmp_path)
    outcome = run(bench, plan_for(bench, figures=("fig3", "fig5", "fig6", "figC1")))
    assert {(row.source, row.head, row.layer) for row in outcome.lens} == {
        (source, head, layer) for source in ROLES for head in ROLES for layer in (0, 2)
    }
    assert {row.source for row in outcome.leads} <= set(ROLES)
    assert any("Table C.1 needs a judge" in note for note in outcome.notes)
    assert outcome.labels == ()


def test_completions_are_held_against_a_labeller(open_bench, tmp_path):
    bench = open_bench(tmp_path)
    everything = at_once(
        "everything turns back",
        lambda traces: tuple(
            replace(trace, parts=(Part(label="backtracking", start=0, end=len(trace.text)),)) for trace in traces
        ),
    )
    bench._lab = replace(bench._lab, references=lambda plan: [everything])
    outcome = run(bench, plan_for(bench, figures=("fig3", "figC1")))
    line = [p for p in outcome.reported if p.target == "reasoner" and p.source in (None, "base")]
    assert [row.coefficient for row in outcome.labels] == sorted({p.coefficient for p in line})
    for row in outcome.labels:
        assert row.labeller == "everything turns back"
        assert row.keyword_only == 0
        assert row.both + row.reference_only > 0


def test_a_first_experiment_leaves_the_directions_that_it_chose_and_a_later_one_adds_none(open_bench, tmp_path):
    bench = open_bench(tmp_path)
    outcome = run(bench, plan_for(bench, figures=("fig3",)))
    newest, other = (one.direction for one in bench.directions.list())
    assert bench.pair.facts("base").has_weights(newest.fingerprint)
    assert bench.pair.facts("reasoner").has_weights(other.fingerprint)
    for direction in (newest, other):
        notes = dict(direction.provenance)
        assert direction.layer == outcome.choice.layer
        assert notes["window"] == outcome.choice.window.label
        assert float(notes[DOSE]) == pytest.approx(outcome.choice.coefficient / other.resid_norm, abs=1e-3)
    run(bench, plan_for(bench, figures=("fig3",), layers=(1,)))
    assert len(bench.directions.list()) == 2


def test_where_a_direction_of_the_pair_is_saved_an_experiment_adds_none(open_bench, tmp_path, make_direction):
    bench = open_bench(tmp_path)
    facts = bench.pair.facts("base")
    mine = replace(make_direction(facts.d_model, layer=1), fingerprint=facts.fingerprint)
    bench.directions.save(mine)
    run(bench, plan_for(bench, figures=("fig3",)))
    assert len(bench.directions.list()) == 1
