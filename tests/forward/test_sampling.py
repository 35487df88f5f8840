"""A token is drawn as by sorting the whole vocabulary, whatever shorter way is taken."""

from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.forward.sampling import Draws, by_prefix, by_prefix_and_vocabulary, by_sorting, choose, sampling_of
from core.values import SamplingSpec

seeds = st.integers(0, 10_000)


def some_probabilities(seed, rows, vocabulary, spread, digits):
    """(rows, vocabulary) float64; with few digits many are equal."""
    logits = torch.randn(rows, vocabulary, generator=torch.Generator().manual_seed(seed)) * spread
    return torch.softmax((logits.bfloat16().float() if digits == "few" else logits).double(), -1)


@settings(max_examples=150, deadline=None)
@given(
    seed=seeds,
    rows=st.integers(1, 6),
    vocabulary=st.sampled_from([3, 65, 300, 1500]),
    spread=st.sampled_from([0.0, 0.1, 1.0, 4.0, 12.0]),
    digits=st.sampled_from(["few", "all"]),
    nuclei=st.lists(st.sampled_from([1e-6, 0.3, 0.9, 0.999, 1.0]), min_size=6, max_size=6),
)
def test_the_likeliest_few_decide_as_the_sorted_vocabulary_does(seed, rows, vocabulary, spread, digits, nuclei):
    probabilities = some_probabilities(seed, rows, vocabulary, spread, digits)
    nuclei = torch.tensor(nuclei[:rows], dtype=torch.float64)[:, None]
    draws = torch.rand(rows, 1, generator=torch.Generator().manual_seed(seed + 1), dtype=torch.float64)
    assert by_prefix(probabilities, nuclei, draws).tolist() == by_sorting(probabilities, nuclei, draws).tolist()


@settings(max_examples=50, deadline=None)
@given(seed=seeds, n_sorted=st.sampled_from([1, 8, 64]), spread=st.sampled_from([0.1, 1.0, 4.0]))
def test_on_a_card_the_likeliest_decide_alike_and_no_draw_leaves_the_vocabulary(seed, n_sorted, spread):
    probabilities = some_probabilities(seed, 40, 200, spread, "all")
    draws = torch.rand(40, 1, generator=torch.Generator().manual_seed(seed + 1), dtype=torch.float64)
    draws[0], draws[1] = 0.0, 1 - 2**-53
    found = by_prefix_and_vocabulary(probabilities, draws, n_sorted=n_sorted)
    sorted_ids = by_sorting(probabilities, torch.ones(40, 1, dtype=torch.float64), draws)
    inside = draws[:, 0] < probabilities.topk(n_sorted).values.sum(-1) - 1e-12
    assert inside[0]
    assert found[inside].tolist() == sorted_ids[inside].tolist()
    assert all(p > 0 for p in probabilities.gather(-1, found[:, None])[:, 0].tolist())


def test_on_a_card_each_token_keeps_its_probability_beyond_the_likeliest():
    """Draws spread evenly over [0, 1) give each token in its share, to one draw in two thousand."""
    n = 2000
    probabilities = some_probabilities(3, 1, 12, 1.0, "all").expand(n, -1)
    draws = ((torch.arange(n, dtype=torch.float64) + 0.5) / n)[:, None]
    counts = Counter(by_prefix_and_vocabulary(probabilities, draws, n_sorted=3).tolist())
    assert [counts[i] / n for i in range(12)] == pytest.approx(probabilities[0].tolist(), abs=1 / n)


def test_numbers_of_a_row_are_one_a_token_however_they_are_asked_for():
    generator = torch.Generator().manual_seed(7)
    one_by_one = [float(torch.rand((), generator=generator, dtype=torch.float64)) for _ in range(200)]
    spec = SamplingSpec(temperature=1.0, seed=7)
    assert Draws(spec).between(0, 200) == one_by_one
    assert Draws(spec).between(150, 151) == one_by_one[150:151]
    assert Draws(SamplingSpec(seed=7)).between(3, 6) == [0.0] * 3


def test_greedy_rows_beside_drawn_ones_take_the_likeliest_that_is_not_banned():
    logits = torch.tensor([[0.0, 3.0, 2.0, 1.0]] * 3)
    specs = [SamplingSpec(), SamplingSpec(banned=(1,)), SamplingSpec(temperature=1.0, top_p=0.8, seed=1)]
    sampling = sampling_of(specs, 4, torch.device("cpu"))
    assert choose(logits, sampling, torch.full((3, 1), 0.99, dtype=torch.float64)).tolist() == [1, 2, 2]
    chosen = choose(logits[1:2], sampling.select(torch.tensor([1])), torch.zeros(1, 1, dtype=torch.float64))
    assert chosen.tolist() == [2]


def test_a_batch_that_draws_nothing_holds_no_float64():
    """Which some devices do not have."""
    greedy = sampling_of([SamplingSpec(), SamplingSpec(banned=(2,))], 4, torch.device("cpu"))
    assert greedy.heats.dtype == greedy.nuclei.dtype == torch.float32
    drawn = sampling_of([SamplingSpec(), SamplingSpec(temperature=0.5)], 4, torch.device("cpu"))
    assert drawn.heats.dtype == drawn.nuclei.dtype == torch.float64
