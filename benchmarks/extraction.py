"""Extraction over all layers × offsets × labels against how research scripts do it, and against the bare forward.

A random Llama reads the same synthetic traces in every way; rounds are interleaved, medians of ratios printed. Memory
is the growth of a fresh process's peak. python -m benchmarks.extraction
"""

from __future__ import annotations

import itertools
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

import numpy as np
import torch

from core.extraction.moments import Gathered, MomentsSpec, bytes_needed, single_offsets
from core.extraction.passes import record_moments
from core.forward.hooks import record_residuals, run_decoder
from core.models.loaded import LoadedModel
from core.tokens.encoding import Encoder, Reading
from core.tokens.frames import ChatFrame
from core.tokens.tokenizer import FastTokenizer
from core.traces.events import LABELS, find_events
from core.values import ModelSpec, Part, Trace

N_LAYERS, D_MODEL, D_VOCAB, SEQ, PARTS = 16, 512, 8192, 384, 24
OFFSETS = single_offsets(-40, 9)
ROUNDS, FEW_TRACES, TRACES = 3, 3, 24
MEMORY_TRACES, MEMORY_SEQ = (50, 500), 128
MB = 2**20

Way = Callable[[LoadedModel, Sequence[Trace]], object]
Places = tuple[list[torch.Tensor], list[torch.Tensor]]


class Characters(Encoder):
    """One token per word of three characters, in place of a tokenizer."""

    def __init__(self) -> None:
        self._context_length = 4096

    def reading(self, frame: ChatFrame, question: str, text: str, *, limited: bool = True) -> Reading:
        words = text.split(" ")
        spans = tuple((4 * i, 4 * i + 3) for i in range(len(words)))
        return Reading(token_ids=tuple(int(word) for word in words), spans=spans, text_start=0)


def random_model(
    width: int = int(3.5 * D_MODEL), *, d_model: int = D_MODEL, n_layers: int = N_LAYERS, d_vocab: int = D_VOCAB
) -> LoadedModel:
    """A Llama with random weights whose lm_head takes the share of the work that it takes in Llama-3.1-8B.

    `width` of the MLP does not change what an extraction keeps: for memory a narrow one measures the same sooner.
    """
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=d_vocab,
        hidden_size=d_model,
        intermediate_size=width,
        num_hidden_layers=n_layers,
        num_attention_heads=8,
        num_key_value_heads=2,
        max_position_embeddings=4096,
    )
    torch.manual_seed(0)
    model = LlamaForCausalLM(config).eval().requires_grad_(False)
    return LoadedModel(
        spec=ModelSpec(repo_id="random"),
        fingerprint="random",
        model=model,
        tokenizer=cast(FastTokenizer, None),
        frame=ChatFrame("", "", "raw"),
        encoder=Characters(),
        layers=tuple(model.model.layers),
        decoder=model.model,
        final_norm=model.model.norm,
        unembed=model.lm_head,
        head=lambda normed: model.lm_head(normed).float(),
        n_layers=n_layers,
        d_model=d_model,
        d_vocab=d_vocab,
        context_length=4096,
        eos_ids=frozenset(),
    )


def random_traces(n: int, seq: int = SEQ) -> list[Trace]:
    """Traces of `seq` tokens cut into PARTS parts, whose labels are drawn at random."""
    rng, traces = np.random.default_rng(0), []
    for number in range(n):
        words = [f"{i:03d}" for i in rng.integers(0, 1000, seq)]
        cuts = [0, *sorted(rng.choice(np.arange(1, seq), PARTS - 1, replace=False).tolist()), seq]
        parts = tuple(
            Part(label=str(rng.choice(LABELS)), start=4 * a, end=4 * b - 1) for a, b in itertools.pairwise(cuts)
        )
        traces.append(Trace(trace_id=str(number), prompt="", text=" ".join(words), parts=parts))
    return traces


def spec_of(traces: Sequence[Trace]) -> MomentsSpec:
    """Everything: all layers, labels and offsets."""
    return MomentsSpec(
        model=ModelSpec(repo_id="random"),
        fingerprint="random",
        traces_digest=str(len(traces)),
        labels=LABELS,
        windows=OFFSETS,
        layers=tuple(range(N_LAYERS)),
    )


def ours(loaded: LoadedModel, traces: Sequence[Trace]) -> Gathered:
    """One pass with running sums."""
    *_, moments = record_moments(loaded, traces, spec_of(traces))
    assert isinstance(moments, Gathered)
    return moments


def bare(loaded: LoadedModel, traces: Sequence[Trace]) -> None:
    """The limit: the decoder's forward to the deepest layer, nothing kept."""
    for trace in traces:
        run_decoder(loaded, token_ids(loaded, trace), [N_LAYERS - 1], lambda layer, hidden: None)


def window_means(hidden: Sequence[torch.Tensor], places: Sequence[Places]) -> torch.Tensor:
    """(n_labels, n_offsets, d_model) Eq. 3 from the kept hidden states (seq, d_model) of one layer."""
    totals = torch.zeros(len(LABELS), len(OFFSETS), D_MODEL, dtype=torch.float64)
    counts = torch.zeros(len(LABELS), len(OFFSETS), 1)
    for states, (positions, valid) in zip(hidden, places, strict=True):
        for label in range(len(LABELS)):
            n = valid[label].sum(0)[:, None]
            totals[label] += (states[positions[label]] * valid[label][..., None]).sum(0) / n.clamp(min=1)
            counts[label] += n > 0
    return totals / counts.clamp(min=1)


def places_of(loaded: LoadedModel, traces: Sequence[Trace]) -> list[Places]:
    """Per trace and label, (n_events, n_offsets) positions, and which of them lie in the text."""
    found, offsets = [], torch.tensor([window.start for window in OFFSETS])
    for trace in traces:
        spans = loaded.encoder.reading(loaded.frame, "", trace.text).spans
        seq = len(spans)
        events = [find_events(trace, label, spans=spans, text_start=0) for label in LABELS]
        places = [torch.tensor([e.position for e in some], dtype=torch.int64)[:, None] + offsets for some in events]
        found.append(([p.clamp(0, seq - 1) for p in places], [(p >= 0) & (p < seq) for p in places]))
    return found


@torch.inference_mode()
def layer_by_layer(loaded: LoadedModel, traces: Sequence[Trace]) -> None:
    """Research scripts: for each layer, one forward per trace with its hidden state kept, then means."""
    places = places_of(loaded, traces)
    for layer in range(N_LAYERS):
        kept: list[torch.Tensor] = []
        with record_residuals(loaded, [layer], lambda _, hidden, kept=kept: kept.append(hidden[0])):  # type: ignore[misc]
            for trace in traces:
                loaded.model(token_ids(loaded, trace), use_cache=False)
        window_means(kept, places)


@torch.inference_mode()
def all_hidden_states(loaded: LoadedModel, traces: Sequence[Trace]) -> None:
    """One forward per trace with output_hidden_states=True, all of them kept, then means."""
    places = places_of(loaded, traces)
    outputs = [
        loaded.model(token_ids(loaded, trace), use_cache=False, output_hidden_states=True).hidden_states
        for trace in traces
    ]
    for layer in range(N_LAYERS):
        window_means([states[layer + 1][0] for states in outputs], places)


def token_ids(loaded: LoadedModel, trace: Trace) -> torch.Tensor:
    """(1, seq)."""
    return torch.tensor([loaded.encoder.reading(loaded.frame, "", trace.text).token_ids])


def seconds(way: Way, loaded: LoadedModel, traces: Sequence[Trace]) -> float:
    """CPU seconds of one call on one thread: what else runs on the machine counts less than in wall time."""
    started = time.process_time()
    way(loaded, traces)
    return time.process_time() - started


def compare_speed() -> None:
    """Print how many times as long each peer takes."""
    loaded, traces = random_model(), random_traces(TRACES)
    torch.set_num_threads(1)
    print(
        f"random Llama, {N_LAYERS} layers, d_model {D_MODEL}, vocabulary {D_VOCAB}, fp32, CPU, one thread; traces of "
        f"{SEQ} tokens; {N_LAYERS} layers × {len(OFFSETS)} offsets × {len(LABELS)} labels; CPU seconds, medians of "
        f"{ROUNDS} interleaved rounds"
    )
    ways: dict[str, tuple[Way, int]] = {
        "one forward per trace and layer": (layer_by_layer, FEW_TRACES),
        "output_hidden_states": (all_hidden_states, TRACES),
        "the bare forward": (bare, TRACES),
    }
    ours(loaded, traces[:1])
    bare(loaded, traces[:1])
    pairs: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, (way, n) in ways.items():
            pairs[name].append((seconds(ours, loaded, traces[:n]), seconds(way, loaded, traces[:n])))
    for name, (_, n) in ways.items():
        mine = statistics.median(a for a, _ in pairs[name])
        ratio = statistics.median(b / a for a, b in pairs[name])
        print(f"{n} traces: one pass takes {mine:.1f} s, {name} {ratio:.2f} times as long")


def peak_growth(way: str, n: int) -> float:
    """MB by which the peak memory of a fresh process grows when it reads n traces."""
    command = [sys.executable, "-m", "benchmarks.extraction", way, str(n)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def peak_bytes() -> int:
    """The most memory that this process has held; Linux only (the usual ru_maxrss begins at the parent's peak)."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1])


def measure_growth(way: str, n: int) -> None:
    """In the fresh process: read, and print the growth."""
    torch.set_num_threads(1)
    loaded, traces = random_model(width=64), random_traces(n, MEMORY_SEQ)
    bare(loaded, traces[:1])
    before = peak_bytes()
    (ours if way == "ours" else all_hidden_states)(loaded, traces)
    print((peak_bytes() - before) / MB)


def compare_memory() -> None:
    """Print the peak at few and at many traces, and what kept hidden states take."""
    few, many = MEMORY_TRACES
    grown = {n: peak_growth("ours", n) for n in MEMORY_TRACES}
    kept = peak_growth("kept", few)
    estimate = bytes_needed(spec_of([]), D_MODEL).memory / MB
    print(f"memory, traces of {MEMORY_SEQ} tokens; the estimate before the run is {estimate:.0f} MB:")
    print(f"one pass grows by {grown[few]:.0f} MB at {few} traces, by {grown[many]:.0f} MB at {many}")
    print(f"kept hidden states grow by {kept:.0f} MB at {few} traces, that is {kept * many / few:.0f} MB at {many}")
    print(f"share: 1/{kept / grown[few]:.1f} at {few} traces, 1/{kept * many / few / grown[many]:.1f} at {many}")


def main() -> None:
    """Print the tables."""
    compare_speed()
    compare_memory()


if __name__ == "__main__":
    if len(sys.argv) == 3:
        measure_growth(sys.argv[1], int(sys.argv[2]))
    else:
        main()
