"""Key-value caches with room to grow, so that a decode step does not copy what is already there.

One grows with each step; one stays at its place in memory, which a step that is captured for a card needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer, LinearAttentionCacheLayerMixin

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
        """Keep some rows of the batch: (k,) row indices."""
        super().batch_select_indices(indices)
        self._key_room = self._value_room = None

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


def keep_rows(cache: DynamicCache, indices: Tensor) -> None:
    """Keep some rows of the batch, (k,) row indices, of keys and values and of recurrent states."""
    for layer in cache.layers:
        if isinstance(layer, LinearAttentionCacheLayerMixin):
            for states in (layer.conv_states, layer.recurrent_states):
                states.update({i: state[indices] for i, state in states.items() if state is not None})
        if isinstance(layer, DynamicLayer):
            layer.batch_select_indices(indices)
