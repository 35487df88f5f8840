"""Memory that is free goes back to the system. In processes of their own: what a process took before would hide it."""

from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
import sys, psutil, torch
from contextlib import nullcontext
from core.models.heap import large_blocks_apart
torch.set_num_threads(1)
rss = psutil.Process().memory_info
kept = []
with torch.no_grad(), large_blocks_apart() if sys.argv[1] == "apart" else nullcontext():
    torch.zeros(2**23)
    before = rss().rss
    for i in range(40):
        many = [torch.ones(2**18 + 2**14 * (k % 7)) for k in range(30)]
        kept.append(torch.ones(2**17))
        del many
    print((rss().rss - before) / 2**20)
"""


def grown(way: str) -> float:
    done = subprocess.run([sys.executable, "-c", SCRIPT, way], check=True, capture_output=True, text=True, timeout=60)
    return float(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc only")
def test_what_is_free_is_not_kept_between_what_stays() -> None:
    """20 MB stay."""
    assert grown("apart") <= 40
    assert grown("as it is") >= 45
