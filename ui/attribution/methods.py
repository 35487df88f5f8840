"""The readings that a text can be coloured by: what each means, its values, its range. No Streamlit.

A new method is one more entry in METHODS; strip, bars, line, panel, tables and exports take everything from there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

import numpy as np

from core.attribution.readouts import Steered, StreamLens
from core.attribution.values import Attribution, Divergence, Gradients, Interventions
from core.values import Floats

Family = Literal["Direction", "Read-out", "Steered", "Gradient", "Direct", "Exact", "Two models"]
Needs = Literal["", "steered", "lens", "lens_other", "gradients", "interventions", "divergence"]
Further: TypeAlias = Steered | StreamLens | Gradients | Interventions | Divergence

PERCENTILE = 98
TINY = 1e-4
"""Smaller values are written as about zero."""


@dataclass(frozen=True, kw_only=True)
class Readings:
    """What is known of one text so far; the parts after the first come by their own jobs."""

    attribution: Attribution
    steered: Steered | None = None
    lens: Mapping[int, StreamLens] = field(default_factory=dict)
    """Layers that were read out so far."""
    lens_other: Mapping[int, StreamLens] = field(default_factory=dict)
    """The same by the other model's norm and W_U."""
    gradients: Gradients | None = None
    interventions: Interventions | None = None
    divergence: Divergence | None = None

    def joined(self, found: Further) -> Readings:
        """These and one more."""
        if isinstance(found, Steered):
            return replace(self, steered=found)
        if isinstance(found, StreamLens):
            layer, own = found.spec.layer, found.spec.reader_fingerprint == found.spec.fingerprint
            if own:
                return replace(self, lens={**self.lens, layer: found})
            return replace(self, lens_other={**self.lens_other, layer: found})
        if isinstance(found, Gradients):
            return replace(self, gradients=found)
        if isinstance(found, Interventions):
            return replace(self, interventions=found)
        return replace(self, divergence=found)

    def has(self, needs: Needs, layer: int | None = None) -> bool:
        """Whether what a method needs is there: at `layer` where it is read layer by layer, else at any."""
        if needs in ("lens", "lens_other"):
            layers: Mapping[int, StreamLens] = getattr(self, needs)
            return bool(layers) if layer is None else layer in layers
        return not needs or getattr(self, needs) is not None

    @property
    def start(self) -> int:
        """Index of the text's first token."""
        return self.attribution.spec.text_start

    @property
    def n_layers(self) -> int:
        return len(self.attribution.projection)

    @property
    def seq(self) -> int:
        return len(self.attribution.pieces)


@dataclass(frozen=True, kw_only=True)
class Method:
    """One reading of every token."""

    key: str
    title: str
    short: str
    """What the switch shows."""
    unit: str
    explanation: str
    """What the colour means, and what it does not mean."""
    read: Callable[[Readings], Floats]
    """(n_layers, seq) where `per_layer`, else (seq,), in `unit`; called once what it needs is there.

    NaN at layers that were not read.
    """
    family: Family
    needs: Needs = ""
    per_layer: bool = False
    signed: bool = False
    floor: float = 1e-6
    """The colour range is never narrower than this, so that noise around zero stays pale."""
    shares_range_with: Callable[[Readings], Floats] | None = None
    missing: Callable[[Readings], str] = lambda _: ""
    """Why this model has no such reading, or nothing."""

    def available(self, readings: Readings) -> bool:
        """Whether what it needs is there and this model has it."""
        return readings.has(self.needs) and not self.missing(readings)

    def values(self, readings: Readings, layer: int) -> Floats:
        """(seq,) the reading at `layer`, which only matters where the method has layers."""
        found = self.read(readings)
        return found[layer] if self.per_layer else found

    def profile(self, readings: Readings, token: int) -> Floats | None:
        """(n_layers,) the reading of one token over the layers; None where the method has none."""
        return self.read(readings)[:, token] if self.per_layer else None

    def value_range(self, readings: Readings, layer: int) -> tuple[float, float]:
        """Lowest and highest colour: the 98th percentile of the text's absolute values, around zero where signed."""
        rows = [self.values(readings, layer)]
        if self.shares_range_with is not None:
            rows.append(self.shares_range_with(readings))
        text = np.abs(np.stack(rows)[:, readings.start :])
        finite = text[np.isfinite(text)]
        reach = max(float(np.percentile(finite, PERCENTILE)) if finite.size else 0.0, self.floor)
        return (-reach if self.signed else 0.0, reach)

    def titled(self, layer: int) -> str:
        """The title, with the layer where the method has layers."""
        return f"{self.title}, layer {layer}" if self.per_layer else self.title

    def format(self, value: float) -> str:
        """The value with its unit, as people read it."""
        if not math.isfinite(value):
            return "no value"
        sign = "−" if value < 0 else "+" if self.signed and value > 0 else ""
        number = "≈ 0" if 0 < abs(value) < TINY else f"{sign}{abs(value):.3g}"
        return f"{number} {self.unit}".strip()


def rounded_range(value_range: tuple[float, float]) -> tuple[float, float]:
    """The range with three significant digits, as legends show it."""
    low, high = value_range
    reach = float(f"{high:.3g}")
    return (-reach if low < 0 else 0.0, reach)


def less_mean(rows: Floats, start: int) -> Floats:
    """(n_layers, seq) less each layer's mean over the text."""
    mean: Floats = rows[:, start:].mean(axis=1, keepdims=True)
    return rows - mean


def p_keyword(readings: Readings) -> Floats:
    return 100 * readings.attribution.p_keyword


def p_steered(readings: Readings) -> Floats:
    assert readings.steered is not None
    return 100 * readings.steered.p_keyword


def p_steered_if_read(readings: Readings) -> Floats:
    """For a common colour range."""
    return p_keyword(readings) if readings.steered is None else p_steered(readings)


def kl_steered(readings: Readings) -> Floats:
    assert readings.steered is not None
    return readings.steered.kl


def p_other(readings: Readings) -> Floats:
    assert readings.divergence is not None
    return 100 * readings.divergence.p_keyword_other


def _layers(readings: Readings, read: Mapping[int, StreamLens], name: Literal["lens", "score"]) -> Floats:
    """(n_layers, seq) of the layers that were read, less their means; NaN at the others."""
    found = np.full((readings.n_layers, readings.seq), np.nan, np.float32)
    for layer, values in read.items():
        found[layer] = getattr(values, name)
    return less_mean(found, readings.start)


def lens(readings: Readings) -> Floats:
    return _layers(readings, readings.lens, "lens")


def score(readings: Readings) -> Floats:
    return _layers(readings, readings.lens, "score")


def lens_other(readings: Readings) -> Floats:
    return _layers(readings, readings.lens_other, "lens")


def along(readings: Readings) -> Floats:
    assert readings.gradients is not None
    return readings.attribution.spec.coefficient * readings.gradients.along


def times_activation(readings: Readings) -> Floats:
    assert readings.gradients is not None
    return readings.gradients.times_activation


def removal(readings: Readings) -> Floats:
    assert readings.gradients is not None
    return readings.gradients.removal


def direct(readings: Readings) -> Floats:
    """(n_layers, 2, seq) of attention and MLP."""
    assert readings.gradients is not None
    return readings.gradients.direct[1:-1].reshape(readings.n_layers, 2, readings.seq)


def no_direct(readings: Readings) -> str:
    return readings.gradients.direct_note if readings.gradients is not None else ""


def steered(readings: Readings) -> Floats:
    assert readings.interventions is not None
    return readings.interventions.steered


def ablated(readings: Readings) -> Floats:
    assert readings.interventions is not None
    return readings.interventions.ablated


def kl_models(readings: Readings) -> Floats:
    assert readings.divergence is not None
    return readings.divergence.kl


def no_score(readings: Readings) -> str:
    missing = bool(readings.lens) and all(np.isnan(values.score).all() for values in readings.lens.values())
    return "No item of this vocabulary contains one of the Eq. 2 words; choose others." if missing else ""
