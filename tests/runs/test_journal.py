"""What a run has written survives its process, and only then is the run called interrupted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from core.runs.journal import RunJournal
from tests import stored_values as sv

CHILD = """
import sys, time
from tests import stored_values as sv
from pathlib import Path
from core.runs.journal import RunJournal
log = RunJournal(Path(sys.argv[1])).begin("run-1", (sv.generation_spec(), sv.generation_spec(1)), meta={"page": "play"})
for number in range(50):
    log.append(number, f" t{number}", lane=number % 2)
print("written", flush=True)
time.sleep(60)
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def begun(journal: RunJournal, run_id: str = "run", *, tokens: int = 3):
    run_log = journal.begin(run_id, (sv.generation_spec(),), meta={"page": "play"})
    for number in range(tokens):
        run_log.append(number, f" t{number}")
    return run_log


def test_a_killed_process_leaves_its_text(root):
    env = os.environ | {"PYTHONPATH": "."}
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(root)], env=env, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "written\n"
    journal = RunJournal(root)
    assert journal.interrupted() == []
    assert not journal.discard("run-1")
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    (run,) = RunJournal(root).interrupted()
    assert (run.run_id, run.meta) == ("run-1", {"page": "play"})
    assert [g.text for g in run.generations] == ["".join(f" t{n}" for n in range(k, 50, 2)) for k in (0, 1)]
    assert {g.stop_reason for g in run.generations} == {"interrupted"}
    sv.assert_same(run.generations[1].spec, sv.generation_spec(1))
    assert journal.discard("run-1")
    assert journal.interrupted() == []


def test_a_running_run_is_not_interrupted_and_a_closed_one_is(root):
    journal = RunJournal(root)
    run_log = begun(journal)
    assert journal.interrupted() == []
    assert not journal.discard("run")
    run_log.close()
    (run,) = journal.interrupted()
    assert run.generations[0].token_ids == (0, 1, 2)


@pytest.mark.parametrize("stop_reason", ["eos", "cancelled", "error"])
def test_a_finished_run_leaves_no_log(root, stop_reason):
    journal = RunJournal(root)
    run_log = begun(journal)
    run_log.finish(stop_reason)
    run_log.append(9, "late")
    run_log.finish(stop_reason)
    assert list((root / "runs").iterdir()) == []
    assert journal.interrupted() == []


def test_a_run_that_ended_but_kept_its_log_is_swept(root, monkeypatch):
    run_log = begun(RunJournal(root))
    monkeypatch.setattr(Path, "unlink", lambda self, missing_ok=False: None)
    run_log.finish("eos")
    monkeypatch.undo()
    assert RunJournal(root).interrupted() == []
    assert list((root / "runs").iterdir()) == []


def test_any_cut_of_a_log_gives_a_prefix(root):
    journal = RunJournal(root)
    begun(journal, tokens=6).close()
    path = root / "runs" / "run.jsonl"
    data = path.read_bytes()
    header = data.index(b"\n") + 1
    for length in [*range(0, header, 97), *range(header - 2, len(data))]:
        path.write_bytes(data[:length])
        runs = journal.interrupted()
        assert len(runs) == (length >= header)
        if runs:
            complete = data[header:length].count(b"\n")
            assert runs[0].generations[0].token_ids == tuple(range(complete))


def test_a_damaged_line_ends_the_text_before_it(root):
    journal = RunJournal(root)
    begun(journal, tokens=6).close()
    path = root / "runs" / "run.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    lines[4] = lines[4].replace(b" t3", b" tX")
    path.write_bytes(b"".join(lines))
    assert journal.interrupted()[0].generations[0].token_ids == (0, 1, 2)


def test_a_log_without_a_header_is_swept_and_a_foreign_one_is_left(root):
    begun(RunJournal(root)).close()
    (root / "runs" / "torn.jsonl").write_bytes(b"0000")
    (root / "runs" / "foreign.jsonl").write_bytes(b"some notes\nof mine\n")
    (root / "runs" / "notes.txt").write_text("mine")
    journal = RunJournal(root)
    assert [run.run_id for run in journal.interrupted()] == ["run"]
    assert {p.name for p in (root / "runs").iterdir()} == {"run.jsonl", "foreign.jsonl", "notes.txt"}


def test_interrupted_runs_are_newest_first(root):
    journal = RunJournal(root)
    for number in range(3):
        begun(journal, f"run-{number}").close()
    assert [run.run_id for run in journal.interrupted()] == ["run-2", "run-1", "run-0"]


def test_odd_pieces_survive(root):
    journal = RunJournal(root)
    run_log = journal.begin("run", (sv.generation_spec(),))
    pieces = ("\n", '"\\', "\udcff", "𝔘", "", "</script>", "\u2028")
    for number, piece in enumerate(pieces):
        run_log.append(number, piece)
    run_log.close()
    assert journal.interrupted()[0].generations[0].pieces == pieces


@pytest.mark.parametrize("run_id", ["", "..", "../x", "a/b", "/x", "-x", ".x", "a" * 81, "a\n", "a b"])
def test_an_id_that_is_no_plain_word_is_refused(root, run_id):
    journal = RunJournal(root)
    with pytest.raises(ValueError, match="run id"):
        journal.begin(run_id, ())
    with pytest.raises(ValueError, match="run id"):
        journal.discard(run_id)


def test_a_used_id_is_refused_and_its_log_kept(root):
    journal = RunJournal(root)
    begun(journal).close()
    with pytest.raises(ValueError, match="log already"):
        journal.begin("run", (sv.generation_spec(),))
    assert len(journal.interrupted()) == 1


def test_a_fault_of_the_disk_ends_the_log_not_the_run(root, monkeypatch):
    journal = RunJournal(root)
    run_log = begun(journal)

    def full(fd, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    run_log.append(3, " t3")
    other = journal.begin("other", (sv.generation_spec(),))
    other.append(1, "x")
    monkeypatch.undo()
    run_log.append(4, " t4")
    other.close()
    assert [run.generations[0].token_ids for run in journal.interrupted()] == [(0, 1, 2)]
    run_log.finish("eos")
    assert journal.interrupted() == []


def test_a_folder_that_cannot_be_made_is_no_error(tmp_path):
    (tmp_path / "file").write_text("in the way")
    journal = RunJournal(tmp_path / "file")
    run_log = begun(journal)
    run_log.finish("eos")
    assert journal.interrupted() == []
    assert not journal.discard("run")


def test_lanes_may_be_written_by_several_threads(root):
    journal = RunJournal(root)
    run_log = journal.begin("run", tuple(sv.generation_spec(n) for n in range(4)))

    def write(lane: int) -> None:
        for number in range(200):
            run_log.append(number, f" {lane}", lane=lane)

    threads = [threading.Thread(target=write, args=(lane,)) for lane in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    run_log.close()
    for lane, generation in enumerate(journal.interrupted()[0].generations):
        assert generation.token_ids == tuple(range(200))
        assert set(generation.pieces) == {f" {lane}"}
