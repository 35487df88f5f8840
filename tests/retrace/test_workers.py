"""Several processes on one plan: the same results as one, and none that outlives the command."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from dataclasses import replace

import pytest

from core.errors import BadInput
from core.experiments.plans import read_plan
from core.settings import PROJECT
from retrace import workers
from retrace.workers import count_workers
from tests.retrace.test_runs import ended, files_of, paper, paper_words, results, started, traces, whole  # noqa: F401

PLAN = read_plan((PROJECT / "demo" / "plans" / "fig3.json").read_bytes())


def on_device(plan, device):
    models = {role: replace(getattr(plan.pair, role), device=device) for role in ("base", "reasoner")}
    return replace(plan, pair=replace(plan.pair, **models))


def test_a_small_model_on_the_cpu_has_a_process_a_core(monkeypatch):
    monkeypatch.setattr(workers, "usable_cores", lambda: 3)
    assert count_workers(PLAN, None) == 3
    assert count_workers(PLAN, 2) == 2
    assert count_workers(on_device(PLAN, "cuda"), None) == 1
    monkeypatch.setattr(workers, "SMALL_D_MODEL", 1)
    assert count_workers(PLAN, None) == 1


@pytest.mark.parametrize("asked", [0, -1, 65])
def test_a_number_of_processes_that_is_none_is_refused(asked):
    with pytest.raises(BadInput, match="--workers"):
        count_workers(PLAN, asked)


def children(process):
    found = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=False)
    return [int(line) for line in found.stdout.split()]


def is_alive(pid):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 0)
        state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
        return bool(state.stdout.strip()) and not state.stdout.startswith("Z")
    return False


def await_children(process):
    until = time.monotonic() + 60
    while not (found := children(process)):
        assert time.monotonic() < until
        assert process.poll() is None
        time.sleep(0.05)
    return found


def test_two_processes_leave_the_folder_that_one_leaves(whole, traces, tmp_path):  # noqa: F811
    process = started(*paper_words(traces, tmp_path / "out"), "--workers", 2, cache=tmp_path / "cache")
    (helper,) = await_children(process)
    code, _, err = ended(process)
    assert code == 0, err
    assert "failed" not in err
    assert files_of(tmp_path / "out") == files_of(whole[1])
    assert results(tmp_path / "out").reported == results(whole[1]).reported
    assert not is_alive(helper)


def test_a_killed_command_leaves_no_process_behind_and_the_next_one_goes_on(whole, traces, tmp_path):  # noqa: F811
    process = started(*paper_words(traces, tmp_path / "out"), "--workers", 2, cache=tmp_path / "cache")
    (helper,) = await_children(process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    until = time.monotonic() + 60
    while is_alive(helper):
        assert time.monotonic() < until
        time.sleep(0.1)
    code, _, err = ended(paper(traces, tmp_path / "cache", tmp_path / "out"))
    assert code == 0, err
    assert files_of(tmp_path / "out") == files_of(whole[1])
