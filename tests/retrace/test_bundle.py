"""`bundle` and `open` from the shell: what is written, what is listed, how it ends; torch is not there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from core.experiments.folder import ExperimentFolder
from core.experiments.plans import outcome_json, plan_json
from core.settings import BUNDLE, PROJECT
from retrace.bundle import server_command
from retrace.commands import main
from tests.bundles.filled import fill

WITHOUT_TORCH = "import sys; sys.modules['torch'] = None; from retrace.commands import main; sys.exit(main())"


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    root = tmp_path_factory.mktemp("cache")
    return root, fill(root)


def run(cache, *words):
    """A command in a process that cannot import torch: (exit code, stdout as JSON or None, stderr)."""
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, *map(str, words), "--cache", str(cache)],
        cwd=PROJECT,
        env={"PATH": os.environ["PATH"], "LANG": "C"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, json.loads(done.stdout) if done.stdout else None, done.stderr


@pytest.mark.parametrize(
    ("what", "kind", "holds"),
    [
        ("all", "project", {"direction": 1, "means": 1, "run": 1, "experiment": 1, "traces": 1}),
        ("runs", "runs", {"run": 1}),
        ("directions", "directions", {"direction": 1, "means": 1}),
        ("ID", "experiment", {"experiment": 1}),
        ("RESULTS", "experiment", {"experiment": 1}),
        ("CACHE", "project", {"experiment": 1, "direction": 1}),
        ("CACHE/directions", "directions", {"direction": 1}),
    ],
)
def test_what_is_bundled_is_whole_and_listed(what, kind, holds, cache, tmp_path):
    root, experiment_id = cache
    experiments = ExperimentFolder(root)
    results = tmp_path / "results"
    results.mkdir()
    (results / "plan.json").write_text(plan_json(experiments.plan(experiment_id)), "utf-8")
    (results / "results.json").write_text(outcome_json(experiments.outcome(experiment_id)), "utf-8")
    named = what.replace("CACHE", str(root)) if what != "RESULTS" else str(results)
    out = tmp_path / "it.retrace"
    code, made, _ = run(root, "bundle", named if what != "ID" else experiment_id, "--out", out, "--title", "Mine")
    assert code == 0
    code, told, _ = run(tmp_path / "elsewhere", "open", out, "--check")
    assert code == 0
    assert (told["whole"], told["kind"], told["title"]) == (True, kind, "Mine")
    assert told["holds"] == made["holds"]
    assert holds.items() <= told["holds"].items()
    assert sum(file["bytes"] for file in told["files"]) == told["bytes"]


def test_a_bundle_that_is_not_whole_ends_with_2_and_a_sentence(cache, tmp_path):
    out = tmp_path / "it.retrace"
    assert run(cache[0], "bundle", "all", "--out", out)[0] == 0
    data = bytearray(out.read_bytes())
    data[len(data) // 2] ^= 1
    out.write_bytes(data)
    code, told, said = run(cache[0], "open", out, "--check")
    assert (code, told) == (2, None)
    assert said.count("\n") == 1
    assert "refused" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("open", "nowhere.retrace", "--check"), "cannot be read"),
        (("open", ".", "--check"), "cannot be read"),
        (("bundle", "nothing", "--out", "a.retrace"), "nothing that can be bundled"),
        (("bundle", "0" * 20, "--out", "a.retrace"), "There is no experiment"),
        (("bundle", "all", "--out", "a.zip"), "end in .retrace"),
        (("bundle", "all", "--out", "no/where/a.retrace"), "There is no folder"),
        (("bundle", "all", "--out", "a.retrace"), "nothing to put"),
    ],
)
def test_bad_input_is_told(words, said, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main([*words, "--cache", str(tmp_path / "empty")]) == 2
    assert said in capsys.readouterr().err
    assert not list(tmp_path.rglob("*.retrace"))


def test_open_starts_the_pages_on_the_bundle(cache, tmp_path, monkeypatch):
    out = tmp_path / "it.retrace"
    assert main(["bundle", "all", "--out", str(out), "--cache", str(cache[0])]) == 0
    begun = []
    monkeypatch.setattr(os, "execv", lambda path, words: begun.append((path, words, os.environ[BUNDLE])))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(BUNDLE, "")
    monkeypatch.setenv("RETRACE_CACHE", "")
    main(["open", "it.retrace", "--port", "8777", "--headless", "--cache", str(cache[0])])
    assert begun == [(sys.executable, server_command(8777, headless=True), str(out))]
    assert Path.cwd() == PROJECT
