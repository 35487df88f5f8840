"""What `make attribution-report` measured, in words, where the weights at hand are those it was measured on."""

from __future__ import annotations

from core.embedded import recorded_agreement
from core.models.pair import ModelFacts


def recorded_words(facts: ModelFacts) -> str:
    """The measured agreement as sentences; what is missing and how to get it where there is none for these weights."""
    found = recorded_agreement()
    if found is None or not facts.has_weights(found.fingerprint):
        return (
            "How well these estimates predict exact effects was not measured on these weights over many traces; the "
            "**Agreement** view measures it on this text. For the embedded pair, `make attribution-report` does so."
        )
    rows = "; ".join(
        f"{row.estimate} against {row.exact}: **{_signed(row.median)}** (quartiles {_signed(row.low)} to "
        f"{_signed(row.high)})"
        for row in found.correlations
    )
    return (
        f"Measured on this model over {found.n_traces} labelled traces, the {found.n_positions} positions before an "
        f"event, layer {found.layer}, coefficient {found.coefficient:.3g}. Spearman's ρ, median over the traces: "
        f"{rows}. Gradient × direction alone says what adding would do; for ablation it must be multiplied by the "
        f"projection that is taken out. Median completeness error {found.completeness_error:.0%}, read-out share "
        f"{found.readout_share:.0%}."
    )


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "−")
