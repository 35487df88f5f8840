"""`finetune` on the embedded base model: what it says, how it ends, and what it refuses before anything is written."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from core.finetuning import samples
from core.settings import PROJECT
from core.traces.records import record_of
from core.values import Trace
from retrace.commands import BAD_INPUT, DONE, STOPPED, main

SHORT = ("--steps", "3", "--every", "2", "--batch-tokens", "400", "--max-tokens", "120", "--rank", "2", "--warmup", "1")


@pytest.fixture
def shell(tmp_path, capsys, monkeypatch):
    """Runs a command with its own cache folder: (exit code, stdout, stderr)."""
    monkeypatch.setenv("RETRACE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("RETRACE_MODEL_ROOTS", "")
    monkeypatch.setattr(samples, "NEW_TOKENS", 2)
    torch.set_num_threads(1)

    def run(*words):
        try:
            code = main([str(word) for word in words])
        except SystemExit as leaving:
            code = leaving.code
        told = capsys.readouterr()
        return code, told.out, told.err

    return run


def traces_file(path: Path, n: int = 24, **changes: str) -> Path:
    traces = [Trace(trace_id=str(i), prompt=f"What is {i} + 1?", text=f"So {i} + 1 is {i + 1}. " * 3) for i in range(n)]
    rows = [{**record_of(trace), **changes} for trace in traces]
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


def test_a_pair_that_other_commands_take(shell, tmp_path) -> None:
    out = tmp_path / "thinker"
    code, stdout, stderr = shell("finetune", "--out", out, *SHORT)
    assert code == DONE, stderr
    assert "of memory" in stderr
    said = json.loads(stdout)
    assert said["pair"] == f"demo/base,demo/base + {out}"
    assert (said["steps"], said["held_out"][-1]["step"]) == (3, 3)
    code, _, stderr = shell(
        "plan", "fig3", "--quick", "--pair", said["pair"], "--traces", "embedded", "--prompts", "traces"
    )
    assert code == DONE, stderr
    code, again, _ = shell("finetune", "--out", out, *SHORT)
    assert (code, json.loads(again)) == (DONE, said)
    page = Path(said["report"])
    before = page.read_bytes()
    assert b"After step 3" in before
    page.unlink()
    code, stdout, stderr = shell("report", out)
    assert code == DONE, stderr
    assert (json.loads(stdout)["report"], page.read_bytes()) == (said["report"], before)


def test_another_recipe_does_not_go_on_in_the_folder(shell, tmp_path) -> None:
    out = tmp_path / "thinker"
    assert shell("finetune", "--out", out, *SHORT)[0] == DONE
    before = {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}
    code, stdout, stderr = shell("finetune", "--out", out, *SHORT, "--rate", "0.5")
    assert (code, stdout) == (BAD_INPUT, "")
    assert "rate was 0.006, now 0.5" in stderr
    assert {p: p.read_bytes() for p in out.rglob("*") if p.is_file()} == before


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--rank", "0"), "rank is 0"),
        (("--steps", "0"), "number of steps is 0"),
        (("--rate", "nan"), "learning rate is nan"),
        (("--held-out", "0.9"), "held-out share is 0.9"),
        (("--targets", "q_proj,nothing"), "no linear map 'nothing'"),
        (("--precision", "nf4"), "in nf4 is not finetuned"),
        (("--precision", "fp8"), "'fp8' is not one of"),
        (("--base", "demo/base + somewhere/else"), "has an adapter already"),
        (("--base", "nowhere", "--traces", "embedded"), "no model folder 'nowhere'"),
        (("--template", "nowhere"), "no model folder 'nowhere'"),
        (("--traces", "none"), "without traces"),
        (("--max-tokens", "20"), "only 0 of the 394 traces have a question and reasoning after it that fits"),
        (("--name", "a/b"), "no name for a finetune"),
        (("--device", "cuda:7"), "There is no device 'cuda:7'"),
    ],
)
def test_refused_before_anything_is_written(shell, tmp_path, words, says) -> None:
    out = tmp_path / "thinker"
    code, stdout, stderr = shell("finetune", "--out", out, *SHORT, *words)
    assert (code, stdout) == (BAD_INPUT, ""), stderr
    assert says in stderr
    assert "Traceback" not in stderr
    assert not out.exists()


@pytest.mark.parametrize(
    ("n", "changes", "says"),
    [(19, {}, "19 traces are given"), (30, {"prompt": ""}, "only 0 of the 30 traces have a question")],
)
def test_traces_that_teach_nothing(shell, tmp_path, n, changes, says) -> None:
    out = tmp_path / "thinker"
    file = traces_file(tmp_path / "traces.jsonl", n, **changes)
    code, stdout, stderr = shell("finetune", "--out", out, "--traces", file, *SHORT)
    assert (code, stdout) == (BAD_INPUT, ""), stderr
    assert says in stderr
    assert not out.exists()


@pytest.mark.parametrize("kind", ["file", "others", "adapter"])
def test_a_folder_with_other_things_stays_as_it_is(shell, tmp_path, kind) -> None:
    out = tmp_path / "thinker"
    if kind == "file":
        out.write_text("mine")
    else:
        out.mkdir()
        (out / ("notes.txt" if kind == "others" else "adapter_config.json")).write_text("mine")
        if kind == "adapter":
            (out / "adapter_model.safetensors").write_text("mine")
    before = [(p, p.read_text()) for p in [out, *out.rglob("*")] if p.is_file()]
    code, _, stderr = shell("finetune", "--out", out, *SHORT)
    assert code == BAD_INPUT, stderr
    assert [(p, p.read_text()) for p in [out, *out.rglob("*")] if p.is_file()] == before


@pytest.mark.slow
def test_ctrl_c_keeps_the_steps_and_the_same_command_goes_on(shell, tmp_path) -> None:
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    out = tmp_path / "thinker"
    words = ["finetune", "--out", str(out), *SHORT[2:], "--steps", "6"]
    started = [sys.executable, "-m", "retrace", *words]
    child = subprocess.Popen(started, env=env, cwd=PROJECT, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 200
    while not (out / "run" / "state.safetensors").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    child.send_signal(signal.SIGINT)
    _, stderr = child.communicate(timeout=100)
    assert child.returncode == STOPPED, stderr
    assert "The same command goes on from there" in stderr
    assert not (out / "adapter_config.json").exists()
    code, stdout, stderr = shell(*words)
    assert code == DONE, stderr
    assert json.loads(stdout)["steps"] == 6


def test_a_recipe_of_a_file_is_followed_and_other_traces_are_named(shell, tmp_path) -> None:
    recipe = {"rank": 2, "steps": 2, "every": 2, "batch_tokens": 400, "max_tokens": 120, "warmup": 1, "seed": 3}
    written = {"base": "demo/base", "traces": {"source": "mine", "count": 5, "digest": "0" * 20}, "recipe": recipe}
    file, out = tmp_path / "recipe.json", tmp_path / "thinker"
    file.write_text(json.dumps(written))
    code, _, stderr = shell("finetune", "--recipe", file, "--rank", "1", "--out", out)
    assert code == DONE, stderr
    assert "not those that the recipe names" in stderr
    said = json.loads((out / "run" / "finetune.json").read_text())
    assert said["spec"]["recipe"] | recipe | {"rank": 1} == said["spec"]["recipe"]
    assert json.loads((out / "adapter_config.json").read_text())["r"] == 1


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"base": 3}', '{"base": "x", "recipe": {"rank": "a"}}', "\x00"])
def test_what_is_no_recipe(shell, tmp_path, text) -> None:
    file = tmp_path / "recipe.json"
    file.write_text(text)
    code, _, stderr = shell("finetune", "--recipe", file, "--out", tmp_path / "out")
    assert code == BAD_INPUT
    assert "recipe" in stderr
    assert not (tmp_path / "out").exists()


def test_the_committed_recipe_can_be_read_and_its_base_model_is_named(shell, tmp_path) -> None:
    code, _, stderr = shell(
        "finetune",
        "--recipe",
        PROJECT / "demo/recipes/smollm2-135m.json",
        "--out",
        tmp_path / "o",
        "--traces",
        "embedded",
    )
    assert code == BAD_INPUT
    assert "python -m retrace get smollm2-135m" in stderr
