"""Which pairs may share a card: both models on one that has a memory of its own, in a precision that can leave it."""

from __future__ import annotations

from core.values import QUANTISED, PairSpec

CARDS = ("cuda",)
"""Kinds of devices that have a memory of their own, which a model may leave for the computer's."""


def on_one_card(pair: PairSpec) -> bool:
    """Whether both models are for one and the same card."""
    return pair.base.device == pair.reasoner.device and pair.base.device.startswith(CARDS)


def is_movable(pair: PairSpec) -> bool:
    """Whether the weights may leave their card: what bitsandbytes quantised keeps more there than its weights."""
    return not {pair.base.precision, pair.reasoner.precision} & set(QUANTISED)
