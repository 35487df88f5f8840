"""Gradients of a text of 2,000 tokens: CPU seconds and memory beyond the weights, against keeping the whole graph.

python -m benchmarks.gradients
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time

import numpy as np
import psutil  # type: ignore[import-untyped]
import torch

from benchmarks.shape_135m import loaded_135m, long_text
from core.attribution.gradients import attribute_gradients
from core.attribution.targets import check_text, contrast_of
from core.attribution.values import Gradients, GradientSpec, TargetText
from core.forward.hooks import record_residuals
from core.forward.unembedding import unembed
from core.models.loaded import LoadedModel

TOKENS = 2000
WAYS = {"whole": "the whole graph kept", "again": "each block run again"}


def whole_graph(loaded: LoadedModel, spec: GradientSpec) -> np.ndarray:
    """(n_layers, seq) gradient × direction from one ordinary forward and backward pass."""
    kept: dict[int, torch.Tensor] = {}
    layers = range(loaded.n_layers)
    with torch.enable_grad():
        embedded = loaded.model.get_input_embeddings()(torch.tensor([spec.text.token_ids])).requires_grad_()
        with record_residuals(loaded, layers, kept.__setitem__):
            normed = loaded.decoder(inputs_embeds=embedded, use_cache=False).last_hidden_state[0]
        logits = unembed(loaded, normed[list(spec.text.targets)])
        target = contrast_of(logits.detach(), check_text(loaded, spec.text)).of(logits).mean()
        found = torch.autograd.grad(target, [kept[layer] for layer in layers])
    vector = torch.from_numpy(spec.direction.vector)
    return torch.stack([g[0] @ vector for g in found]).numpy()


def child(way: str) -> None:
    """One way, in a process of its own, so that its highest memory is its own."""
    loaded = loaded_135m()
    reading = long_text(loaded, TOKENS)
    spec = GradientSpec(text=TargetText.of(reading, (TOKENS - 2,)), direction=reading.direction)
    loaded.keyword_forms(spec.text.keywords)
    before, began = psutil.Process().memory_info().rss, time.process_time()
    if way == "whole":
        along = whole_graph(loaded, spec)
    else:
        *_, result = attribute_gradients(loaded, spec)
        assert isinstance(result, Gradients)
        along = result.along
    seconds = time.process_time() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(f"{seconds} {peak - before} {np.abs(along).max()} {along[3, TOKENS - 40 : TOKENS].sum()}")


def main() -> None:
    """Print the figures of both ways."""
    for way, words in WAYS.items():
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.gradients", way], check=True, capture_output=True, text=True
        )
        seconds, extra, largest, some = map(float, done.stdout.split())
        print(f"{words}: {seconds:.1f} s, {extra / 1e9:.2f} GB; largest {largest:.6g}, a sum {some:.6g}")
    print("The second way includes direct logit attribution, which takes a forward pass of its own.")


if __name__ == "__main__":
    child(sys.argv[1]) if len(sys.argv) > 1 else main()
