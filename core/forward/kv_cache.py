"""Key-value caches with room to grow, so that a decode step does not copy what is already there.

One grows with each step; one stays at its place in memory, which a step that is captured for a card needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer, LinearAttentionCacheLayerMixin

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

ROOM = 128
"""Positions that are allocated at a time beyond those in use."""


class RoomyLayer(DynamicLayer):  # type: ignore[misc]
    """A layer whose keys and values (batch, heads, seq, head_dim) are the filled part of larger tensors."""

    keys: Tensor
    values: Tensor
    _key_room: Tensor | None = None
    _value_room: Tensor | None = None

    def update(
        self, key_states: Tensor, value_states: Tensor, *_args: object, **_kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """Append the new states and return all of them."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        used = self.get_seq_length()
        stop = used + key_states.shape[-2]
        keys = _with_room(self._key_room, self.keys, key_states, used)
        values = _with_room(self._value_room, self.values, value_states, used)
        keys[..., used:stop, :], values[..., used:stop, :] = key_states, value_states
        self._key_room, self._value_room = keys, values
        self.keys, self.values = keys[..., :stop, :], values[..., :stop, :]
        return self.keys, self.values

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep some rows of the batch, (k,) row indices; of a `packed` order only the rows that move are copied."""
        n, used = len(indices), self.get_seq_length()
        moved = (indices != torch.arange(n, device=indices.device)).nonzero()[:, 0]
        if self._key_room is None or self._value_room is None or bool((indices[moved] < n).any()):
            super().batch_select_indices(indices)
            self._key_room = self._value_room = None
            return
        for room in (self._key_room, self._value_room):
            room[moved] = room[indices[moved]]
        self._key_room, self._value_room = self._key_room[:n], self._value_room[:n]
        self.keys, self.values = self._key_room[..., :used, :], self._value_room[..., :used, :]

    def drop(self, n: int) -> None:
        """Forget the first n columns, without copying the others."""
        self.keys, self.values = self.keys[..., n:, :], self.values[..., n:, :]
        if self._key_room is not None and self._value_room is not None:
            self._key_room, self._value_room = self._key_room[..., n:, :], self._value_room[..., n:, :]

    def reset(self) -> None:
        """Let go of everything."""
        super().reset()
        self._key_room = self._value_room = None


class FixedLayer(DynamicLayer):  # type: ignore[misc]
    """Keys and values (rows, heads, room, head_dim) at one address, of which a step fills the column `place` (1,)."""

    keys: Tensor
    values: Tensor

    def __init__(self, keys: Tensor, values: Tensor, place: Tensor) -> None:
        super().__init__()
        self.lazy_initialization(keys, values)
        self.keys, self.values, self._place = keys, values, place

    def update(
        self, key_states: Tensor, value_states: Tensor, *_args: object, **_kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """Put the new states (rows, heads, 1, head_dim) in their column and return the whole room."""
        self.keys.index_copy_(2, self._place, key_states)
        self.values.index_copy_(2, self._place, value_states)
        return self.keys, self.values


class FrozenLayer(DynamicLayer):  # type: ignore[misc]
    """Keys and values (1, heads, seq, head_dim) that stay as they are: what is added serves one pass, in any batch."""

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        super().__init__()
        self.lazy_initialization(keys, values)
        self.keys, self.values = keys, values

    def update(
        self, key_states: Tensor, value_states: Tensor, *_args: object, **_kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """All keys and values: these for every row, then the new states."""
        rows = len(key_states)
        keys, values = (kept.expand(rows, -1, -1, -1) for kept in (self.keys, self.values))
        return torch.cat([keys, key_states], -2), torch.cat([values, value_states], -2)


def _with_room(room: Tensor | None, present: Tensor, new: Tensor, used: int) -> Tensor:
    """The room when the new states fit in it, else a larger one that holds what is present."""
    stop = used + new.shape[-2]
    if room is not None and stop <= room.shape[-2]:
        return room
    larger = torch.empty(*new.shape[:-2], stop + ROOM, new.shape[-1], dtype=new.dtype, device=new.device)
    if used:
        larger[..., :used, :] = present
    return larger


def roomy_cache(config: PreTrainedConfig) -> DynamicCache:
    """An empty cache for a model of this config; layers with a sliding window stay as transformers has them."""
    cache = DynamicCache(config=config)
    cache.layers = [RoomyLayer() if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache


@torch.inference_mode()
def put_rows(cache: DynamicCache, rows: Tensor, new: DynamicCache, *, stop: int | None = None) -> None:
    """Write the rows of another cache in the places `rows` (k,); they end at column `stop`, by default the last.

    The places are emptied first: nothing that an ended row left behind is read, even with weight 0.
    """
    for layer, other in zip(cache.layers, new.layers, strict=True):
        for kept, read in ((layer.keys, other.keys), (layer.values, other.values)):
            end = kept.shape[2] if stop is None else stop
            kept[rows] = 0
            kept[rows, :, end - read.shape[2] : end] = read


def drop_columns(cache: DynamicCache, n: int) -> None:
    """Forget the first n columns, of layers that keep all columns or a sliding window of them."""
    for layer in cache.layers:
        if isinstance(layer, DynamicSlidingWindowLayer):
            layer.cumulative_length -= n
            start = max(0, layer.keys.shape[2] - layer.cumulative_length)
            layer.keys, layer.values = layer.keys[:, :, start:], layer.values[:, :, start:]
        else:
            layer.drop(n)


@torch.inference_mode()
def keep_rows(cache: DynamicCache, indices: Tensor) -> None:
    """Keep some rows of the batch, (k,) row indices, of keys and values and of recurrent states."""
    for layer in cache.layers:
        if isinstance(layer, LinearAttentionCacheLayerMixin):
            for states in (layer.conv_states, layer.recurrent_states):
                states.update({i: state[indices] for i, state in states.items() if state is not None})
        if isinstance(layer, DynamicLayer):
            layer.batch_select_indices(indices)
