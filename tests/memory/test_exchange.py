"""Weights that change places: the same numbers, one set on the card, and nothing moved where there is no room."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from core.errors import OutOfMemory
from core.memory import exchange
from core.memory.exchange import Exchange, new_room


def weights(*shapes: tuple[int, ...], seed: int, dtype: torch.dtype = torch.float32) -> list[nn.Parameter]:
    torch.manual_seed(seed)
    return [nn.Parameter(torch.randn(shape).to(dtype), requires_grad=False) for shape in shapes]


def copies(of: list[nn.Parameter]) -> list[Tensor]:
    return [one.detach().clone() for one in of]


def same(found: list[nn.Parameter], expected: list[Tensor]) -> bool:
    return all(torch.equal(a, b) and a.dtype == b.dtype for a, b in zip(found, expected, strict=True))


SHAPES = [
    pytest.param([(5, 7), (300,), (11, 3, 2)], [(5, 7), (300,), (11, 3, 2)], id="alike"),
    pytest.param([(5, 7), (300,), (11, 3, 2)], [(6, 7), (300,), (11, 3, 2)], id="more rows here"),
    pytest.param([(9, 7), (300,)], [(5, 7), (300,)], id="more rows away"),
    pytest.param([(5, 7)], [(5, 7), (300,), (2,)], id="more weights here"),
    pytest.param([(5, 7), (300,), (2,)], [(5, 7)], id="more weights away"),
]


@pytest.mark.parametrize(("away_shapes", "here_shapes"), SHAPES)
@pytest.mark.parametrize("piece", [16, 2**26])
def test_both_keep_their_numbers_however_often_they_change_places(monkeypatch, away_shapes, here_shapes, piece):
    monkeypatch.setattr(exchange, "PIECE", piece)
    away, here = weights(*away_shapes, seed=1), weights(*here_shapes, seed=2)
    expected = copies(away), copies(here)
    places = Exchange(away)
    places.join(here)
    for turn in range(5):
        assert same(away, expected[0])
        assert same(here, expected[1])
        on_card, in_host = (here, away) if turn % 2 == 0 else (away, here)
        assert all(places.is_on_card(one) for one in on_card)
        assert not any(places.is_on_card(one) for one in in_host)
        places.swap()


def test_types_and_orders_may_differ_and_a_tied_weight_stays_tied():
    here = weights((4, 6), (64,), seed=2, dtype=torch.bfloat16)
    away = [nn.Parameter(torch.randn(6, 4).t(), requires_grad=False), *weights((64,), seed=1)]
    model = nn.ModuleDict({"embed": nn.Embedding(4, 6), "head": nn.Linear(6, 4, bias=False)})
    model["embed"].weight = model["head"].weight = away[0]
    expected = copies(away), copies(here)
    places = Exchange(away)
    places.join(here)
    for _ in range(3):
        places.swap()
    assert same(away, expected[0])
    assert same(here, expected[1])
    assert model["embed"].weight is model["head"].weight
    assert torch.equal(model["embed"].weight, expected[0][0])


def test_a_swap_takes_no_more_of_the_card_than_one_piece(monkeypatch):
    taken = []

    def counted(n_bytes: int, device: torch.device) -> Tensor:
        taken.append(n_bytes)
        return new_room(n_bytes, device)

    monkeypatch.setattr(exchange, "PIECE", 64)
    away, here = weights((5, 7), (300,), seed=1), weights((5, 7), (300,), seed=2)
    places = Exchange(away, new_room=counted)
    n_bytes = places.n_bytes
    assert taken.pop() >= n_bytes == 4 * (35 + 300)
    places.join(here)
    assert taken == []
    before = {one.data_ptr() for one in here}
    places.swap()
    assert taken == [64]
    assert {one.data_ptr() for one in away} == before


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 16 bytes"),
    ],
)
def test_where_there_is_no_room_nothing_moves_and_a_sentence_says_so(error):
    full = [False]

    def room(n_bytes: int, device: torch.device) -> Tensor:
        if full[0]:
            raise error
        return new_room(n_bytes, device)

    away, here = weights((5, 7), seed=1), weights((5, 7), seed=2)
    expected, at = (copies(away), copies(here)), away[0].data_ptr()
    full[0] = True
    with pytest.raises(OutOfMemory, match="no memory for the"):
        Exchange(away, new_room=room)
    assert away[0].data_ptr() == at
    full[0] = False
    places = Exchange(away, new_room=room)
    places.join(here)
    full[0] = True
    with pytest.raises(OutOfMemory, match="cpu has no room left for moving a model"):
        places.swap()
    assert places.is_on_card(here[0])
    assert same(away, expected[0])
    assert same(here, expected[1])
    full[0] = False
    places.swap()
    assert places.is_on_card(away[0])
    assert same(away, expected[0])


def test_other_faults_are_no_lack_of_memory(monkeypatch):
    def room(n_bytes: int, device: torch.device) -> Tensor:
        raise RuntimeError("an illegal memory access")

    with pytest.raises(RuntimeError, match="illegal"):
        Exchange(weights((5, 7), seed=1), new_room=room)


def test_weights_change_places_within_inference_mode_and_stay_usable():
    away, here = weights((5, 7), seed=1), weights((5, 7), seed=2)
    places = Exchange(away)
    places.join(here)
    with torch.inference_mode():
        places.swap()
    assert not away[0].is_inference()
    away[0].data.add_(1)
    places.swap()
