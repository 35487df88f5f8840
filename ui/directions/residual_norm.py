"""How long the residual stream is: one number for each model and layer, of which shares are said."""

from __future__ import annotations

from dataclasses import dataclass

from core.models.pair import ModelFacts
from ui.components.safe_text import plain
from ui.directions.choices import choices


@dataclass(frozen=True, kw_only=True)
class ResidualNorm:
    """The mean norm of a model's residual stream after a layer."""

    value: float
    """0 where no direction at hand was found in that model at that layer."""
    model: str
    layer: int

    @property
    def in_words(self) -> str:
        """Markdown: whose it is."""
        return f"the mean residual norm of {plain(self.model, 60)} at layer {self.layer}"


def residual_norm(facts: ModelFacts, layer: int) -> ResidualNorm:
    """As measured for the recorded direction that was found there, else for the one that was saved first.

    A norm that was measured in another model or at another layer is not taken for it.
    """
    there = [
        choice
        for choice in choices(d_model=facts.d_model)
        if facts.has_weights(choice.direction.fingerprint)
        and choice.direction.layer == layer
        and choice.direction.resid_norm > 0
    ]
    recorded = [choice for choice in there if choice.origin == "recorded"]
    chosen = (recorded or there)[-1:]
    value = chosen[0].direction.resid_norm if chosen else 0.0
    return ResidualNorm(value=value, model=facts.name, layer=layer)
