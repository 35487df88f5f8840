"""Joining a cluster and leaving it: beside all other work, one at a time, and in words where it cannot be."""

from __future__ import annotations

import contextlib
import socket
import threading

import pytest

from core.background import silent
from core.engine import Engine
from core.errors import BadInput
from core.fleet import on_ray
from core.fleet.on_ray import last_line, refusal, with_workers
from core.fleet.values import FleetSpec
from core.jobs import Progress, finish
from tests.fleet.local_hands import LocalHands
from tests.fleet.test_cells import NEEDS_RAY

SPEC = FleetSpec(address="local", workers=2)


@pytest.fixture
def cluster(monkeypatch):
    """A cluster that is joined once `open` is set: the threads that joined and left it, in order."""

    class Cluster:
        def __init__(self):
            self.open, self.left, self.visits = threading.Event(), threading.Event(), []

    found = Cluster()

    @contextlib.contextmanager
    def fleet(spec, tell=silent):
        found.visits.append(("joins", threading.get_ident()))
        while not found.open.wait(0.01):
            tell("joining the cluster")
        try:
            yield LocalHands(spec.workers)
        finally:
            found.visits.append(("leaves", threading.get_ident()))
            found.left.set()

    monkeypatch.setattr(on_ray, "ray_fleet", fleet)
    yield found
    found.open.set()


def work_of(result):
    def work(hands):
        yield Progress(0, 1, "at work")
        assert hands.n_workers == 2
        return result

    return work


def test_other_jobs_go_on_while_a_cluster_is_joined(cluster):
    engine = Engine()
    job = engine.submit("plan", with_workers(SPEC, work_of("done")))
    for i in range(3):
        other = engine.submit("other", iter_of(i))
        assert engine.wait(other, 5).outcome == i
    assert engine.snapshot(job).live
    cluster.open.set()
    assert engine.wait(job, 5).outcome == "done"
    (_, joined), (_, left) = cluster.visits
    assert joined == left != threading.get_ident()


def iter_of(result):
    yield Progress(0, 1)
    return result


def test_a_stop_while_a_cluster_is_joined_takes_effect_at_once_and_the_cluster_is_left(cluster):
    engine = Engine()
    job = engine.submit("plan", with_workers(SPEC, work_of("done")))
    while engine.snapshot(job).progress.message != "joining the cluster":
        assert engine.snapshot(job).live
    engine.stop(job)
    assert engine.wait(job, 1).state == "cancelled"
    cluster.open.set()
    again = engine.submit("plan", with_workers(SPEC, work_of("again")))
    assert engine.wait(again, 5).outcome == "again"
    assert [what for what, _ in cluster.visits[-2:]] == ["joins", "leaves"]


def test_a_second_plan_waits_for_the_first_to_leave(cluster):
    cluster.open.set()
    over = threading.Event()

    def long(hands):
        while not over.is_set():
            yield Progress(0, 1, "at work", waiting=True)
        return "first"

    engine = Engine()
    first, second = (engine.submit("plan", with_workers(SPEC, work)) for work in (long, work_of("second")))
    while "other work on workers" not in engine.snapshot(second).progress.message:
        assert engine.snapshot(second).live
    over.set()
    assert engine.wait(first, 5).outcome == "first"
    assert engine.wait(second, 5).outcome == "second"
    assert [what for what, _ in cluster.visits] == ["joins", "leaves"] * 2


def test_a_fault_of_the_work_leaves_the_cluster(cluster):
    cluster.open.set()

    def broken(hands):
        yield Progress(0, 1)
        raise BadInput("No.", "Other.")

    with pytest.raises(BadInput, match=r"No\. Other\."):
        finish(with_workers(SPEC, broken))
    assert cluster.left.wait(5)


def test_a_cluster_of_another_version_is_named_with_both():
    error = RuntimeError(
        "Version mismatch: The cluster was started with:\n    Ray: 2.9.3\n    Python: 3.11.2\n"
        "This process on node 10.0.0.7 was started with:\n    Ray: 2.60.0\n    Python: 3.11.2\n"
    )
    found = refusal("10.0.0.1:6379", error)
    assert found.problem == "The cluster runs another version of Ray or Python."
    assert "requirements-ray.txt on every host" in found.remedy
    assert "Ray: 2.9.3" in found.remedy
    assert "Ray: 2.60.0" in found.remedy
    assert "No Ray cluster answers at 10.0.0.1:6379" in refusal("10.0.0.1:6379", ConnectionError("x")).problem


@pytest.mark.parametrize(
    ("says", "is_ray"), [(b"HTTP/1.1 400 Bad\r\n", False), (b"", False), (b"\0\0\x06\x04\0", True)]
)
def test_who_listens_but_is_no_ray_is_refused_before_ray_waits_for_it(says, is_ray, monkeypatch):
    monkeypatch.setattr(on_ray, "KNOCK_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server, contextlib.ExitStack() as stack:

        def answer():
            line, _ = server.accept()
            stack.enter_context(line)
            line.sendall(says)

        threading.Thread(target=answer, daemon=True).start()
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with contextlib.nullcontext() if is_ray else pytest.raises(OSError):
            on_ray._knock(address)


@NEEDS_RAY
def test_what_ray_says_of_another_version_is_understood():
    from ray._private.utils import check_version_info

    for ray, python in (("1.2.3", "3.11.2"), ("2.60.0", "3.0.1")):
        with pytest.raises(RuntimeError) as caught:
            check_version_info({"ray_version": ray, "python_version": python}, "node")
        assert "another version of Ray or Python" in refusal("here:1", caught.value).problem


def test_a_cluster_that_asks_for_a_token_is_named():
    found = refusal("10.0.0.1:6379", RuntimeError("RPC error: InvalidAuthToken: Authentication token is missing"))
    assert found.problem == "The Ray cluster at 10.0.0.1:6379 asks for its token."
    assert "RAY_AUTH_MODE=token" in found.remedy


def test_a_loss_is_its_last_line():
    error = RuntimeError("ray::Member.__init__()\n  File x\nModuleNotFoundError: No module named 'core'\n")
    assert last_line(error) == "RuntimeError: ModuleNotFoundError: No module named 'core'"
    assert last_line(ValueError()) == "ValueError: "


@pytest.mark.parametrize("known", ["", "127.0.0.1:9", "no address"])
def test_auto_begins_a_cluster_where_the_known_one_does_not_answer(known, monkeypatch):
    pytest.importorskip("ray", reason="Ray is not installed: pip install -r requirements-ray.txt")
    monkeypatch.setenv("RAY_ADDRESS", known)
    monkeypatch.setattr("ray._private.services.find_bootstrap_address", lambda folder: known or None)
    begun = []
    monkeypatch.setattr("ray.init", lambda **options: begun.append(options["address"]))
    on_ray._connect(FleetSpec(), silent)
    assert begun == ["local"]
