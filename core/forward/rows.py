"""Rows of a batch that are kept, and others that take their places, in any record of tensors by row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

R = TypeVar("R", bound="DataclassInstance")


def packed(kept: Sequence[int]) -> list[int]:
    """The rows in `kept`, so ordered that none moves but those beyond the new end, into the places of those that go."""
    n, stay = len(kept), set(kept)
    movers = iter([row for row in kept if row >= n])
    return [row if row in stay else next(movers) for row in range(n)]


def taken(record: R, rows: Tensor) -> R:
    """The record of some rows, (k,) indices, as tensors of its own."""
    return replace(record, **{name: value[rows] for name, value in _tensors(record).items()})


def put(record: R, rows: Tensor, new: R) -> None:
    """Write another record of k rows into the places `rows` (k,); every tensor stays where it is in memory."""
    others = _tensors(new)
    for name, value in _tensors(record).items():
        value[rows] = others[name]


def _tensors(record: DataclassInstance) -> dict[str, Any]:
    values = {f.name: getattr(record, f.name) for f in fields(record)}
    return {name: value for name, value in values.items() if isinstance(value, Tensor)}


def moved(present: Tensor, dim: int, drop: int, room: int) -> Tensor:
    """What stands from place `drop` on at the front of a room that is as long; the same tensor where it was."""
    n = min(present.shape[dim] - drop, room)
    kept = present.narrow(dim, drop, n)
    if room != present.shape[dim]:
        return widened(kept, dim, room)
    present.narrow(dim, 0, n).copy_(kept.clone())
    return present


def widened(present: Tensor, dim: int, room: int, *, begin: int = 0) -> Tensor:
    """`present` from place `begin` on in zeros that are `room` long in this dimension."""
    shape = list(present.shape)
    shape[dim] = room
    larger = torch.zeros(shape, dtype=present.dtype, device=present.device)
    larger.narrow(dim, begin, present.shape[dim]).copy_(present)
    return larger
