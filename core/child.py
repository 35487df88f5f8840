"""A child process for files and templates that may come from anyone: both of its sides.

The parent starts it with few environment variables and a time limit; the child limits itself before it looks at
anything. Knows neither files nor templates.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from core.settings import PROJECT, THREADS

MEMORY_BYTES = 512 * 2**20
_VARIABLES = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "SYSTEMROOT", "TZ", "TMPDIR", "HOME")


def run_child(module: str, request: Mapping[str, object], *, seconds: float) -> tuple[int, bytes]:
    """Exit status and output of `python -m module` with `request` as JSON on its stdin; −1 where time ran out.

    None of the variables that it gets can weaken its limits.
    """
    known = {name: os.environ[name] for name in _VARIABLES if name in os.environ}
    try:
        child = subprocess.run(  # noqa: S603
            [sys.executable, "-m", module],
            input=json.dumps(request).encode(),
            capture_output=True,
            timeout=seconds,
            cwd=PROJECT,
            env=known | {THREADS: "1"},
            check=False,
        )
    except subprocess.TimeoutExpired:
        return -1, b""
    return child.returncode, child.stdout


def limit_process(cpu_seconds: float) -> None:
    """In the child: MEMORY_BYTES on top of what the imports took, and a limit of processor time.

    SIGPROF's default action ends the process even inside one long C call. Processor time, so that a busy machine
    leaves as much of it as an idle one.
    """
    if hasattr(signal, "setitimer"):
        signal.signal(signal.SIGPROF, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_PROF, cpu_seconds)
    try:
        import resource

        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY_BYTES, used + MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (ImportError, OSError, ValueError):
        pass
