"""A decode step whose tensors all stay at their place, so that a card repeats it as one recorded graph.

What changes from step to step lies in tensors that the step itself reads and writes: the column being read, every
row's tokens and random numbers, keys and values, the steering and where it ends. The host only says "once more" and
gets the tokens later, while the card goes on. On the CPU the same step runs as it is.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from core.forward.fused_parts import NOTHING, Fused, find_fused, use_fused
from core.forward.hooks import steer_residuals
from core.forward.kv_cache import FixedLayer, put_rows
from core.forward.rows import moved, packed, put, widened
from core.forward.sampling import Draws, Sampling, choose
from core.forward.steering import Steering
from core.models.loaded import LoadedModel

log = logging.getLogger(__name__)

ROOM_STEP, ROOM_SHARE = 256, 4
"""Columns are allocated in multiples of this, or of one in so many of those in use where that is more."""
SOUND, BAD_LOGITS, BAD_STREAM = 0, 1, 2
"""What a step says of each row's numbers."""


@dataclass(frozen=True, kw_only=True)
class ReadRows:
    """Rows of a batch as far as they are read, to go on with fixed steps."""

    cache: DynamicCache
    """Of `n_read` columns; it is emptied, layer by layer, where all rows of a batch go on."""
    input_ids: Tensor
    """(rows, 1) tokens that were not read yet."""
    pads: Tensor
    """(rows,) padding tokens before each row."""
    n_read: int
    steering: Steering
    sampling: Sampling
    numbers: Sequence[tuple[Draws, int]]
    """Per row, its random numbers and the column of its completion's first token."""


@dataclass(kw_only=True, eq=False)
class FixedRows:
    """The rows of a batch from some token on: `launch` makes a step, `fetch` says what the oldest one chose."""

    loaded: LoadedModel
    pads: Tensor
    """(rows,) padding tokens before each row."""
    steering: Steering
    sampling: Sampling
    cache: DynamicCache
    """Of FixedLayers."""
    windows: tuple[int | None, ...]
    """Per layer, how many columns it sees; None for all."""
    place: Tensor
    """(1,) the column that is read next."""
    tokens: Tensor
    """(rows, room) by column; those before the first step are not needed."""
    draws: Tensor
    """(rows, room) the number that each column's token is drawn with, where it is."""
    numbers: list[tuple[Draws, int]]
    """Per row, its random numbers and the column of its completion's first token."""
    column: int
    """`place` after all launched steps."""
    found: Tensor
    """(rows, 2) token and soundness that the last step found."""
    n_waiting: int = 0
    """Columns of the longest row that may still join: as many stay in use."""
    logits: Tensor = field(init=False)
    """(rows, d_vocab) of the last step."""
    pending: list[tuple[Tensor, Callable[[], object]]] = field(default_factory=list)
    fused: Fused = field(init=False)
    _again: Callable[[], object] | None = None

    def __post_init__(self) -> None:
        self.fused = find_fused(self.loaded) if self.pads.device.type == "cuda" else NOTHING
        self.loaded.lock.leavers.add(self)

    @property
    def n_rows(self) -> int:
        return len(self.pads)

    @property
    def is_captured(self) -> bool:
        """Whether the last step was a graph's."""
        return self._again is not None and self._again != self.step

    @property
    def room(self) -> int:
        return self.tokens.shape[1]

    def launch(self) -> None:
        """Make one step; on a card this returns at once."""
        if self.column + 1 >= self.room:
            self._grow()
        with self.loaded.lock:
            if self._again is None:
                self._again = _captured(self) if self.loaded.device.type == "cuda" else self.step
            self._again()
            self.pending.append(_on_its_way(self.found))
        self.column += 1

    def leave(self) -> None:
        """Forget the graph: the model's weights leave their place. Keys and values stay, the next step records anew."""
        self._again = None

    def fetch(self) -> tuple[list[int], list[int]]:
        """(token ids, soundness) of every row, of the oldest step that was not fetched yet; waits for it."""
        found, wait = self.pending.pop(0)
        wait()
        ids, sound = found.T.tolist()
        return ids, sound

    def take_back(self) -> None:
        """Undo the steps that were launched and not fetched, because something that they read has changed."""
        self.column -= len(self.pending)
        self.pending.clear()
        self.place.fill_(self.column)

    def keep(self, rows: Sequence[int]) -> list[int]:
        """Let the other rows go; returns the new order of those kept. Only keys and values out of place are copied."""
        self.take_back()
        n, order = len(rows), packed(rows)
        moves = [(place, row) for place, row in enumerate(order) if place != row]
        to, from_ = torch.tensor(moves, dtype=torch.int64, device=self.pads.device).reshape(-1, 2).unbind(1)
        for layer in self.cache.layers:
            for kept in (layer.keys, layer.values):
                kept[to] = kept[from_]
            layer.keys, layer.values = layer.keys[:n], layer.values[:n]
        chosen = torch.tensor(order, dtype=torch.int64, device=self.pads.device)
        self.steering, self.sampling = self.steering.select(chosen), self.sampling.select(chosen)
        self.pads, self.tokens = self.pads[chosen], self.tokens[chosen]
        self.draws, self.found = self.draws[chosen], self.found[chosen]
        self.numbers = [self.numbers[row] for row in order]
        self._again = None
        return order

    def take_in(self, places: Sequence[int], new: ReadRows) -> None:
        """Go on with other rows in some places; nothing moves in memory, so that a captured step stays as it is."""
        self.take_back()
        at, later = torch.tensor(places, dtype=torch.int64, device=self.pads.device), self.column - new.n_read
        put_rows(self.cache, at, new.cache, stop=self.column)
        self.pads[at], self.tokens[at, self.column] = new.pads + later, new.input_ids[:, 0]
        self.steering.put(at, new.steering)
        put(self.sampling, at, new.sampling)
        for place, (draws, first) in zip(places, new.numbers, strict=True):
            self.numbers[place] = (draws, first + later)
        self.fill_draws(places)

    def _grow(self) -> None:
        """Move, layer by layer, what rows have to the front, in a larger room where that leaves too little of this."""
        drop = max(0, min(int(self.pads.min()), self.column - self.n_waiting))
        room = room_for(self.column - drop + ROOM_STEP // 2)
        self._again = self._again if room == self.room else None
        for layer in self.cache.layers:
            layer.keys, layer.values = moved(layer.keys, 2, drop, room), moved(layer.values, 2, drop, room)
        self.tokens, self.draws = moved(self.tokens, 1, drop, room), moved(self.draws, 1, drop, room)
        self.pads -= drop
        self.place -= drop
        self.column -= drop
        self.numbers = [(draws, first - drop) for draws, first in self.numbers]
        self.fill_draws(range(self.n_rows))

    def fill_draws(self, places: Sequence[int]) -> None:
        """Put the random numbers of all columns after `column` in their place, for some rows."""
        if self.sampling.draws_any and places:
            begin, room = self.column + 1, self.room
            rows = [draws.between(begin - first, room - first) for draws, first in (self.numbers[i] for i in places)]
            numbers = torch.tensor(rows, dtype=torch.float64).to(self.draws.device, self.draws.dtype)
            self.draws[torch.tensor(places, device=self.draws.device), begin:] = numbers

    def step(self) -> None:
        """Read the tokens of the column `place`, choose those of the next one, and move on."""
        positions = self.place - self.pads[:, None]
        self.steering.positions, self.steering.finite, self.steering.padded = positions, None, False
        with steer_residuals(self.loaded, self.steering), use_fused(self.fused), torch.inference_mode():
            output = self.loaded.model(
                input_ids=self.tokens.index_select(1, self.place),
                position_ids=positions.clamp(0, self.loaded.context_length - 1),
                attention_mask=self._masks(),
                past_key_values=self.cache,
                use_cache=True,
            )
            self.logits = output.logits[:, -1].float()
            chosen = choose(self.logits, self.sampling, self.draws.index_select(1, self.place + 1))
            self.tokens.index_copy_(1, self.place + 1, chosen[:, None])
            self.found[:, 0] = chosen
            self.found[:, 1] = BAD_LOGITS * ~torch.isfinite(self.logits).all(-1)
            if self.steering.finite is not None:
                self.found[:, 1].masked_fill_(~self.steering.finite, BAD_STREAM)
            self.place += 1

    def _masks(self) -> Tensor | dict[str, Tensor]:
        """Per kind of layer, (rows, 1, 1, room) what is added to the attention: 0 to what is seen, else −∞."""
        columns = torch.arange(self.room, device=self.pads.device)
        seen = (columns <= self.place) & (columns >= self.pads[:, None])
        masks = {}
        for window in dict.fromkeys(self.windows):
            inside = seen if window is None else seen & (columns > self.place - window)
            mask = torch.zeros(inside.shape, dtype=self.loaded.compute_dtype, device=inside.device)
            masks["full_attention" if window is None else "sliding_attention"] = mask.masked_fill_(~inside, -torch.inf)[
                :, None, None
            ]
        return masks if len(masks) > 1 else next(iter(masks.values()))


def fixed_rows(loaded: LoadedModel, read: ReadRows) -> FixedRows:
    """Go on with fixed steps from there."""
    pads, n_read = read.pads, read.n_read
    room, place = room_for(n_read + 2), torch.tensor([n_read], device=pads.device)
    windows = tuple(window_of(layer) for layer in read.cache.layers)
    fixed = DynamicCache()
    fixed.layers = []
    for layer in read.cache.layers:
        fixed.layers.append(_fixed_layer(layer, n_read, room, place))
        layer.reset()
    tokens = torch.zeros(len(pads), room, dtype=torch.int64, device=pads.device)
    tokens[:, n_read : n_read + 1] = read.input_ids
    rows = FixedRows(
        loaded=loaded,
        numbers=list(read.numbers),
        pads=pads,
        steering=read.steering,
        sampling=read.sampling,
        cache=fixed,
        windows=windows,
        place=place,
        tokens=tokens,
        draws=torch.zeros(tokens.shape, dtype=read.sampling.heats.dtype, device=pads.device),
        column=n_read,
        found=torch.zeros(len(pads), 2, dtype=torch.int64, device=pads.device),
    )
    rows.fill_draws(range(len(pads)))
    return rows


def _fixed_layer(layer: DynamicLayer, n_read: int, room: int, place: Tensor) -> FixedLayer:
    """Its keys and values in a room; what slid out of its window stays empty, and is not seen."""
    keys, values = (widened(t, 2, room, begin=n_read - t.shape[2]) for t in (layer.keys, layer.values))
    return FixedLayer(keys, values, place)


def room_for(columns: int) -> int:
    """How many columns are allocated where this many are in use."""
    step = ROOM_STEP
    while 2 * ROOM_SHARE * step <= columns:
        step *= 2
    return -(-columns // step) * step


def _captured(rows: FixedRows) -> Callable[[], object]:
    """The step as a graph of the card, or, where it cannot be captured, as it is; the caller holds the lock."""
    graph, side = torch.cuda.CUDAGraph(), torch.cuda.Stream(rows.loaded.device)  # type: ignore[no-untyped-call]
    try:
        with torch.cuda.graph(graph, stream=side, capture_error_mode="thread_local"):
            rows.step()
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        log.warning("A step of %s cannot be captured, and runs as it is: %s", rows.loaded.name, error)
        return rows.step
    return graph.replay


def _on_its_way(found: Tensor) -> tuple[Tensor, Callable[[], object]]:
    """A copy in the computer's memory, and what waits until it is there."""
    if found.device.type != "cuda":
        return found.clone(), lambda: None
    copy = torch.empty(found.shape, dtype=found.dtype, pin_memory=True).copy_(found, non_blocking=True)
    done = torch.cuda.Event()  # type: ignore[no-untyped-call]
    done.record()
    return copy, done.synchronize


def window_of(layer: DynamicLayer) -> int | None:
    return layer.sliding_window if isinstance(layer, DynamicSlidingWindowLayer) else None
