"""Selecting by a dense matrix, as on a card, is selecting by a sparse one."""

import numpy as np
import pytest
import torch

from core.extraction import packs, passes
from core.extraction.moments import MomentsSpec, single_offsets
from core.extraction.passes import record_moments
from core.extraction.selection import select_sums
from core.values import Part, Trace
from tests.tiny_models import tiny_loaded


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_dense_product_of_several_layers_is_the_sparse_one_of_each(dtype):
    """Against float64: squares keep sixteen digits of two in bf16, sums those of float32."""
    generator = torch.Generator().manual_seed(0)
    matrix = (torch.rand(30, 200, generator=generator) < 0.1).float()
    streams = (torch.randn(5, 200, 48, generator=generator) * 7 + 3).to(dtype)
    dense, sparse = select_sums(matrix, streams), select_sums(matrix.to_sparse(), streams)
    exact = [torch.matmul(matrix.double(), part) for part in (streams.double(), streams.double().square())]
    for found in (dense, sparse):
        assert [part.dtype for part in found] == [torch.float32] * 3
        torch.testing.assert_close(found[0].double(), exact[0], rtol=1e-5, atol=1e-4)
        torch.testing.assert_close(found[1].double(), exact[1], rtol=3e-5, atol=1e-3)
        torch.testing.assert_close(found[2].double(), streams.double().norm(dim=-1).sum(-1), rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("at_once", [200, 10_000])
def test_traces_read_together_are_those_read_alone(at_once, tmp_path, monkeypatch):
    """Rows of other lengths, padded to the right; one that cannot be read among them; several layers added at once."""
    loaded = tiny_loaded(tmp_path, context_length=160)
    texts = ["Wait, no. " * n for n in (3, 9, 5, 200, 2, 7, 4)]
    parts = (Part(label="backtracking", start=0, end=5), Part(label="other", start=6, end=9))
    traces = [Trace(trace_id=str(i), prompt="Why?", text=text, parts=parts) for i, text in enumerate(texts)]
    spec = MomentsSpec(
        model=loaded.spec,
        fingerprint=loaded.fingerprint,
        traces_digest="x",
        labels=("backtracking", "other"),
        windows=single_offsets(-2, 6),
        layers=(0, 1, 2),
    )
    *_, alone = record_moments(loaded, traces, spec)
    for module in (packs, passes):
        monkeypatch.setattr(module, "tokens_at_once", lambda device: at_once)
    *numbers, together = record_moments(loaded, traces, spec)
    assert len(numbers) < len(traces)
    assert numbers[-1] == len(traces)
    assert together.skipped == alone.skipped
    assert len(alone.skipped) == 1
    assert (together.n_traces, together.n_tokens) == (alone.n_traces, alone.n_tokens)
    for name in ("sums", "squares", "negative_sums", "all_squares", "norms", "counts", "negative_counts", "events"):
        np.testing.assert_allclose(getattr(together, name), getattr(alone, name), rtol=2e-5, atol=2e-5)
