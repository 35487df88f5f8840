"""A series as a job on a tiny finetune: the numbers of plain plans, nothing twice, and no other pair touched."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from core.experiments import cell_work
from core.experiments.plans import outcome_json
from core.experiments.work import Lab
from core.extraction.contrast import cosine_interval
from core.series.numbers import standings
from core.series.values import Series, choice_of, choosing_plan, member_plan
from core.values import PairSpec, Window
from core.workbench import Workbench
from tests.series.small import series_on, trained


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def open_bench():
    """Opens workbenches without the embedded traces."""
    benches = []

    def opened(folder):
        benches.append(Workbench(folder))
        return benches[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("core.workbench.example_traces", tuple)
        yield opened
    for bench in benches:
        bench.close()


@pytest.fixture(scope="module")
def whole(run, open_bench, tmp_path_factory):
    """A workbench, the series, and what came out of it without an interruption."""
    bench = open_bench(tmp_path_factory.mktemp("whole"))
    series = series_on(run, bench)
    return bench, series, measured(bench, series)


def measured(bench: Workbench, series) -> Series:
    done = bench.engine.wait(bench.series.run(series), 240)
    assert done.state == "done", done.error
    return done.outcome


def test_every_checkpoint_has_the_numbers_of_a_plain_plan_on_its_pair(run, whole, open_bench, tmp_path):
    bench, series, found = whole
    assert found.finished
    assert [one.member.step for one in found.measured] == [0, 2, 4, 6]
    choice = choice_of(series, found.choosing)
    plain = open_bench(tmp_path / "plain")
    series_on(run, plain)
    assert bench.pair.spec is None
    for one in found.measured:
        plan = member_plan(series, one.member, choice)
        assert (plan.fixed.layer, plan.fixed.window, plan.fixed.dose) == (
            choice.layer,
            choice.window,
            choice.coefficient,
        )
        assert plain.engine.wait(plain.load_pair(one.member.pair), 60).state == "done"
        set_id = plain.trace_sets.list()[0].set_id
        done = plain.engine.wait(plain.run_plan(replace(plan, traces=replace(plan.traces, name=set_id))), 120)
        assert done.state == "done", done.error
        assert outcome_json(replace(done.outcome, plan=plan)) == outcome_json(one.outcome)
    assert bench.series.load(series) == found


def test_what_is_chosen_is_what_a_plain_plan_chooses_on_the_last_checkpoint(whole):
    bench, series, found = whole
    plan = choosing_plan(series)
    assert plan.pair == series.members[-1].pair
    assert found.choosing.choice.n_compared > 1
    assert bench.engine.wait(bench.load_pair(plan.pair), 60).state == "done"
    done = bench.engine.wait(bench.run_plan(plan), 120)
    assert done.outcome.choice == found.choosing.choice
    assert {one.chosen.coefficient for one in standings(found)} == {found.choosing.choice.coefficient}


def test_nothing_is_run_twice_and_the_base_model_is_read_once(run, open_bench, tmp_path, monkeypatch):
    read = []
    before = Lab._table

    def counted(self, spec, traces):
        read.append(spec.fingerprint)
        return (yield from before(self, spec, traces))

    monkeypatch.setattr(Lab, "_table", counted)
    bench = open_bench(tmp_path)
    series = series_on(run, bench)
    found = measured(bench, series)
    assert len(read) == len(set(read)) == 1 + len(series.members)
    monkeypatch.setattr(cell_work, "run_cell", lambda *_, **__: pytest.fail("a cell was run again"))
    monkeypatch.setattr("core.models.loaded.load_model", lambda *_, **__: pytest.fail("a model was loaded again"))
    assert measured(bench, series) == found


def test_a_stopped_one_goes_on_and_runs_every_cell_once(run, whole, open_bench, tmp_path, monkeypatch):
    made = []
    before = cell_work.run_cell

    def counted(loaded, spec, **options):
        made.append(cell_work.codec.key_of(cell_work.KIND, spec))
        return (yield from before(loaded, spec, **options))

    monkeypatch.setattr(cell_work, "run_cell", counted)
    bench = open_bench(tmp_path / "stopped")
    series = series_on(run, bench)
    job = bench.series.run(series)
    deadline = time.monotonic() + 120
    while bench.engine.snapshot(job).progress.done < 2.5:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    bench.engine.stop(job)
    assert bench.engine.wait(job, 60).state == "cancelled"
    assert 1 <= bench.series.load(series).n_done < 4
    again = measured(bench, series)
    assert len(made) == len(set(made))
    assert [outcome_json(one.outcome) for one in again.measured] == [
        outcome_json(replace(other.outcome, plan=one.outcome.plan))
        for one, other in zip(again.measured, whole[2].measured, strict=True)
    ]


def test_another_process_over_the_same_store_ends_with_the_same(run, open_bench, tmp_path):
    bench = open_bench(tmp_path)
    series = series_on(run, bench)
    series = replace(series, members=series.members[-2:])
    helping, running = bench.series.help(series), bench.series.run(series)
    found = bench.engine.wait(running, 240)
    assert found.state == "done", found.error
    assert bench.engine.wait(helping, 60).state == "done"
    assert found.outcome == bench.series.load(series)


def test_the_pair_of_the_pages_stays(run, open_bench, tmp_path):
    bench = open_bench(tmp_path)
    pair = PairSpec(base=run.record().spec.base, reasoner=run.record().spec.base)
    assert bench.engine.wait(bench.load_pair(pair), 60).state == "done"
    series = series_on(run, bench)
    measured(bench, replace(series, members=series.members[-2:]))
    assert bench.pair.holds(pair)
    assert bench.pair.encode("reasoner", "What is 2 plus 3?").token_ids


def test_cosines_of_the_two_directions_are_those_of_the_sums(whole):
    bench, _, found = whole
    window = found.choosing.choice.window
    first, last = found.measured[0], found.measured[-1]
    assert [row.layer for row in first.cosines] == [0, 2]
    for row in first.cosines:
        assert row.cosine > 0.9, "the same weights, each asked in its own frame"
    moments = {spec.fingerprint: spec for spec in bench.moments.stored()}
    base, reasoner = (bench.moments.get(moments[mark]) for mark in last.member.fingerprints)
    for row in last.cosines:
        ends = cosine_interval(base, reasoner, "backtracking", layer=row.layer, window=window)
        assert (row.cosine, row.low, row.high, row.n) == (
            pytest.approx(ends.mean, abs=1e-5),
            pytest.approx(ends.low),
            pytest.approx(ends.high),
            ends.n,
        )
        assert ends.low <= ends.mean <= ends.high <= 1
        same = cosine_interval(base, base, "backtracking", layer=row.layer, window=window)
        assert (same.mean, same.low, same.high) == (pytest.approx(1.0), pytest.approx(1.0), pytest.approx(1.0))


def test_a_place_that_the_plan_fixes_is_not_chosen_again(run, open_bench, tmp_path):
    bench = open_bench(tmp_path)
    plan = series_on(run, bench).plan
    fixed = replace(plan.fixed, layer=2, window=Window(start=-2, stop=1), dose=3.0)
    series = series_on(run, bench, fixed=fixed, doses=replace(plan.doses, unit="unit", values=(3.0,)))
    assert choosing_plan(series) is None
    found = measured(bench, replace(series, members=series.members[:2]))
    assert {(one.chosen.layer, one.chosen.coefficient) for one in standings(found)} == {(2, 3.0)}
    shared = series_on(run, bench, fixed=replace(fixed, dose=1.0))
    chosen = choosing_plan(shared)
    assert chosen is not None
    found = measured(bench, replace(shared, members=shared.members[-2:]))
    (edge,) = found.choosing.edges
    assert found.choosing.choice.coefficient == pytest.approx(edge.coefficient, rel=1e-3)
