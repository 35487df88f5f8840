"""A command on a Ray cluster that is killed: nothing of it is left but what it kept, and the next one goes on."""

from __future__ import annotations

import contextlib
import signal
import time

import psutil
import pytest

from core.disk.store import Store
from core.experiments.cell_work import KIND
from core.runs.cells import DoseCell
from tests.fleet.test_cells import NEEDS_RAY, ray_starts  # noqa: F401
from tests.retrace.test_runs import ended, files_of, paper, paper_words, started, traces, whole  # noqa: F401


def cells_in(cache):
    """By key, when each cell was kept."""
    with contextlib.closing(Store(cache)) as store:
        return {one.key: one.stored_at for one in store.recent(KIND, DoseCell, 999)}


@NEEDS_RAY
@pytest.mark.slow
def test_a_killed_command_leaves_no_worker_and_no_cluster_and_the_next_one_goes_on(ray_starts, whole, traces, tmp_path):  # noqa: F811
    cache, out = tmp_path / "cache", tmp_path / "out"
    process = started(*paper_words(traces, out), "--ray", "local", "--workers", 2, cache=cache)
    until = time.monotonic() + 150
    while not cells_in(cache):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.05)
    beside = [one for one in psutil.Process(process.pid).children(recursive=True) if "Agent" not in one.name()]
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert beside
    assert not psutil.wait_procs(beside, 60)[1]
    kept = cells_in(cache)
    code, _, err = ended(paper(traces, cache, out))
    assert code == 0, err
    assert files_of(out) == files_of(whole[1])
    assert kept.items() <= cells_in(cache).items()
    assert cells_in(cache).keys() == cells_in(whole[0]).keys()
