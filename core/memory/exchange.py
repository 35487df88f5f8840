"""The weights of two models, of which one set has the card's memory and the other as much of the computer's.

They change places a piece at a time, through a small room on the card. Nothing else is allocated, so that a card that
is full of other things refuses before anything has moved. Buffers, such as the angles of rotations, stay on the card.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import logging
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import ParamSpec

import torch
from torch import Tensor

from core.errors import OutOfMemory
from core.values import T

log = logging.getLogger(__name__)

PIECE = 2**26
"""Bytes that are moved at a time."""
_ALIGNED = 64
"""Weights begin at multiples of so many bytes of the computer's memory."""
_FOR_ALL_CARDS = 1
"""CUDA's cudaHostRegisterPortable."""
P = ParamSpec("P")
NewRoom = Callable[[int, torch.device], Tensor]


def new_room(n_bytes: int, device: torch.device) -> Tensor:
    """(n_bytes,) uint8 of a device's memory."""
    return torch.empty(n_bytes, dtype=torch.uint8, device=device)


def _plain(work: Callable[P, T]) -> Callable[P, T]:
    """Tensors that are made within are ordinary ones, also where the caller computes without gradients."""

    @functools.wraps(work)
    def plain(*args: P.args, **kwargs: P.kwargs) -> T:
        with torch.inference_mode(False), torch.no_grad():
            return work(*args, **kwargs)

    return plain


class Exchange:
    """Two sets of weights and their two places; `swap` lets them change places.

    The first one leaves the card when this is made; `join` then says which one has come there meanwhile.
    """

    @_plain
    def __init__(self, away: Sequence[Tensor], *, new_room: NewRoom = new_room) -> None:
        """Raises OutOfMemory where the computer has no memory for the weights; they are on the card then, as before."""
        self._new_room = new_room
        self._away, self._here = _by_size(away), list[Tensor]()
        self._card, self._host = list[Tensor](), list[Tensor]()
        self._pins = list[Callable[[], object]]()
        self.device = self._away[0].device
        sizes = [weight.nbytes for weight in self._away]
        starts = [0, *itertools.accumulate(-(-size // _ALIGNED) * _ALIGNED for size in sizes)]
        with _refused(f"The computer has no memory for the {starts[-1] / 1e9:.1f} GB that leave the card."):
            room = self._new_host(starts[-1])
        for weight, start in zip(self._away, starts, strict=False):
            self._host.append(room[start : start + weight.nbytes])
            self._host[-1].copy_(_bytes(weight))
            weight.data = _shaped(self._host[-1], weight)

    @_plain
    def join(self, here: Sequence[Tensor]) -> None:
        """The weights that are on the card now. Where the sets differ in size, both places become large enough."""
        self._here = _by_size(here)
        with _refused("The weights do not fit the place of the others."):
            for i in range(max(len(self._here), len(self._away))):
                ours, theirs = (_at(weights, i) for weights in (self._here, self._away))
                size = max(_size(ours), _size(theirs))
                self._card.append(self._widened(ours, size, self._new_card))
                if _size(theirs) < size:
                    self._host[i:] = [self._widened(theirs, size, self._new_host), *self._host[i + 1 :]]

    @_plain
    def swap(self) -> None:
        """Let the two sets change places. Raises OutOfMemory, with both where they were, where the card is full."""
        with _refused(f"{self.device} has no room left for moving a model."):
            piece = self._new_room(min(PIECE, max(map(len, self._card))), self.device)
        _wait_for(self.device)
        for card, host in zip(self._card, self._host, strict=True):
            _exchange(card, host, piece)
        _wait_for(self.device)
        for i, (card, host) in enumerate(zip(self._card, self._host, strict=True)):
            for weight, place in ((_at(self._here, i), host), (_at(self._away, i), card)):
                if weight is not None:
                    weight.data = _shaped(place, weight)
        self._here, self._away = self._away, self._here

    def is_on_card(self, weight: Tensor) -> bool:
        """Whether a weight lies in the card's place."""
        return weight.data_ptr() in {place.data_ptr() for place in self._card}

    @property
    def n_bytes(self) -> int:
        """Of the card, and of the computer's memory, that one set takes."""
        return sum(map(len, self._host))

    def close(self) -> None:
        """Let go of both places; the weights stay where they are for those who hold them."""
        for held in (self._here, self._away, self._card, self._host):
            held.clear()
        while self._pins:
            self._pins.pop()()

    def _new_card(self, n_bytes: int) -> Tensor:
        return self._new_room(n_bytes, self.device)

    def _new_host(self, n_bytes: int) -> Tensor:
        room = self._new_room(n_bytes, torch.device("cpu"))
        if self.device.type == "cuda" and _is_pinned(room, self.device):
            pin = weakref.finalize(self, _unpin, room)
            pin.atexit = False
            self._pins.append(pin)
        return room

    def _widened(self, weight: Tensor | None, size: int, new: Callable[[int], Tensor]) -> Tensor:
        """A place of `size` bytes that the weight lies in: its own, if that is large enough."""
        if weight is not None and weight.nbytes == size:
            return _bytes(weight)
        place = new(size)
        if weight is not None:
            place[: weight.nbytes].copy_(_bytes(weight))
            weight.data = _shaped(place, weight)
        return place


def _exchange(card: Tensor, host: Tensor, piece: Tensor) -> None:
    """Exchange the bytes of two places; the copies of a card's stream come one after the other."""
    for start in range(0, len(card), len(piece)):
        here, there = card[start : start + len(piece)], host[start : start + len(piece)]
        kept = piece[: len(here)]
        kept.copy_(here)
        here.copy_(there, non_blocking=True)
        there.copy_(kept, non_blocking=True)


def _by_size(weights: Sequence[Tensor]) -> list[Tensor]:
    """The largest first, so that those of two models of one shape stand side by side; each one contiguous."""
    found = sorted((weight for weight in weights if weight.numel()), key=lambda weight: -weight.nbytes)
    for weight in found:
        if not weight.is_contiguous():
            weight.data = weight.data.contiguous()
    return found


def _bytes(weight: Tensor) -> Tensor:
    return weight.detach().reshape(-1).view(torch.uint8)


def _shaped(place: Tensor, like: Tensor) -> Tensor:
    return place[: like.nbytes].view(like.dtype).view(like.shape)


def _at(weights: Sequence[Tensor], i: int) -> Tensor | None:
    return weights[i] if i < len(weights) else None


def _size(weight: Tensor | None) -> int:
    return 0 if weight is None else weight.nbytes


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _is_pinned(room: Tensor, device: torch.device) -> bool:
    """Let the card copy to and from this memory by itself, which is faster, and say whether the system allows it.

    torch's own pinned memory comes in powers of two, which can be twice the weights.
    """
    cudart = torch.cuda.cudart()  # type: ignore[no-untyped-call]
    if int(cudart.cudaHostRegister(room.data_ptr(), room.nbytes, _FOR_ALL_CARDS)) == 0:
        return True
    log.warning("The memory for a model that is not on %s could not be pinned: moves take longer.", device)
    with contextlib.suppress(RuntimeError):  # The next kernel is told of this failure, whatever it does itself.
        torch.zeros(1, device=device)
    return False


def _unpin(room: Tensor) -> None:
    torch.cuda.cudart().cudaHostUnregister(room.data_ptr())  # type: ignore[no-untyped-call]


@contextlib.contextmanager
def _refused(problem: str) -> Iterator[None]:
    """Memory that is not there becomes a sentence; of the computer torch says so by a RuntimeError."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise OutOfMemory(problem, _FREE) from error
    except RuntimeError as error:
        if "allocate" not in str(error):
            raise
        raise OutOfMemory(problem, _FREE) from error


_FREE = "Stop other runs, ask for fewer or shorter texts at a time, or load smaller models."
