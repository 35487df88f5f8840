"""The readings that a text can be coloured by: what each means, its values, its range. No Streamlit.

A new method is one more entry in METHODS; strip, line, panel and table take everything from there.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from core.runs import Attribution
from core.values import Floats

PERCENTILE = 98
TINY = 1e-4
"""Smaller values are told as about zero."""


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
    read: Callable[[Attribution], Floats]
    """(n_layers, seq) where `per_layer`, else (seq,), in `unit`."""
    per_layer: bool = False
    signed: bool = False
    floor: float = 1e-6
    """The colour range is never narrower than this, so that noise around zero stays pale."""
    shares_range_with: Callable[[Attribution], Floats] | None = None

    def values(self, attribution: Attribution, layer: int) -> Floats:
        """(seq,) the reading at `layer`, which only matters where the method has layers."""
        found = self.read(attribution)
        return found[layer] if self.per_layer else found

    def profile(self, attribution: Attribution, token: int) -> Floats | None:
        """(n_layers,) the reading of one token over the layers; None where the method has none."""
        return self.read(attribution)[:, token] if self.per_layer else None

    def value_range(self, attribution: Attribution, layer: int) -> tuple[float, float]:
        """Lowest and highest colour: the 98th percentile of the text's absolute values, around zero where signed."""
        rows = [self.values(attribution, layer)]
        if self.shares_range_with is not None:
            rows.append(self.shares_range_with(attribution))
        text = np.abs(np.stack(rows)[:, attribution.spec.text_start :])
        finite = text[np.isfinite(text)]
        reach = max(float(np.percentile(finite, PERCENTILE)) if finite.size else 0.0, self.floor)
        return (-reach if self.signed else 0.0, reach)

    def format(self, value: float) -> str:
        """The value with its unit, as people read it."""
        if not math.isfinite(value):
            return "no value"
        sign = "−" if value < 0 else "+" if self.signed and value > 0 else ""
        number = "≈ 0" if 0 < abs(value) < TINY else f"{sign}{abs(value):.3g}"
        return f"{number} {self.unit}".strip()


def _lens(attribution: Attribution) -> Floats:
    """(n_layers, seq) log probability of the keywords, less its mean over the text at that layer."""
    mean: Floats = attribution.lens[:, attribution.spec.text_start :].mean(axis=1, keepdims=True)
    return attribution.lens - mean


def _p(attribution: Attribution) -> Floats:
    return 100 * attribution.p_keyword


def _p_steered(attribution: Attribution) -> Floats:
    return 100 * attribution.p_keyword_steered


METHODS: tuple[Method, ...] = (
    Method(
        key="projection",
        title="Projection",
        short="Projection",
        unit="",
        per_layer=True,
        signed=True,
        read=lambda a: a.projection,
        explanation="How far the residual stream after this layer leans along the direction (blue) or against it "
        "(orange), compared with the mean of this text. It is dense and also high where nothing turns back: not a "
        "predictor of backtracking (paper, Fig. 6).",
    ),
    Method(
        key="cosine",
        title="Cosine",
        short="Cosine",
        unit="",
        per_layer=True,
        signed=True,
        read=lambda a: a.cosine,
        explanation="The projection divided by the activation's length, so −1 to 1: how much of what is special about "
        "this token is this direction. It does not say what steering would change here.",
    ),
    Method(
        key="lens",
        title="Logit lens of keywords",
        short="Logit lens",
        unit="nats",
        per_layer=True,
        signed=True,
        read=_lens,
        explanation="Log probability of the keywords when this layer is read out as if the model ended here, above "
        "(blue) or below (orange) this text's mean. Early layers are not made to be read out: take their values as "
        "hints, not as what the model would say.",
    ),
    Method(
        key="p_keyword",
        title="P(next is a keyword)",
        short="P(keyword)",
        unit="%",
        read=_p,
        floor=1.0,
        shares_range_with=_p_steered,
        explanation="The probability that the token *after* this one starts a keyword. It counts words, not turns of "
        "thought: a “wait” may change nothing, and a turn may begin with other words.",
    ),
    Method(
        key="p_keyword_steered",
        title="P(next is a keyword), steered",
        short="P steered",
        unit="%",
        read=_p_steered,
        floor=1.0,
        shares_range_with=_p,
        explanation="The same probability with the direction added at every position of this same text, on the same "
        "colour range. The text is read, not written anew: a steered model would soon have said something else.",
    ),
    Method(
        key="difference",
        title="Difference in P(keyword)",
        short="Δ P",
        unit="points",
        signed=True,
        read=lambda a: _p_steered(a) - _p(a),
        floor=1.0,
        explanation="Steered less unsteered probability of a keyword next, in percentage points: where the direction "
        "asks for a keyword (blue) or discourages it (orange). A strong dose does so for reasons that need not be "
        "backtracking.",
    ),
    Method(
        key="kl",
        title="Steering KL",
        short="KL",
        unit="nats",
        read=lambda a: a.kl_steered,
        floor=0.01,
        explanation="How much adding the direction changes the whole next-token distribution (KL, unsteered ‖ "
        "steered). Any change counts, keywords or not: it shows where the direction acts, not what it does.",
    ),
)
BY_KEY: dict[str, Method] = {method.key: method for method in METHODS}
