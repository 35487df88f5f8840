"""`emergence` on a short finetune of the embedded base model: what it writes, going on, and what it refuses."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from xml.etree import ElementTree

import pytest
import torch

from core.embedded import example_traces
from core.experiments import cell_work
from core.experiments.plans import read_outcome
from core.finetuning import samples
from core.settings import PROJECT
from core.traces.events import BACKTRACKING
from core.traces.records import record_of
from retrace.commands import BAD_INPUT, DONE, STOPPED, main

TRAINED = (
    "--steps",
    "4",
    "--every",
    "2",
    "--batch-tokens",
    "400",
    "--max-tokens",
    "120",
    "--rank",
    "2",
    "--warmup",
    "1",
)
SMALL = (
    *("--choose", "2", "--report", "4", "--layers", "1,2", "--windows=-7..-2", "--layer", "2", "--window=-7..-2"),
    *("--dose", "1", "--unit", "unit", "--doses", "1", "--tokens", "12", "--random", "2", "--controls", "random,flip"),
    *("--workers", "1"),
)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a short finetune, a few labelled traces and a cache."""
    root = tmp_path_factory.mktemp("place")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RETRACE_CACHE", str(root / "cache"))
        patch.setenv("RETRACE_MODEL_ROOTS", "")
        patch.setattr(samples, "NEW_TOKENS", 2)
        torch.set_num_threads(1)
        assert main(["finetune", "--out", str(root / "thinker"), *TRAINED, "--cache", str(root / "cache")]) == DONE
    found = [trace for trace in example_traces() if any(part.label == BACKTRACKING for part in trace.parts)][:6]
    (root / "mine.jsonl").write_text("".join(json.dumps(record_of(trace)) + "\n" for trace in found), "utf-8")
    return root


@pytest.fixture
def shell(place, capsys, monkeypatch):
    """Runs a command over the cache of the place: (exit code, stdout, stderr)."""
    monkeypatch.setenv("RETRACE_CACHE", str(place / "cache"))
    monkeypatch.setenv("RETRACE_MODEL_ROOTS", "")

    def run(*words):
        try:
            code = main([*map(str, words), "--cache", str(place / "cache")])
        except SystemExit as leaving:
            code = leaving.code
        told = capsys.readouterr()
        return code, told.out, told.err

    return run


def words_for(place, out, *more):
    return ("emergence", place / "thinker", "--traces", place / "mine.jsonl", *SMALL, "--out", out, *more)


def files_of(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_one_command_writes_the_curves_and_a_second_one_runs_nothing(shell, place, tmp_path, monkeypatch):
    out = tmp_path / "curve"
    code, stdout, stderr = shell(*words_for(place, out))
    assert code == DONE, stderr
    assert "3 checkpoints: at most" in stderr
    said = json.loads(stdout)
    told = json.loads((out / "emergence.json").read_text())
    assert said["sentence"] == told["sentence"]
    assert said["finished"]
    assert [row["step"] for row in told["checkpoints"]] == [0, 2, 4]
    for row in told["checkpoints"]:
        assert row["n"] == 4
        assert row["effect_low"] <= row["effect"] <= row["effect_high"]
        assert row["specific_low"] <= row["specific"] <= row["specific_high"]
        assert row["cosine_layer_2_low"] <= row["cosine_layer_2"] <= row["cosine_layer_2_high"]
        outcome = read_outcome((out / f"step-{row['step']:06d}" / "results.json").read_bytes())
        (unsteered,) = [p for p in outcome.reported if p.kind == "unsteered" and p.target == "reasoner"]
        assert row["unsteered"] == pytest.approx(sum(unsteered.hits) / sum(unsteered.words))
    lines = list(csv.DictReader((out / "emergence.csv").open()))
    assert [line["step"] for line in lines] == ["0", "2", "4"]
    assert ElementTree.fromstring((out / "emergence.svg").read_bytes()).tag.endswith("svg")
    before = files_of(out)
    monkeypatch.setattr(cell_work, "run_cell", lambda *_, **__: pytest.fail("a cell was run again"))
    monkeypatch.setattr("core.models.pair.PairHolder.load", lambda *_: pytest.fail("a model was loaded again"))
    code, again, stderr = shell(*words_for(place, out))
    assert (code, json.loads(again)) == (DONE, said), stderr
    assert "measured before" in stderr
    assert files_of(out) == before
    code, _, stderr = shell("report", out / "step-000002")
    assert code == DONE, stderr


@pytest.mark.slow
def test_ctrl_c_keeps_what_is_measured_and_two_processes_end_with_the_same(place, shell, tmp_path):
    whole = tmp_path / "whole"
    assert shell(*words_for(place, whole))[0] == DONE
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    out, cache = tmp_path / "curve", tmp_path / "cache"
    words = [sys.executable, "-m", "retrace", *map(str, words_for(place, out, "--workers", "2")), "--cache", str(cache)]
    child = subprocess.Popen(words, env=env, cwd=PROJECT, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 300
    while not list(cache.glob("series/*/experiments/*.outcome.json")) and time.monotonic() < deadline:
        time.sleep(0.01)
    child.send_signal(signal.SIGINT)
    _, stderr = child.communicate(timeout=100)
    assert child.returncode == STOPPED, stderr
    assert "The same command goes on from there" in stderr
    again = subprocess.run(words, env=env, cwd=PROJECT, capture_output=True, text=True, timeout=400, check=False)
    assert again.returncode == DONE, again.stderr
    assert "helping processes failed" not in again.stderr
    assert (out / "emergence.csv").read_bytes() == (whole / "emergence.csv").read_bytes()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--steps", "0,3"), "no checkpoint after 3 steps"),
        (("--steps", "2"), "1 checkpoint was named"),
        (("--layers", "0-99"), "has layers 0 to"),
        (("--report", "1"), "Intervals need two or more"),
        (("--traces", "none"), "The plan's traces are 0"),
        (("--doses", "nan"), "is not a number"),
        (("--workers", "0"), "--workers is 0"),
    ],
)
def test_refused_before_anything_is_written(shell, place, tmp_path, words, says):
    out = tmp_path / "curve"
    code, stdout, stderr = shell(*words_for(place, out, *words))
    assert (code, stdout) == (BAD_INPUT, ""), stderr
    assert says in stderr
    assert "Traceback" not in stderr
    assert not out.exists()


def test_a_folder_without_a_finetune_or_without_checkpoints(shell, place, tmp_path):
    (tmp_path / "empty").mkdir()
    code, _, stderr = shell("emergence", tmp_path / "empty", "--out", tmp_path / "out")
    assert (code, "holds no finetune" in stderr) == (BAD_INPUT, True), stderr
    code, _, stderr = shell("emergence", tmp_path / "nowhere", "--out", tmp_path / "out")
    assert (code, "holds no finetune" in stderr) == (BAD_INPUT, True), stderr
    bare = tmp_path / "bare"
    (bare / "run").mkdir(parents=True)
    (bare / "run" / "finetune.json").write_bytes((place / "thinker" / "run" / "finetune.json").read_bytes())
    code, _, stderr = shell("emergence", bare, "--out", tmp_path / "out")
    assert (code, "has 0 checkpoints; a curve needs 2" in stderr) == (BAD_INPUT, True), stderr
    assert not (tmp_path / "out").exists()


def test_a_base_model_that_has_changed_is_named(shell, place, tmp_path):
    run = tmp_path / "thinker"
    for name, data in files_of(place / "thinker").items():
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_bytes(data)
    record = run / "run" / "finetune.json"
    said = json.loads(record.read_text())
    record.write_text(json.dumps({**said, "fingerprint": "weights:" + "0" * 64}))
    code, stdout, stderr = shell(
        "emergence", run, "--traces", place / "mine.jsonl", *SMALL, "--out", tmp_path / "curve"
    )
    assert (code, stdout) == (BAD_INPUT, ""), stderr
    assert "The base model base has changed since this finetune was made." in stderr
    assert not (tmp_path / "curve").exists()


def test_a_folder_with_another_plan_stays_as_it_is(shell, place, tmp_path):
    out = tmp_path / "curve"
    assert shell(*words_for(place, out))[0] == DONE
    before = files_of(out)
    code, stdout, stderr = shell(*words_for(place, out, "--tokens", "6"))
    assert (code, stdout) == (BAD_INPUT, ""), stderr
    assert "holds another plan" in stderr
    assert files_of(out) == before
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    code, _, stderr = shell(*words_for(place, tmp_path / "mine"))
    assert (code, "holds other things" in stderr) == (BAD_INPUT, True)
