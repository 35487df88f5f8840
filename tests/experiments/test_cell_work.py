"""Processes that share a store measure a plan together: every cell once, and what comes out is what one alone finds."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from core.disk import codec
from core.disk.leases import Leases
from core.experiments import cell_work
from core.experiments.arms import unsteered_arm
from core.experiments.cell_work import KIND, LEASES, CellWork, tokens_of
from core.experiments.plans import outcome_json
from core.experiments.points import Setting, Want
from core.jobs import Progress, finish
from core.models.pair import ROLES
from core.runs.work import run_cell
from tests.experiments.test_work import open_bench, pair, plan_for, run  # noqa: F401


@pytest.fixture
def made(monkeypatch):
    """How often each cell is made, by key."""
    found: Counter[str] = Counter()

    def counted(loaded, spec, **options):
        found[codec.key_of(KIND, spec)] += 1
        return (yield from run_cell(loaded, spec, **options))

    monkeypatch.setattr(cell_work, "run_cell", counted)
    return found


def in_turn(*works):
    """The works of processes, a step of each in turn; what each returned, and how many steps it took."""
    ended, steps = {}, Counter()
    while len(ended) < len(works):
        for i, work in enumerate(works):
            if i in ended:
                continue
            try:
                next(work)
                steps[i] += 1
            except StopIteration as stop:
                ended[i] = stop.value
    return [ended[i] for i in range(len(works))]


def same(outcome, other):
    return outcome_json(replace(outcome, provenance=())) == outcome_json(replace(other, provenance=()))


def test_two_on_one_store_make_every_cell_once_and_find_what_one_alone_finds(open_bench, tmp_path, made):  # noqa: F811
    alone = open_bench(tmp_path / "alone")
    plan = plan_for(alone)
    expected = run(alone, plan)
    by_one = Counter(made)
    made.clear()
    first, second = open_bench(tmp_path / "shared"), open_bench(tmp_path / "shared")
    speeds = []
    work = first._lab.run(plan)
    by_first = Counter()

    def counting():
        before = sum(made.values())
        for progress in iter(lambda: next(work, None), None):
            by_first["cells"] += sum(made.values()) - before
            speeds.append(progress.seconds_left)
            yield progress
            before = sum(made.values())

    in_turn(counting(), second._lab.help(plan))
    assert same(first.experiments.outcome(first.experiments.list()[0].experiment_id), expected)
    assert made == by_one
    assert set(made.values()) == {1}
    assert 0.25 < by_first["cells"] / sum(made.values()) < 0.75
    assert any(left is not None and left == left for left in speeds)


def setting_of(bench, plan):
    prompts = {
        (role, half): tuple(bench.pair.encode(role, one.prompt) for one in plan.questions(half))
        for role in ROLES
        for half in ("choose", "report")
    }
    return Setting(plan=plan, facts={role: bench.pair.facts(role) for role in ROLES}, prompts=prompts)


def test_a_cell_that_another_process_is_at_is_waited_for_and_what_comes_next_is_made(open_bench, tmp_path, made):  # noqa: F811
    bench = open_bench(tmp_path)
    setting = setting_of(bench, plan_for(bench))
    later = Want(arm=unsteered_arm("base"), coefficient=0.0, half="choose")
    want = Want(arm=unsteered_arm("reasoner"), coefficient=0.0, half="choose", ahead=(later,))
    work = CellWork(bench.store, bench.pair, setting, 1000)
    asked, after = setting.cells(want), setting.cells(later)
    held = codec.key_of(KIND, asked[0])
    going = work.of(want, lambda message: Progress(0, 1, message))
    with Leases(bench.store.root / LEASES).taken(held) as ours:
        assert ours
        waited = next(progress for progress in going if progress.waiting)
        assert "in another process" in waited.message
        assert set(made) == {codec.key_of(KIND, spec) for spec in (*asked[1:], *after)}
    assert [cell.spec for cell in finish(going)] == list(asked)
    assert set(made.values()) == {1}
    assert work._left == 1000 - sum(map(tokens_of, asked))


def test_a_disk_that_keeps_nothing_is_no_loop(open_bench, tmp_path, monkeypatch, made):  # noqa: F811
    bench = open_bench(tmp_path)
    setting = setting_of(bench, plan_for(bench))
    monkeypatch.setattr(bench.store, "put", lambda *_: False)
    want = Want(arm=unsteered_arm("reasoner"), coefficient=0.0, half="report")
    found = finish(CellWork(bench.store, bench.pair, setting, 1).of(want, lambda message: Progress(0, 1, message)))
    assert [cell.spec for cell in found] == list(setting.cells(want))
    assert len(found) > 1
    assert set(made.values()) == {1}
