"""What can be asked of a model, and what came back: steered generations and attributions. No torch, no disk."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from core.forward.edits import SteeringSpec
from core.values import ADDED_LATER, Floats, Kinds, ModelSpec, Prompt, SamplingSpec, Spec

StopReason = Literal["running", "eos", "length", "context", "cancelled", "timeout", "error", "interrupted"]
WHOLE: tuple[StopReason, ...] = ("eos", "length", "context")
"""Stop reasons of completions that ended by themselves or at their limit."""


@dataclass(frozen=True, kw_only=True)
class GenerationSpec(Spec["Generation"]):
    """Everything a completion depends on."""

    model: ModelSpec
    fingerprint: str
    prompt: Prompt
    sampling: SamplingSpec = field(default_factory=SamplingSpec)
    steering: tuple[SteeringSpec, ...] = ()
    prefix: tuple[int, ...] = field(default=(), metadata=ADDED_LATER)
    """Token ids that the completion begins with, as in a fork; `max_new_tokens` counts them too."""


@dataclass(frozen=True, kw_only=True)
class Generation:
    """A completion (everything after the prompt, the spec's prefix included), finished or not."""

    spec: GenerationSpec
    token_ids: tuple[int, ...]
    pieces: tuple[str, ...]
    """One text piece per token; joined they are the completion."""
    stop_reason: StopReason
    seconds: float = 0.0
    nll: float | None = None
    """Mean negative log-likelihood (nats per token) under the unsteered model; None until scored."""

    def __post_init__(self) -> None:
        assert len(self.pieces) == len(self.token_ids), (len(self.pieces), len(self.token_ids))

    @property
    def text(self) -> str:
        return "".join(self.pieces)


@dataclass(frozen=True, kw_only=True)
class LaneKLSpec(Spec["LaneKL"]):
    """How far `lane` parts from `reference` at every token of the lane's text, each under its own steering."""

    lane: GenerationSpec
    reference: GenerationSpec
    token_ids: tuple[int, ...]
    """The completion that both read."""


@dataclass(frozen=True, kw_only=True)
class LaneKL:
    """KL(lane ‖ reference) of the next-token distributions."""

    spec: LaneKLSpec
    kl: Floats = field(repr=False)
    """(n_tokens,) in nats, of the distribution that each token was drawn from."""

    def __post_init__(self) -> None:
        assert self.kl.shape == (len(self.spec.token_ids),), (self.kl.shape, len(self.spec.token_ids))


KINDS: Kinds = {GenerationSpec: ("generation", Generation), LaneKLSpec: ("lane_kl", LaneKL)}
