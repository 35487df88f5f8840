"""What cannot be measured is refused in a sentence before anything starts: exit code 2, and nothing is written."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from core.directions.direction import Direction
from core.directions.folder import DirectionFolder, direction_bytes
from core.disk import files
from core.embedded import embedded_directions
from core.experiments.plans import plan_json, read_plan
from retrace import results as results_module
from retrace.commands import BAD_INPUT, DONE, main


@pytest.fixture
def shell(tmp_path, capsys, monkeypatch):
    """Runs a command with its own cache folder: (exit code, stdout, stderr)."""
    monkeypatch.setenv("RETRACE_CACHE", str(tmp_path / "cache"))

    def run(*words):
        try:
            code = main([str(word) for word in words])
        except SystemExit as leaving:
            code = leaving.code
        told = capsys.readouterr()
        return code, told.out, told.err

    return run


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refused(shell, *words, says, out=None):
    before = everything(out) if out and out.exists() else None
    code, stdout, stderr = shell(*words)
    assert (code, stdout) == (BAD_INPUT, ""), stderr
    assert says in stderr
    assert "Traceback" not in stderr
    if out is not None:
        assert (everything(out) if out.exists() else None) == before


@pytest.fixture
def plan(shell, tmp_path):
    """A small plan of the embedded pair as a file, and the value in it."""
    code, stdout, _ = shell("plan", "fig3", "--quick")
    assert code == DONE
    path = tmp_path / "plan.json"
    path.write_text(stdout, "utf-8")
    return path, read_plan(stdout.encode())


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--layers", "99"], "layer 99"),
        (["--figures", "fig9"], "fig9"),
        (["--doses", "0"], "no dose but 0"),
        (["--doses", "0,0.0"], "no dose but 0"),
        (["--choose", "1"], "two or more"),
        (["--report", "0"], "two or more"),
        (["--tokens", "0"], "--tokens"),
        (["--random", "1000"], "--random"),
        (["--label", "no such label"], "no such label"),
        (["--pair", "demo/base"], "does not name two models"),
        (["--pair", "demo/base,demo/nothing"], "demo/nothing"),
        (["--pair", "demo/base,demo/reasoner", "--precision", "fp64"], "fp64"),
        (["--pair", "demo/base,/no/such/folder"], "/no/such/folder"),
        (["--traces", "missing.jsonl"], "missing.jsonl"),
        (["--traces", "set:0123456789ab"], "0123456789ab"),
        (["--prompts", "missing.txt"], "missing.txt"),
        (["--saved", "0" * 20], "0" * 20),
        (["--traces-digest", "0" * 20], "not those"),
    ],
)
def test_flags_that_make_no_plan(shell, tmp_path, words, says):
    out = tmp_path / "out"
    refused(shell, "paper", "--quick", "--out", out, *words, says=says, out=out)
    assert not out.exists()


def test_base_and_reasoning_model_swapped(shell, tmp_path):
    words = ["--pair", "demo/reasoner,demo/base", "--precision", "fp32", "--traces", "embedded", "--prompts", "traces"]
    refused(shell, "paper", "--quick", *words, "--out", tmp_path / "out", says="swapped", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_prompt_longer_than_the_context_of_a_plan(shell, tmp_path):
    (tmp_path / "prompts.txt").write_text("One?\nTwo?\nThree?\n" + "7 " * 9900)
    words = ["--prompts", tmp_path / "prompts.txt", "--out", tmp_path / "out"]
    refused(shell, "paper", "--quick", *words, says="Question 2", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", ["", "\n\n", "[]", "[1, 2]", "\xff".encode("latin-1"), b"[{"])
def test_a_file_without_prompts(shell, tmp_path, content):
    path = tmp_path / "prompts.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    refused(shell, "paper", "--prompts", path, "--out", tmp_path / "out", says="prompts.txt", out=tmp_path / "out")


def test_three_questions_are_too_few(shell, tmp_path):
    (tmp_path / "prompts.txt").write_text("One?\nTwo?\nThree?\nThree?\n")
    refused(shell, "plan", "--prompts", tmp_path / "prompts.txt", says="3 different questions")


def test_another_pair_needs_questions_and_traces_of_its_own(shell, tmp_path, monkeypatch):
    for role in ("base", "reasoner"):
        shutil.copytree(Path("demo") / role, tmp_path / "models" / role)
    pair = ",".join(str(tmp_path / "models" / role) for role in ("base", "reasoner"))
    monkeypatch.delenv("RETRACE_MODEL_ROOTS", raising=False)
    refused(shell, "plan", "--pair", pair, says="--traces FILE")
    refused(shell, "plan", "--pair", pair, "--traces", "embedded", says="--prompts FILE")


def test_a_folder_named_by_its_path_needs_no_setting(shell, tmp_path, monkeypatch):
    for role in ("base", "reasoner"):
        shutil.copytree(Path("demo") / role, tmp_path / "models" / role)
    pair = ",".join(str(tmp_path / "models" / role) for role in ("base", "reasoner"))
    monkeypatch.delenv("RETRACE_MODEL_ROOTS", raising=False)
    words = ["plan", "fig3", "--pair", pair, "--precision", "fp32", "--traces", "embedded", "--prompts", "traces"]
    code, stdout, stderr = shell(*words)
    assert code == DONE, stderr
    assert read_plan(stdout.encode()).pair.base.repo_id == str(tmp_path / "models/base")


@pytest.mark.parametrize(
    "content",
    ["", "{}", "[]", "no json", '{"schema": "retrace-plan/99", "plan": {}}', '{"schema": "retrace-plan/1"}'],
)
def test_a_file_that_is_no_plan(shell, tmp_path, content):
    (tmp_path / "mine.json").write_text(content)
    refused(shell, "run", tmp_path / "mine.json", "--out", tmp_path / "out", says="mine.json", out=tmp_path / "out")


def test_a_plan_that_is_not_there(shell, tmp_path):
    refused(shell, "run", tmp_path / "none.json", "--out", tmp_path / "out", says="none.json", out=tmp_path / "out")
    refused(shell, "run", tmp_path, "--out", tmp_path / "out", says="cannot be read", out=tmp_path / "out")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda raw: raw["plan"].update(layers=[77]), "layer 77"),
        (lambda raw: raw["plan"]["doses"].update(values=[0.0]), "no dose but 0"),
        (lambda raw: raw["plan"].update(report=raw["plan"]["report"][:1]), "1 question to report"),
        (lambda raw: raw["plan"].update(choose=[]), "0 questions to choose on"),
        (lambda raw: raw["plan"].update(figures=[]), "no figure"),
        (lambda raw: raw["plan"]["pair"]["base"].update(precision="fp8"), "precision"),
    ],
)
def test_a_plan_that_cannot_be_measured(shell, plan, tmp_path, change, says):
    raw = json.loads(plan[0].read_text("utf-8"))
    change(raw)
    plan[0].write_text(json.dumps(raw), "utf-8")
    refused(shell, "run", plan[0], "--out", tmp_path / "out", says=says, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_saved_direction_of_another_width(shell, tmp_path, plan, make_direction):
    wide = DirectionFolder(tmp_path / "cache").save(make_direction(64))
    refused(shell, "paper", "--saved", wide, "--out", tmp_path / "out", says="64 dimensions", out=tmp_path / "out")


def test_a_folder_with_another_plan_is_left_alone(shell, tmp_path, plan):
    out = tmp_path / "out"
    out.mkdir()
    (out / "plan.json").write_text(plan_json(replace(plan[1], block=7)), "utf-8")
    (out / "results.json").write_text("kept")
    refused(shell, "run", plan[0], "--out", out, says="another plan", out=out)
    refused(shell, "paper", "--quick", "--out", out, says="another plan", out=out)


def test_a_folder_with_other_things_is_left_alone(shell, tmp_path, plan):
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.tex").write_text("years of work")
    refused(shell, "run", plan[0], "--out", out, says="thesis.tex", out=out)
    refused(shell, "run", plan[0], "--out", out / "thesis.tex", says="no folder", out=out)


def test_a_folder_with_a_plan_that_cannot_be_read_is_left_alone(shell, tmp_path, plan):
    out = tmp_path / "out"
    out.mkdir()
    (out / "plan.json").write_text("{")
    refused(shell, "run", plan[0], "--out", out, says="plan.json", out=out)


def test_a_folder_in_use_is_left_alone(shell, tmp_path, plan):
    out = tmp_path / "out"
    out.mkdir()
    fd = os.open(out, os.O_RDONLY)
    assert files.try_lock(fd)
    try:
        refused(shell, "run", plan[0], "--out", out, says="in use", out=out)
    finally:
        os.close(fd)


@pytest.mark.parametrize("full", ["out", "cache"])
def test_a_full_disk_is_told_before_anything_starts(shell, tmp_path, plan, monkeypatch, full):
    def usage(path):
        return shutil._ntuple_diskusage(10**12, 10**12, 10**12 if full == "cache" and "out" in str(path) else 10_000)

    monkeypatch.setattr(results_module.shutil, "disk_usage", usage)
    refused(shell, "run", plan[0], "--out", tmp_path / "out", says="MB are free", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_cache_folder_that_is_a_file(shell, tmp_path):
    (tmp_path / "file").write_text("mine")
    refused(shell, "plan", "--cache", tmp_path / "file", says="--cache")
    assert (tmp_path / "file").read_text() == "mine"


def test_a_report_of_no_results(shell, tmp_path, plan):
    refused(shell, "report", tmp_path / "nothing", says="plan.json")
    (tmp_path / "out").mkdir()
    shutil.copy(plan[0], tmp_path / "out" / "plan.json")
    refused(shell, "report", tmp_path / "out", says="Nothing of this plan", out=tmp_path / "out")
    (tmp_path / "out" / "results.json").write_text('{"schema": "retrace-outcome/99"}')
    refused(shell, "report", tmp_path / "out", says="retrace-outcome/99", out=tmp_path / "out")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--layers", "6"], "layer 6"),
        (["--label", "nothing"], "nothing"),
        (["--windows=-8..-13"], "empty"),
        (["--negatives", "some"], "some"),
        (["--source", "judge"], "judge"),
    ],
)
def test_an_extraction_that_cannot_be(shell, tmp_path, words, says):
    refused(shell, "extract", "--out", tmp_path / "out", *words, says=says, out=tmp_path / "out")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--direction", "nowhere"], "nowhere"),
        (["--direction", "0" * 20], "0" * 20),
        (["--doses", "much"], "much"),
        (["--target", "judge"], "judge"),
        (["--unit", "norm"], "norm"),
        (["--layer", "99"], "99"),
        (["--operator", "kick"], "kick"),
        (["--tokens", "0"], "0 new tokens"),
        (["--n", "0"], "0 questions"),
        (["--prompts", "missing.txt"], "missing.txt"),
        (["--temperature", "9"], "Temperature"),
    ],
)
def test_steering_that_cannot_be(shell, words, says):
    usual = {"--direction": "demo/directions/base.safetensors", "--doses": "0,4"}
    usual |= dict(zip(words[::2], words[1::2], strict=True))
    refused(shell, "steer", *(part for pair in usual.items() for part in pair), says=says)


@pytest.mark.parametrize(
    ("data", "says"),
    [(b"", "wide"), (b"nothing of the kind", "wide"), (None, "64 dimensions")],
)
def test_a_file_that_is_no_direction_of_the_model(shell, tmp_path, make_direction, data, says):
    path = tmp_path / "wide.safetensors"
    path.write_bytes(direction_bytes(make_direction(64)) if data is None else data)
    refused(shell, "steer", "--direction", path, "--doses", "4", says=says)


def test_a_share_needs_the_norm_of_the_stream(shell, tmp_path, make_direction):
    (tmp_path / "mine.safetensors").write_bytes(direction_bytes(make_direction(128)))
    words = ["--direction", tmp_path / "mine.safetensors", "--doses", "0.2", "--unit", "share"]
    refused(shell, "steer", *words, says="--unit unit")


def test_a_direction_of_other_weights_is_refused_unless_asked_for(shell, tmp_path):
    found = replace(embedded_directions()[0], fingerprint="f" * 64)
    assert isinstance(found, Direction)
    (tmp_path / "other.safetensors").write_bytes(direction_bytes(found))
    words = ["steer", "--direction", tmp_path / "other.safetensors", "--doses", "4", "--n", "1", "--tokens", "2"]
    refused(shell, *words, says="other weights")
    code, stdout, _ = shell(*words, "--other-model")
    assert code == DONE
    assert json.loads(stdout)["coefficient"] == 4


def test_a_prompt_longer_than_the_context(shell):
    words = ["steer", "--direction", "demo/directions/base.safetensors", "--doses", "4", "--prompt", "long " * 20_000]
    refused(shell, *words, says="token")


def test_no_flag_is_guessed(shell):
    code, stdout, stderr = shell("plan", "--layer-s", "3")
    assert code == BAD_INPUT
    assert stdout == ""
    assert "--layer-s" in stderr
