"""A pair as one line of text, as links carry it; `core.models.naming` knows a model's part of it."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

from core.models.naming import read_merged, show_merged
from core.values import PairSpec, Precision
from ui.shell.bounds import OneOf, Text

LINE = Text(1000)
PRECISION: OneOf[Precision] = OneOf(get_args(Precision))


def read_pair(raw: str) -> PairSpec:
    """The pair that "base,reasoner,precision" names, on the CPU. Raises ValueError where it names none."""
    parts = [part.strip() for part in LINE.parse(raw).split(",")]
    if len(parts) != 3 or not all(parts):
        raise ValueError("it is not “base,reasoner,precision”")
    precision = PRECISION.parse(parts[2])
    base, reasoner = (read_merged(part, precision=precision, device="cpu") for part in parts[:2])
    return PairSpec(base=base, reasoner=reasoner)


def show_pair(pair: PairSpec) -> str:
    """The text that `read_pair` reads; nothing for a pair that it would not read as the same, whatever its device."""
    text = ",".join((show_merged(pair.base), show_merged(pair.reasoner), pair.reasoner.precision))
    try:
        return text if read_pair(text) == on_device(pair, "cpu") else ""
    except ValueError:
        return ""


def on_device(pair: PairSpec, device: str) -> PairSpec:
    """The same pair on a device."""
    return PairSpec(base=replace(pair.base, device=device), reasoner=replace(pair.reasoner, device=device))
