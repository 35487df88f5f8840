"""One holder at a time, among threads and processes; a killed process holds nothing."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from core.disk.leases import Leases

HOLDER = """
import sys, time
from pathlib import Path
from core.disk.leases import Leases
with Leases(Path(sys.argv[1])).taken("cell") as ours:
    print(ours, flush=True)
    time.sleep(60)
"""
ROOT = Path(__file__).resolve().parents[2]


def test_a_key_is_held_once_and_free_afterwards(tmp_path):
    one, two = Leases(tmp_path / "leases"), Leases(tmp_path / "leases")
    with one.taken("cell") as first, two.taken("cell") as second, one.taken("cell") as third:
        assert (first, second, third) == (True, False, False)
    with two.taken("cell") as now:
        assert now


def test_keys_of_different_slots_do_not_stand_in_each_others_way(tmp_path):
    leases = Leases(tmp_path)
    with leases.taken("a") as one, leases.taken("b") as two:
        assert one
        assert two
    assert len(list(tmp_path.iterdir())) == 2


def test_a_killed_process_holds_nothing(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "True\n"
        with Leases(tmp_path).taken("cell") as ours:
            assert not ours
        holder.send_signal(signal.SIGKILL)
        holder.wait(10)
    with Leases(tmp_path).taken("cell") as ours:
        assert ours


def test_where_no_lock_file_can_be_made_everybody_works_alone(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with Leases(tmp_path / "file").taken("cell") as ours:
        assert ours
