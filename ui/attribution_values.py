"""The numbers behind each method, in the unit that it is shown in. No Streamlit.

Each is called once what it needs is there: (n_layers, seq) for readings that have layers, else (seq,).
"""

from __future__ import annotations

import numpy as np

from core.values import Floats
from ui.attribution_methods import Readings


def less_mean(rows: Floats, start: int) -> Floats:
    """(n_layers, seq) less each layer's mean over the text."""
    mean: Floats = rows[:, start:].mean(axis=1, keepdims=True)
    return rows - mean


def p_keyword(readings: Readings) -> Floats:
    return 100 * readings.attribution.p_keyword


def p_steered(readings: Readings) -> Floats:
    return 100 * readings.attribution.p_keyword_steered


def p_other(readings: Readings) -> Floats:
    assert readings.divergence is not None
    return 100 * readings.divergence.p_keyword_other


def lens_other(readings: Readings) -> Floats:
    assert readings.divergence is not None
    return less_mean(readings.divergence.lens_other, readings.start)


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
    missing = np.isnan(readings.attribution.score).all()
    return "No item of this vocabulary contains one of the Eq. 2 words; choose others." if missing else ""
