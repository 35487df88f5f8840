"""Processes that help with a plan: each measures cells of the same store that no other process is at."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from core.errors import BadInput
from core.experiments.presets import SMALL_D_MODEL, facts_unloaded
from core.experiments.values import Plan
from core.settings import PROJECT
from retrace.console import Console
from retrace.session import STOPPED

MOST = 64
ENDS_WITHIN = 10.0
"""Seconds that a helper has to keep what it is at; then it is ended."""


def count_workers(plan: Plan, asked: int | None) -> int:
    """Processes that measure the plan: as asked, else one a core for a small model on the CPU, and one for others.

    A small model computes in one thread; a larger one takes all cores by itself. Raises BadInput.
    """
    if asked is not None:
        if not 1 <= asked <= MOST:
            raise BadInput(f"--workers is {asked}.", f"Name 1 to {MOST} processes.")
        return asked
    _, reasoner = facts_unloaded(plan.pair)
    is_small = reasoner.d_model <= SMALL_D_MODEL and plan.pair.reasoner.device == "cpu"
    return min(usable_cores(), MOST) if is_small else 1


def usable_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextlib.contextmanager
def helped(text: str, device: str, workers: int, cache: Path, console: Console) -> Iterator[None]:
    """Have `workers - 1` other processes at work on what the text is, which `work` reads, as long as the block runs.

    On cards the n-th takes cuda:n. One that fails says why in the log, and the others go on.
    """
    helpers = [_begin(text, device, number, cache) for number in range(1, workers)]
    try:
        yield
    finally:
        for helper in helpers:
            helper.terminate()
        for helper in helpers:
            _end(helper)
        failed = [helper.returncode for helper in helpers if helper.returncode > 0 and helper.returncode != STOPPED]
        if failed:
            console.say(f"{len(failed)} of {len(helpers)} helping processes failed; retrace.log in the cache says why.")


def _begin(text: str, device: str, number: int, cache: Path) -> subprocess.Popen[str]:
    where = f"cuda:{number}" if device.startswith("cuda") else device
    command = [sys.executable, "-m", "retrace", "work", "-", "--cache", str(cache.absolute()), "--device", where]
    path = os.pathsep.join(filter(None, (str(PROJECT), os.environ.get("PYTHONPATH", ""))))
    helper = subprocess.Popen(  # noqa: S603
        [*command, "--beside", str(os.getpid())],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
        start_new_session=True,
    )
    with contextlib.suppress(BrokenPipeError):
        assert helper.stdin is not None
        helper.stdin.write(text)
        helper.stdin.close()
    return helper


def _end(helper: subprocess.Popen[str]) -> None:
    try:
        helper.wait(ENDS_WITHIN)
    except subprocess.TimeoutExpired:
        helper.kill()
        helper.wait()
