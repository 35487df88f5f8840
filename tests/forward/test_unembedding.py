"""Log-probabilities and KL in chunks against the direct formula, and a vocabulary that is decoded once."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch

from core.forward import unembedding
from core.forward.unembedding import any_probability, keyword_ids, kl_divergence, log_probabilities, word_items
from tests.tiny_models import tiny_loaded


@pytest.fixture
def loaded(tmp_path):
    return tiny_loaded(tmp_path)


@pytest.mark.parametrize("chunk", [1, 7, 256])
def test_chunks_give_the_direct_formula_in_float64(loaded, monkeypatch, chunk):
    monkeypatch.setattr(unembedding, "CHUNK", chunk)
    torch.manual_seed(0)
    a, b = torch.randn(2, 23, loaded.d_model)
    weight = loaded.unembed.weight.detach().double()
    p, q = ((x.double() @ weight.T).softmax(-1) for x in (a, b))
    kl, share, places = [], [], []
    with torch.inference_mode():
        both = zip(log_probabilities(loaded, a), log_probabilities(loaded, b), strict=True)
        for (here, ours), (_, theirs) in both:
            assert ours.dtype == torch.float64
            assert len(ours) <= chunk
            places += range(23)[here]
            kl += kl_divergence(ours, theirs)
            share += any_probability(ours, torch.tensor([3, 9]))
    assert places == list(range(23))
    assert torch.stack(kl) == pytest.approx((p * (p / q).log()).sum(-1), abs=1e-6)
    assert torch.stack(share) == pytest.approx(p[:, [3, 9]].sum(-1), abs=1e-6)


def test_a_distribution_does_not_part_from_itself_and_no_rounding_makes_it_negative():
    p = torch.randn(50, 300, dtype=torch.float64).log_softmax(-1)
    assert kl_divergence(p, p).max() == 0
    assert kl_divergence(p, p + 1e-13).min() >= 0


class Spy:
    """Something else, counting the calls of its `decode_batch`."""

    def __init__(self, behind, calls):
        self._behind, self._calls = behind, calls

    def __getattr__(self, name):
        found = getattr(self._behind, name)
        if name == "decode_batch":
            self._calls.append(1)
        return Spy(found, self._calls) if name == "backend_tokenizer" else found

    def __len__(self):
        return len(self._behind)


def test_the_vocabulary_is_decoded_once_for_many_texts_threads_and_views(loaded):
    calls = []
    loaded = replace(loaded, tokenizer=Spy(loaded.tokenizer, calls))
    with ThreadPoolExecutor(4) as pool:
        texts = list(pool.map(lambda _: loaded.vocabulary_texts(), range(8)))
    for words in ("wait", "hmm", "but"):
        keyword_ids(loaded, [words])
        word_items(loaded, [words])
    replace(loaded, layers=loaded.layers[:1]).vocabulary_texts()
    assert len(calls) == 1
    assert len(texts[0]) == loaded.d_vocab
    assert texts[0][7] == loaded.tokenizer.decode([7])
