"""Small runs of the embedded pair from the shell: results, going on after any end, and the same cells as the page."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from core.directions.folder import read_direction_bytes
from core.embedded import example_traces
from core.experiments.plans import read_outcome, read_plan
from core.traces.events import BACKTRACKING
from core.traces.records import record_of
from core.workbench import Workbench
from retrace.commands import main
from tests.processes import Forked

ROOT = Path(__file__).resolve().parents[2]
SMALL = shlex.split(
    "--figures fig3,fig4 --choose 2 --report 3 --layers 2 --windows=-7..-2 --layer 2 --window=-7..-2 --unit unit "
    "--doses 2,4 --dose 4 --tokens 5 --random 2 --curves 1 --controls random,flip --block 2 --workers 1"
)


@pytest.fixture(scope="module")
def traces(tmp_path_factory):
    """A file of a few labelled traces with events."""
    found = [trace for trace in example_traces() if any(part.label == BACKTRACKING for part in trace.parts)][:6]
    path = tmp_path_factory.mktemp("traces") / "mine.jsonl"
    path.write_text("".join(json.dumps(record_of(trace)) + "\n" for trace in found), "utf-8")
    return path


ENV = {"PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "LANG": "C"}


def started(*words, cache):
    """A command in an interpreter of its own."""
    command = [sys.executable, "-m", "retrace", *map(str, words), "--cache", str(cache)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL}
    return subprocess.Popen(command, cwd=ROOT, env=ENV, text=True, encoding="utf-8", **pipes)


def forked(*words, cache):
    """A command in a forked process."""
    place = Path(tempfile.mkdtemp(prefix="retrace-command-"))
    argv = [*map(str, words), "--cache", str(cache)]
    return Forked("retrace.commands:main", argv, env=ENV, out=place / "out", log=place / "err")


def ended(process, timeout=120):
    out, err = process.communicate(timeout=timeout)
    assert "Traceback" not in err, err
    return process.returncode, out, err


@pytest.fixture
def here(capsys):
    """A command in this process: (exit code, stdout, stderr)."""

    def run(*words, cache):
        code = main([*map(str, words), "--cache", str(cache)])
        told = capsys.readouterr()
        return code, told.out, told.err

    return run


def paper_words(traces, out):
    return ["paper", *SMALL, "--traces", traces, "--out", out]


def paper(traces, cache, out):
    return forked(*paper_words(traces, out), cache=cache)


@pytest.fixture(scope="module")
def whole(traces, tmp_path_factory):
    """A run without an interruption: (its cache folder, its folder, what it wrote to stdout)."""
    root = tmp_path_factory.mktemp("whole")
    code, out, err = ended(paper(traces, root / "cache", root / "out"))
    assert code == 0, err
    return root / "cache", root / "out", out


def results(folder):
    return read_outcome((folder / "results.json").read_bytes())


def files_of(folder):
    """All files of a run but its results, which have dates; those of the report stand between marks."""
    return {
        str(path.relative_to(folder)): re.sub(rb"<!-- dates -->.*?<!-- end of dates -->", b"", path.read_bytes())
        for path in folder.rglob("*")
        if path.is_file() and path.name != "results.json"
    }


def test_a_run_leaves_plan_results_report_and_figures(whole):
    _, folder, out = whole
    told = json.loads(out)
    assert told["finished"]
    assert [tick["name"] for tick in told["ticks"]] == ["effect", "specific", "only the reasoner", "readable"]
    assert all((folder / name).stat().st_size for name in told["files"])
    assert (folder / "report.html").read_text("utf-8").count("<script") == 0
    assert read_plan((folder / "plan.json").read_bytes()) == results(folder).plan
    assert results(folder).finished
    assert len(results(folder).plan.report) == 3


def test_the_same_command_again_measures_nothing(whole, traces, here):
    cache, folder, out = whole
    before = files_of(folder)
    code, again, err = here(*paper_words(traces, folder), cache=cache)
    assert (code, again) == (0, out)
    assert "measured before" in err
    assert "torch" not in err
    assert files_of(folder) == before


def test_a_report_is_made_again_without_models(whole, monkeypatch, capsys):
    cache, folder, out = whole
    before = files_of(folder)
    (folder / "report.html").unlink()
    assert main(["report", str(folder), "--cache", str(cache)]) == 0
    assert capsys.readouterr().out == out
    assert files_of(folder) == before


def test_the_page_finds_what_the_shell_measured(whole):
    cache, folder, _ = whole
    outcome, bench = results(folder), Workbench(cache)
    try:
        (saved,) = bench.experiments.list()
        assert bench.experiments.outcome(saved.experiment_id) == outcome
        points = (*outcome.chosen_from, *outcome.reported)
        assert points
        for point in points:
            assert all(bench.cell(key) is not None for key in point.cells)
    finally:
        bench.close()


def wait_for(path, process, timeout=90):
    until = time.monotonic() + timeout
    while not path.exists() and process.poll() is None:
        assert time.monotonic() < until, "nothing was measured"
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_goes_on_by_the_same_command_or_on_the_page(whole, traces, tmp_path, here, number):
    cache, out = tmp_path / "cache", tmp_path / "out"
    process = paper(traces, cache, out)
    wait_for(out / "plan.json", process)
    process.send_signal(number)
    code, told, err = ended(process)
    if code == 0:
        pytest.skip("the run was over before the signal came")
    assert (code, told) == (130, "")
    assert "The same command goes on" in err
    assert 0 <= results(out).done < results(whole[1]).done
    if number == signal.SIGINT:
        finish_on_the_page(cache, results(out).plan)
    code, _, err = here(*paper_words(traces, out), cache=cache)
    assert code == 0, err
    assert files_of(out) == files_of(whole[1])
    assert results(out).reported == results(whole[1]).reported
    assert results(out).chosen_from == results(whole[1]).chosen_from


def finish_on_the_page(cache, plan):
    bench = Workbench(cache)
    try:
        assert bench.engine.wait(bench.load_pair(plan.pair)).state == "done"
        assert bench.engine.wait(bench.run_plan(plan)).outcome.finished
    finally:
        bench.close()


def test_a_stop_before_anything_was_measured_leaves_no_folder(traces, tmp_path):
    process = started(*paper_words(traces, tmp_path / "out"), cache=tmp_path / "cache")
    assert process.stderr is not None
    process.stderr.readline()
    process.send_signal(signal.SIGTERM)
    code, out, _ = ended(process)
    assert (code, out) == (130, "")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_killed_at_any_moment_it_goes_on_to_the_same_report(whole, traces, tmp_path, here):
    for points in range(3):
        process = paper(traces, tmp_path / "cache", tmp_path / "out")
        wait_for(tmp_path / "out" / "plan.json", process)
        time.sleep(points / 10)
        process.kill()
        process.communicate()
    code, _, err = here(*paper_words(traces, tmp_path / "out"), cache=tmp_path / "cache")
    assert code == 0, err
    assert files_of(tmp_path / "out") == files_of(whole[1])
    assert not list((tmp_path / "out").rglob(".*"))


def test_directions_are_files_that_pages_and_shell_read(traces, tmp_path, here):
    words = ["extract", "--traces", traces, "--layers", "2,4", "--windows=-7..-2,-13..-8", "--source", "base", "--save"]
    code, out, err = here(*words, "--out", tmp_path / "found", cache=tmp_path / "cache")
    assert code == 0, err
    told = [json.loads(line) for line in out.splitlines()]
    assert [(one["layer"], one["window"]) for one in told] == [
        (layer, window) for layer in (2, 4) for window in ("-7..-2", "-13..-8")
    ]
    for one in told:
        path = Path(one["file"])
        direction = read_direction_bytes(path.read_bytes(), name=path.name)
        assert (direction.layer, dict(direction.provenance)["window"]) == (one["layer"], one["window"])
    bench = Workbench(tmp_path / "cache")
    assert {saved.direction_id for saved in bench.directions.list()} == {one["id"] for one in told}
    bench.close()
    code, again, _ = here(*words, "--out", tmp_path / "found", cache=tmp_path / "cache")
    assert (code, again) == (0, out)
    other = [*words, "--negatives", "other", "--out", tmp_path / "found"]
    code, out, err = here(*other, cache=tmp_path / "cache")
    assert (code, out) == (2, "")
    assert "another direction" in err


STEER = ["steer", "--direction", "demo/directions/base.safetensors", "--tokens", "6"]


def test_completions_are_those_of_the_store(tmp_path, here):
    words = ["--doses", "0,4", "--prompt", "What is 3 + 4?", "--prompt", "“Ünïcode”?", "--temperature", "0.7"]
    code, out, err = here(*STEER, *words, cache=tmp_path)
    assert code == 0, err
    lines = [json.loads(line) for line in out.splitlines()]
    assert [(one["number"], one["coefficient"], one["seed"]) for one in lines] == [
        (1, 0, 0),
        (1, 4, 0),
        (2, 0, 1),
        (2, 4, 1),
    ]
    assert lines[2]["prompt"] == "“Ünïcode”?"
    bench = Workbench(tmp_path)
    stored = {entry.run_id: entry.record.generation for entry in bench.history.entries()}
    bench.close()
    assert {one["run"]: one["text"] for one in lines} == {run: stored[run].text for run in stored}
    assert stored[lines[0]["run"]].spec.steering == ()
    code, again, _ = here(*STEER, *words, cache=tmp_path)
    assert (code, again) == (0, out)


def test_a_reader_that_leaves_ends_the_command_quietly(tmp_path):
    process = started(*STEER, "--doses", "0,4", "--n", "40", cache=tmp_path)
    assert process.stdout is not None
    process.stdout.close()
    process.stdout = None
    code, _, err = ended(process)
    assert code == 0
    assert "Broken pipe" not in err


def test_no_torch_without_a_model(tmp_path):
    script = (
        "import sys\nfrom retrace.commands import main\n"
        "for words in (['plan', 'fig3'], ['report', 'nowhere'], ['run', 'nowhere', '--out', 'x']):\n"
        f"    main([*words, '--cache', {str(tmp_path)!r}])\n"
        "assert not {'torch', 'transformers', 'streamlit', 'altair'} & set(sys.modules), sys.modules.keys()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", ["", "paper", "plan", "run", "extract", "steer", "report"])
def test_help_has_examples(command, capsys):
    with pytest.raises(SystemExit) as leaving:
        main([*command.split(), "--help"])
    assert leaving.value.code == 0
    told = capsys.readouterr().out
    assert "exit codes" in told
    assert not command or f"python -m retrace {command}" in told
