"""Rows that run side by side over one cache: their next forward, and how rows leave them and join them.

A row that leaves is followed by one from the end, or by one that joins: the keys and values of the others stay where
they are. Knows no spec: what a row is, and when it ends, is the caller's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import DynamicCache

from core.forward.hooks import steer_residuals
from core.forward.kv_cache import drop_columns, keep_rows, put_rows
from core.forward.rows import packed, put
from core.forward.sampling import Sampling
from core.forward.steering import Steering
from core.forward.unembedding import not_finite
from core.models.loaded import LoadedModel


@dataclass
class Batch:
    """What the next forward of some rows needs."""

    rows: list[int]
    """(batch,) what the caller knows the rows by."""
    input_ids: Tensor
    """(batch, seq) tokens that the model has not read yet."""
    pads: Tensor
    """(batch,) how many padding tokens stand before each row."""
    n_read: int
    """Columns already in the cache, padding included."""
    steering: Steering
    cache: DynamicCache | None
    sampling: Sampling
    is_steered_anew: bool = False
    """Whether a token that was taken ended a steering."""

    def select(self, indices: list[int]) -> None:
        """Go on with these positions of the batch."""
        selected = torch.tensor(indices, dtype=torch.int64, device=self.input_ids.device)
        self.rows = [self.rows[i] for i in indices]
        self.input_ids, self.pads = self.input_ids[selected], self.pads[selected]
        self.steering, self.sampling = self.steering.select(selected), self.sampling.select(selected)
        if self.cache is not None:
            keep_rows(self.cache, selected)

    def let_go(self, ended: Sequence[int]) -> None:
        """Drop these positions of the batch."""
        if ended:
            self.select(packed([i for i in range(len(self.rows)) if i not in ended]))

    def take_in(self, new: Batch, free: list[int]) -> list[int]:
        """Go on with the rows of `new` too, in places that are free or else added; returns what is left free."""
        assert self.cache is not None
        assert new.cache is not None
        n, n_missing = len(self.rows), max(0, len(new.rows) - len(free))
        if n_missing:
            self.select([*range(n), *[0] * n_missing])
        places = [*free, *range(n, n + n_missing)][: len(new.rows)]
        at = torch.tensor(places, dtype=torch.int64, device=self.input_ids.device)
        for place, row in zip(places, new.rows, strict=True):
            self.rows[place] = row
        self.input_ids[at], self.pads[at] = new.input_ids, new.pads + (self.n_read - new.n_read)
        self.steering.put(at, new.steering)
        put(self.sampling, at, new.sampling)
        put_rows(self.cache, at, new.cache)
        return free[len(new.rows) :]

    def drop_padding(self, n_kept: int) -> None:
        """Forget the columns that are padding to every row, but for the last `n_kept` of all."""
        n = min(int(self.pads.min()), self.n_read - n_kept)
        if n > 0 and self.cache is not None:
            self.pads, self.n_read = self.pads - n, self.n_read - n
            drop_columns(self.cache, n)

    def go_on(self, chosen: Sequence[int]) -> None:
        """Make the chosen tokens the next input."""
        new = torch.tensor(chosen, device=self.input_ids.device)[:, None]
        if self.cache is None:
            self.input_ids = torch.cat([self.input_ids, new], dim=1)
        else:
            self.n_read, self.input_ids = self.n_read + self.input_ids.shape[1], new


def left_padded(texts: Sequence[Sequence[int]], device: torch.device) -> tuple[Tensor, Tensor]:
    """(batch, seq) token ids that end together, and (batch,) how many zeros stand before each text."""
    width = max(map(len, texts))
    ids = [[0] * (width - len(text)) + list(text) for text in texts]
    pads = [width - len(text) for text in texts]
    return torch.tensor(ids, dtype=torch.int64, device=device), torch.tensor(pads, device=device)


def next_logits(loaded: LoadedModel, batch: Batch) -> Tensor:
    """(batch, d_vocab) float32 logits of the token that comes next, from one steered forward pass."""
    width = batch.n_read + batch.input_ids.shape[1]
    columns = torch.arange(width, device=batch.input_ids.device)
    positions = columns[None, batch.n_read :] - batch.pads[:, None]
    # An index of the last column: cut out as a slice, a batch of them makes torch copy the unembedding for every row.
    last = columns[-1:] - batch.n_read
    arguments: dict[str, Tensor] = {
        "input_ids": batch.input_ids,
        "position_ids": positions.clamp(min=0),
        "logits_to_keep": last,
    }
    if bool(batch.pads.any()):
        arguments["attention_mask"] = (columns[None, :] >= batch.pads[:, None]).long()
    batch.steering.positions, batch.steering.finite = positions, None
    batch.steering.padded = "attention_mask" in arguments and batch.n_read == 0
    with loaded.lock, steer_residuals(loaded, batch.steering), torch.inference_mode():
        output = loaded.model(**arguments, past_key_values=batch.cache, use_cache=batch.cache is not None)
    logits: Tensor = output.logits[:, -1].float()
    sound, steered = torch.isfinite(logits).all(), batch.steering.finite
    if not bool(sound if steered is None else sound & steered.all()):
        raise not_finite(loaded, is_steered=steered is not None and not bool(steered.all()))
    return logits
