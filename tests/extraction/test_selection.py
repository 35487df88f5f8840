"""Selecting by a dense matrix, as on a card, is selecting by a sparse one."""

import pytest
import torch

from core.extraction.selection import select_sums


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
