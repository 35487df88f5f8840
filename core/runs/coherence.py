"""Which steered texts count as readable: one rule, its allowances named side by side. No model, no disk."""

from __future__ import annotations

import math
from dataclasses import dataclass

MAX_NLL_ABOVE_BASELINE, MAX_REPETITION_FACTOR = 0.5, 2.0
"""Up to where a steered text counts as readable: nats per token, and multiples of the baseline's repetition."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What the rule looks at: one text, or the means over the texts of one dose."""

    nll: float
    """Nats per token under the unsteered model; nan where it is not known, which is no fault of a text.

    Of a baseline it is: nothing can be held against it, so a text whose NLL is known is not readable beside it.
    """
    repetition: float
    """Share of 4-grams of words that occurred before."""
    no_evidence: int
    """How many of the texts say nothing."""
    n_texts: int


@dataclass(frozen=True, kw_only=True)
class Allowance:
    """What is no fault, and how much of both limits may be used."""

    repetition: float
    """Allowed whatever the baseline's repetition."""
    no_evidence: float
    """Share of the texts that may say nothing."""
    share: float = 1.0
    """Of both limits."""


ONE_TEXT = Allowance(repetition=0.3, no_evidence=0.0)
"""A dose of the strip. The repetition of one text is a noisy number: of 2,045 pieces of 40 to 200 words of the embedded
traces, 1 in 6 repeats more than a tenth, and 1 in 400 more than this share. Beside another such piece as baseline, 0.7%
are beyond the limit, with a tenth in its place 10% (`tests/runs/test_coherence.py`). A loop repeats most of itself."""
REPORTED = Allowance(repetition=0.0, no_evidence=0.1)
"""A dose that the recorded report calls readable."""
CHOSEN = Allowance(repetition=0.0, no_evidence=0.1, share=0.85)
"""A dose that is chosen for the report: a share of the limits, since the reported prompts are others."""


def is_readable(text: Measured, baseline: Measured | None, allowed: Allowance) -> bool:
    """Whether a text is evidence and stays within the limits above its unsteered baseline, where there is one."""
    return not faults_of(text, baseline, allowed)


def faults_of(text: Measured, baseline: Measured | None, allowed: Allowance) -> tuple[str, ...]:
    """What keeps a text from being readable, in words; () for a readable one."""
    if text.no_evidence > allowed.no_evidence * text.n_texts:
        return ("says nothing",)
    if baseline is None:
        return ()
    found = []
    most_nll = baseline.nll + allowed.share * MAX_NLL_ABOVE_BASELINE
    if math.isnan(baseline.nll) and not math.isnan(text.nll):
        found.append("the unsteered text has no likelihood to compare it with")
    elif text.nll > most_nll:
        found.append(f"{text.nll - baseline.nll:.2f} nats per token less likely than the unsteered text")
    if text.repetition > max(allowed.share * MAX_REPETITION_FACTOR * baseline.repetition, allowed.repetition):
        found.append(f"repeats itself more: {text.repetition:.0%}, the unsteered text {baseline.repetition:.0%}")
    return tuple(found)
