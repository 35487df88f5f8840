"""Which steered texts count as readable: one rule, its allowances named side by side."""

from __future__ import annotations

MAX_NLL_ABOVE_BASELINE, MAX_REPETITION_FACTOR = 0.5, 2.0
"""Up to where a steered text counts as coherent: nats per token, and multiples of the baseline's repetition."""


def stays_coherent(
    nll: float, repetition: float, *, baseline: tuple[float, float], always_allowed: float = 0.0, share: float = 1.0
) -> bool:
    """Whether a steered text stays within `share` of both limits above its baseline's (NLL, repetition).

    `always_allowed` is a repetition that is no fault, whatever the baseline's. An unknown NLL (nan) is none either.
    """
    base_nll, base_repetition = baseline
    limit = max(share * MAX_REPETITION_FACTOR * base_repetition, always_allowed)
    return not nll > base_nll + share * MAX_NLL_ABOVE_BASELINE and repetition <= limit
