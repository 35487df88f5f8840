"""A plan whose cells workers make comes to what one process finds, whatever becomes of the workers."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import threading
import time
from dataclasses import replace

import psutil
import pytest

from core import engine
from core.disk import codec
from core.disk.leases import Leases
from core.errors import BadInput
from core.experiments import cell_work
from core.experiments.cell_work import LEASES
from core.experiments.plans import outcome_json
from core.experiments.values import ControlPlan, Doses
from core.fleet import on_ray
from core.fleet.hands import Task
from core.fleet.member import Member
from core.fleet.on_ray import ray_fleet
from core.fleet.values import FleetSpec
from core.jobs import Caller
from core.runs.cells import DoseCell, DoseCellSpec
from core.values import Window
from tests.experiments.test_work import open_bench, pair, plan_for, run  # noqa: F401
from tests.fleet.local_hands import LocalHands

NEEDS_RAY = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="Ray is not installed: pip install -r requirements-ray.txt"
)


@pytest.fixture(scope="module")
def ray_starts():
    """Skips where this machine does not let Ray begin a cluster, which says nothing of the project."""
    try:
        with ray_fleet(FleetSpec(address="local")):
            pass
    except BadInput:
        raise
    except Exception as error:
        pytest.skip(f"Ray does not start on this machine: {error}")


def small_plan_for(bench):
    """Searched doses, a chosen place, every kind of arm; few cells."""
    return plan_for(
        bench,
        figures=("fig3", "fig4"),
        windows=(Window(start=-2, stop=1),),
        layers=(1,),
        doses=Doses(values=(1.0,)),
        controls=ControlPlan(random=2, matched=0, curves=0),
        block=5,
    )


def same(outcome, other):
    return outcome_json(replace(outcome, provenance=())) == outcome_json(replace(other, provenance=()))


def bytes_of(bench, outcome):
    """The cells of every point as they are stored, without the day."""
    keys = {key for point in (*outcome.chosen_from, *outcome.reported) for key in point.cells}
    return {key: codec.dump(bench.store.get_by_key(DoseCell, key)) for key in keys}


def cells_of(bench):
    """By key, when each cell was kept."""
    return {one.key: one.stored_at for one in bench.store.recent(cell_work.KIND, DoseCell, 999)}


def run_with(bench, plan, spec):
    done = bench.engine.wait(bench.run_plan(plan, fleet=spec), 240)
    assert done.state == "done", done.error
    return done.outcome


@pytest.fixture
def in_here(monkeypatch):
    """Workers of this process in the place of Ray's."""

    def use(hands):
        @contextlib.contextmanager
        def fleet(spec, tell):
            try:
                yield hands
            finally:
                hands.close()

        monkeypatch.setattr(on_ray, "ray_fleet", fleet)
        return hands

    return use


def test_workers_make_what_one_process_makes_each_cell_once_and_are_ended(open_bench, tmp_path, in_here, monkeypatch):  # noqa: F811
    alone = open_bench(tmp_path / "alone")
    plan = small_plan_for(alone)
    expected = run(alone, plan)
    keys = bytes_of(alone, expected)
    lost = []

    def is_lost(worker, ticket, task):
        lost.append(ticket)
        return len(lost) % 7 == 3

    hands = in_here(LocalHands(2, Member, is_lost))
    bench = open_bench(tmp_path / "shared")
    monkeypatch.setattr(cell_work, "run_cell", lambda *_, **__: pytest.fail("the writer made a cell itself"))
    outcome = run_with(bench, plan, FleetSpec(workers=2))
    assert same(outcome, expected)
    assert bytes_of(bench, outcome) == keys
    assert hands.closed
    assert all(hands.done[worker] > 3 for worker in range(2))
    before = sum(hands.done.values())
    assert same(run_with(bench, plan, FleetSpec(workers=2)), expected)
    assert sum(hands.done.values()) == before, "what was kept was made again"
    with contextlib.ExitStack() as stack:
        leases = Leases(bench.store.root / LEASES)
        assert all(stack.enter_context(leases.taken(key)) for key in list(keys)[:3]), "a lease was left"


def test_a_model_that_no_worker_holds_is_not_left_until_the_others_cells_are_made(open_bench, tmp_path, in_here):  # noqa: F811
    bench, hands = open_bench(tmp_path), in_here(LocalHands(2))
    given = []
    give = hands.give

    def noted(worker, ticket, task):
        if task.does == "cell":
            given.append(codec.load(DoseCellSpec, task.data).fingerprint)
        give(worker, ticket, task)

    hands.give = noted
    outcome = run_with(bench, small_plan_for(bench), FleetSpec(workers=2))
    base, reasoner = outcome.fingerprints
    assert given.index(base) < given.count(reasoner) / 2


def test_closing_the_page_changes_nothing_and_another_page_follows_it(open_bench, tmp_path, in_here, monkeypatch):  # noqa: F811
    monkeypatch.setattr(engine, "_ABANDONED_AFTER", 0.0)
    monkeypatch.setattr(engine, "_WATCH_EVERY", 0.0)
    bench, hands, spec = open_bench(tmp_path), in_here(LocalHands(2)), FleetSpec(workers=2)
    plan = small_plan_for(bench)
    hands.up = frozenset()
    job = bench.run_plan(plan, Caller(owner="closed", is_watching=lambda: False), spec)
    while "waiting for workers" not in (snapshot := bench.engine.snapshot(job)).progress.message:
        assert snapshot.live
        time.sleep(0.01)
    assert bench.run_plan(plan, Caller(owner="other"), spec) == job
    hands.up = frozenset({0, 1})
    assert bench.engine.wait(job, 120).outcome.finished


def test_a_driver_that_ends_is_gone_on_with_by_the_next(open_bench, tmp_path, in_here):  # noqa: F811
    first, spec = open_bench(tmp_path), FleetSpec(workers=2)
    in_here(LocalHands(2))
    plan = small_plan_for(first)
    job = first.run_plan(plan, fleet=spec)
    while len(cells_of(first)) < 3:
        assert first.engine.snapshot(job).live
        time.sleep(0.01)
    first.close()
    kept, again = cells_of(first), in_here(LocalHands(2))
    second = open_bench(tmp_path)
    outcome = run_with(second, plan, spec)
    cells = cells_of(second)
    assert kept.items() <= cells.items()
    assert sum(again.done.values()) == len(cells) - len(kept)
    assert outcome.finished


def test_other_weights_on_a_worker_are_refused_by_name(open_bench, tmp_path, in_here):  # noqa: F811
    bench = open_bench(tmp_path)
    plan = plan_for(bench)

    class Other(Member):
        def _model(self, spec, fingerprint):
            return super()._model(spec, "0" * len(fingerprint))

    in_here(LocalHands(2, Other))
    done = bench.engine.wait(bench.run_plan(plan, fleet=FleetSpec(workers=2)), 120)
    assert done.state == "error"
    assert "other weights on this worker" in done.error.problem


def test_without_ray_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setattr(on_ray.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BadInput, match=r"Ray is not installed\..*requirements-ray\.txt"), ray_fleet(FleetSpec()):
        pass


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"address": "http://x/../y"}, "no address of a Ray cluster"),
        ({"address": "ray://"}, "no address of a Ray cluster"),
        ({"workers": 0}, "0 workers were asked for"),
        ({"workers": 5000}, "5000 workers"),
        ({"gpus": -1}, "-1 cards"),
        ({"gpus": 2}, "2 cards"),
        ({"gpus": float("nan")}, "nan cards"),
    ],
)
def test_a_fleet_that_cannot_be_is_refused(fields, says):
    with pytest.raises(BadInput, match=says):
        FleetSpec(**fields)


@NEEDS_RAY
@pytest.mark.slow
def test_ray_workers_make_the_same_cells_though_one_is_killed(ray_starts, open_bench, tmp_path):  # noqa: F811
    alone = open_bench(tmp_path / "alone")
    plan = small_plan_for(alone)
    expected = run(alone, plan)
    bench = open_bench(tmp_path / "shared")
    killed = []

    def kill_one():
        """The first worker that is seen, whatever it is at."""
        mine, ended = psutil.Process(), time.monotonic() + 120
        while time.monotonic() < ended and not killed:
            for process in mine.children(recursive=True):
                with contextlib.suppress(psutil.Error, ProcessLookupError):
                    if "Member" in process.name() + " ".join(process.cmdline()):
                        os.kill(process.pid, signal.SIGKILL)
                        killed.append(process.pid)
                        return
            time.sleep(0.05)

    killer = threading.Thread(target=kill_one)
    killer.start()
    outcome = run_with(bench, plan, FleetSpec(address="local", workers=2))
    killer.join()
    assert killed
    assert same(outcome, expected)
    assert bytes_of(bench, outcome) == bytes_of(alone, expected)


@NEEDS_RAY
@pytest.mark.slow
def test_a_cluster_that_does_not_answer_is_said():
    with (
        pytest.raises(BadInput, match=r"No Ray cluster answers at 127\.0\.0\.1:9"),
        ray_fleet(FleetSpec(address="127.0.0.1:9")),
    ):
        pass


@NEEDS_RAY
@pytest.mark.slow
def test_a_cluster_with_less_than_is_asked_for_is_said(ray_starts):
    with (
        pytest.raises(BadInput, match="2 workers take 2 cards; the cluster has 0"),
        ray_fleet(FleetSpec(address="local", workers=2, gpus=1)),
    ):
        pass


def test_a_worker_of_another_version_does_nothing():
    answer = Member().do(3, Task(does="cell", data=b"", source="other"))
    assert (answer.ticket, answer.outcome) == (3, "unable")
    assert "another version" in answer.why
