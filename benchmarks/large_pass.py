"""An extraction of the size of an 8B model: disk, memory, a layer from disk, stop, kill −9 and going on.

A random Llama of width 4,096 with BLOCKS blocks is read on the CPU: 51 offsets, 6 labels, 8 folds. Every pass is a
process of its own; what depends on the number of blocks is told for 32 of them too. python -m benchmarks.large_pass
"""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from benchmarks.extraction import MB, peak_bytes, random_model, random_traces
from core.disk.store import Store
from core.extraction import keeping
from core.extraction.contrast import contrast
from core.extraction.moments import MomentsSpec, bytes_needed, single_offsets
from core.extraction.shelf import MomentShelf
from core.extraction.work import record
from core.models.loaded import LoadedModel
from core.traces.events import LABELS
from core.values import ModelSpec, Trace

WIDTH, BLOCKS, WHOLE = 4096, 2, 32
TRACES, SEQ = 8, 192
SPEC = MomentsSpec(
    model=ModelSpec(repo_id="random"),
    fingerprint="random",
    traces_digest="large",
    labels=LABELS[:6],
    windows=single_offsets(-40, 10),
    layers=tuple(range(BLOCKS)),
    folds=8,
)


def run_pass(root: str, stop_at: int) -> None:
    """In a process of its own: go on with the pass, keeping after every trace from `stop_at` on; say the peak."""
    torch.set_num_threads(1)
    if stop_at:
        keeping.KEEP_SECONDS, keeping.KEEP_SHARE = 0.0, float("inf")
    loaded: LoadedModel = random_model(256, d_model=WIDTH, n_layers=BLOCKS, d_vocab=1024)
    traces: list[Trace] = random_traces(TRACES, SEQ)
    before, shelf = peak_bytes(), MomentShelf(Store(Path(root)))
    for progress in record(lambda model, fingerprint: loaded, shelf, [SPEC], traces):
        print(int(progress.done), flush=True)
    print("peak", (peak_bytes() - before) / MB, flush=True)


def pass_in(root: Path, *, kill_at: int = 0) -> float:
    """Run the pass in another process; MB of its peak, or what it left when it was killed after that trace."""
    command = [sys.executable, "-m", "benchmarks.large_pass", str(root), str(kill_at)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for line in child.stdout:
            if line.startswith("peak"):
                return float(line.split()[1])
            if kill_at and int(line) == kill_at:
                child.send_signal(signal.SIGKILL)
    return 0.0


def layer_seconds(root: Path) -> float:
    """Median time in which the map of one layer and label is there again, its file not in the system's memory."""
    times = []
    for layer in (*SPEC.layers, *SPEC.layers, *SPEC.layers):
        for path in root.rglob("layer-*.safetensors"):
            fd = os.open(path, os.O_RDONLY)
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(fd)
        shelf = MomentShelf(Store(root))
        gathered = shelf.get(SPEC)
        assert gathered is not None
        began = time.perf_counter()
        kept = gathered.layer(SPEC.layers.index(layer))
        kept.positive(0, 0)
        times.append(time.perf_counter() - began)
        if len(times) == 1:
            began = time.perf_counter()
            contrast(gathered, SPEC.labels[0], layers=(layer,))
            print(f"the whole map row of a layer, with intervals: {time.perf_counter() - began:.2f} s more")
    return float(np.median(times))


def same_sums(one: Path, other: Path) -> bool:
    """Whether both stores hold the same numbers for every layer."""
    found = [MomentShelf(Store(root)).get(SPEC) for root in (one, other)]
    assert found[0] is not None
    assert found[1] is not None
    return all(
        np.array_equal(a, b)
        for i in range(len(SPEC.layers))
        for row in range(len(SPEC.rows))
        for w in range(2)
        for a, b in zip(*((of.layer(i).positive(w, row), of.layer(i).squares(row)) for of in found), strict=True)  # type: ignore[union-attr]
    )


def main() -> None:
    """Print what was measured, and what follows for a model of 32 blocks."""
    need, whole = (bytes_needed(dataclasses.replace(SPEC, layers=tuple(range(n))), WIDTH) for n in (BLOCKS, WHOLE))
    with tempfile.TemporaryDirectory() as folder:
        killed, straight = Path(folder) / "killed", Path(folder) / "straight"
        pass_in(killed, kill_at=TRACES // 2)
        left = MomentShelf(Store(killed))
        unfinished = left.unfinished(SPEC)
        assert unfinished is not None
        on_disk = left.unfinished_bytes()
        print(f"killed after {unfinished.n_traces} of {TRACES} traces: {on_disk / MB:.0f} MB of sums are kept")
        pass_in(killed)
        peak = pass_in(straight)
        print(f"gone on and run through: {'equal' if same_sums(killed, straight) else 'DIFFERENT'} sums")
        kept = MomentShelf(Store(straight)).finished_bytes()
        print(f"kept: {kept / MB:.0f} MB (promised {need.kept / MB:.0f}); peak {peak:.0f} MB ({need.memory / MB:.0f})")
        print(f"a layer from disk: {layer_seconds(straight):.3f} s")
    times = WHOLE / BLOCKS
    print(f"at {WHOLE} blocks: {kept * times / 1e9:.2f} GB kept, {on_disk * times / 1e9:.2f} GB while it runs", end="")
    print(f" (twice that for a moment), {whole.memory / 1e9:.2f} GB of memory")


if __name__ == "__main__":
    if len(sys.argv) == 3:
        run_pass(sys.argv[1], int(sys.argv[2]))
    else:
        main()
