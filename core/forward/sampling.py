"""From logits to the next token of every row: its own temperature, nucleus, banned tokens and random numbers.

A token is drawn as the inverse of the row's cumulative distribution, the likeliest first. Sorting a whole vocabulary
for that takes longer than small models do; mostly the draw falls among the likeliest few, and these alone are sorted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from core.forward.rows import taken
from core.values import SamplingSpec

LEAST_SORTED, SORTED_SHARE = 64, 256
"""How many of the likeliest tokens are sorted on the CPU: at least these, else one in so many of the vocabulary."""
SORTED_ON_CARD = 1024
DRAWN_AT_ONCE = 64


class Draws:
    """The random numbers of one row, evenly in [0, 1): the n-th is that of the n-th token of its completion."""

    def __init__(self, sampling: SamplingSpec) -> None:
        self._generator = torch.Generator().manual_seed(sampling.seed)
        self._is_greedy = sampling.temperature == 0
        self._numbers: list[float] = []

    def between(self, start: int, stop: int) -> list[float]:
        """Those of the tokens from `start` on, before `stop`; zeros where nothing is drawn."""
        if self._is_greedy:
            return [0.0] * (stop - start)
        while len(self._numbers) < stop:
            self._numbers += torch.rand(DRAWN_AT_ONCE, generator=self._generator, dtype=torch.float64).tolist()
        return self._numbers[start:stop]


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How the tokens of a batch are chosen, a row each."""

    heats: Tensor
    """(batch, 1) temperatures; 1 where the likeliest is taken. Like `nuclei` float64, where anything is drawn."""
    nuclei: Tensor
    """(batch, 1) shares of the probability that may be drawn from."""
    drawn: Tensor
    """(batch,) whether a token is drawn, or the likeliest taken."""
    banned: Tensor | None
    """(batch, d_vocab) tokens that are never chosen; None for none at all."""
    draws_any: bool
    draws_all: bool
    cuts: bool
    """Whether any nucleus is less than everything."""

    def select(self, rows: Tensor) -> Sampling:
        """Of some rows of the batch: (k,) row indices."""
        return taken(self, rows)


def sampling_of(specs: Sequence[SamplingSpec], d_vocab: int, device: torch.device) -> Sampling:
    """The sampling of a batch whose row i follows specs[i]."""
    drawn = [spec.temperature > 0 for spec in specs]
    banned = None
    if any(spec.banned for spec in specs):
        banned = torch.zeros(len(specs), d_vocab, dtype=torch.bool)
        for row, spec in enumerate(specs):
            banned[row, list(spec.banned)] = True
        banned = banned.to(device)
    digits = torch.float64 if any(drawn) else torch.float32
    return Sampling(
        heats=torch.tensor([[spec.temperature or 1.0] for spec in specs], dtype=digits, device=device),
        nuclei=torch.tensor([[spec.top_p] for spec in specs], dtype=digits, device=device),
        drawn=torch.tensor(drawn, device=device),
        banned=banned,
        draws_any=any(drawn),
        draws_all=all(drawn),
        cuts=any(spec.top_p < 1 for spec, is_drawn in zip(specs, drawn, strict=True) if is_drawn),
    )


def choose(logits: Tensor, sampling: Sampling, draws: Tensor) -> Tensor:
    """(batch,) token ids, from float32 logits (batch, d_vocab) and numbers in [0, 1) (batch, 1).

    On a card nothing depends on what is drawn, so that a captured step holds all of it: beyond SORTED_ON_CARD tokens a
    draw from the whole distribution goes on in the order of the vocabulary. Each token keeps its probability.
    """
    if sampling.banned is not None:
        logits = logits.masked_fill(sampling.banned, -torch.inf)
    if not sampling.draws_any:
        return logits.argmax(-1)
    probabilities = torch.softmax(logits.double() / sampling.heats, -1)
    if sampling.cuts and logits.device.type != "cpu":
        found = by_sorting(probabilities, sampling.nuclei, draws)
    elif logits.device.type != "cpu":
        found = by_prefix_and_vocabulary(probabilities, draws, n_sorted=SORTED_ON_CARD)
    else:
        found = by_prefix(probabilities, sampling.nuclei, draws)
    return found if sampling.draws_all else torch.where(sampling.drawn, found, logits.argmax(-1))


def by_sorting(probabilities: Tensor, nuclei: Tensor, draws: Tensor) -> Tensor:
    """(batch,) ids drawn from float64 probabilities (batch, d_vocab), the likeliest first, cut at the nucleus."""
    ordered, ids = probabilities.sort(descending=True)
    cumulative = ordered.cumsum(-1)
    last = (cumulative < nuclei).sum(-1, keepdim=True).clamp(max=ids.shape[-1] - 1)
    place = torch.searchsorted(cumulative, draws * cumulative.gather(-1, last), right=True)
    return ids.gather(-1, place.minimum(last))[:, 0]


def by_prefix(probabilities: Tensor, nuclei: Tensor, draws: Tensor) -> Tensor:
    """As `by_sorting`, of which it is done only for rows that the likeliest few do not decide.

    These are rows whose draw or nucleus ends beyond the few, or whose token is as likely as the one beside it; all of
    them where the few cannot hold much, as in a model of random weights.
    """
    n = probabilities.shape[-1]
    few = max(LEAST_SORTED, n // SORTED_SHARE)
    if few >= n or bool((few * probabilities.amax(-1)).mean() < 1):
        return by_sorting(probabilities, nuclei, draws)
    ordered, ids = probabilities.topk(few)
    cumulative = ordered.cumsum(-1)
    last = (cumulative < nuclei).sum(-1, keepdim=True)
    ends_inside = last < few
    mass = torch.where(ends_inside, cumulative.gather(-1, last.clamp(max=few - 1)), probabilities.sum(-1, keepdim=True))
    place = torch.searchsorted(cumulative, draws * mass, right=True).minimum(last)
    here, above, below = (place.clamp(max=few - 2) + step for step in (0, -1, 1))
    values = ordered.gather(-1, here)
    is_alone = (values > ordered.gather(-1, below)) & ((here == 0) | (values < ordered.gather(-1, above.clamp(min=0))))
    decided = (place <= few - 2) & is_alone & (ends_inside | (nuclei >= 1))
    found = ids.gather(-1, here)[:, 0]
    open_rows = (~decided[:, 0]).nonzero()[:, 0]
    if len(open_rows):
        found[open_rows] = by_sorting(probabilities[open_rows], nuclei[open_rows], draws[open_rows])
    return found


def by_prefix_and_vocabulary(probabilities: Tensor, draws: Tensor, *, n_sorted: int) -> Tensor:
    """(batch,) ids drawn from all of the float64 probabilities: the likeliest first, the others by their number."""
    ordered, ids = probabilities.topk(min(n_sorted, probabilities.shape[-1]))
    cumulative = ordered.cumsum(-1)
    others = probabilities.scatter(-1, ids, 0.0).cumsum(-1) + cumulative[:, -1:]
    target = torch.minimum(draws * others[:, -1:], others[:, -1:] * (1 - 2**-50))
    place = (cumulative <= target).sum(-1, keepdim=True)
    beyond = (others <= target).sum(-1, keepdim=True).clamp(max=probabilities.shape[-1] - 1)
    return torch.where(place < ids.shape[-1], ids.gather(-1, place.clamp(max=ids.shape[-1] - 1)), beyond)[:, 0]
