"""From starting the server to a healthy one and to a loaded pair: python -m benchmarks.startup"""

from __future__ import annotations

import socket
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ROUNDS = 3


def healthy_after() -> float:
    """Seconds until the server of a fresh process answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "retrace.serve", f"--server.port={port}", "--server.headless=true"]
    started = time.perf_counter()
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=1):
                    return time.perf_counter() - started
            except (urllib.error.URLError, OSError):
                time.sleep(0.02)
    finally:
        process.terminate()
        process.wait(10)


def loaded_after() -> tuple[float, float]:
    """Seconds until a fresh process has imported torch and loaded the embedded pair, and those of loading it again."""
    code = (
        "import time; from core.models.loaded import load_model; from core.models.pair import DEMO_PAIR as p\n"
        "def load(): load_model(p.base, frame_from=load_model(p.reasoner))\n"
        "load(); started = time.perf_counter(); load(); print(time.perf_counter() - started)"
    )
    started = time.perf_counter()
    printed = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    again = float(printed.split()[-1])
    return time.perf_counter() - started - again, again


def main() -> None:
    """Print the medians."""
    healthy = statistics.median(healthy_after() for _ in range(ROUNDS))
    first, again = (statistics.median(column) for column in zip(*(loaded_after() for _ in range(ROUNDS)), strict=True))
    print(f"server answers after {healthy:.1f} s; pair loaded, imports included, after {first:.1f} s")
    print(f"loading the pair alone, in a process that has loaded one before: {again:.2f} s")


if __name__ == "__main__":
    main()
