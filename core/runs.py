"""What can be asked of a model, and what came back: steered generations and attributions. No torch, no disk."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from core.directions.direction import Direction
from core.forward.edits import SteeringSpec
from core.text.words import LENS_WORDS
from core.values import ADDED_LATER, Floats, ModelSpec, Prompt, SamplingSpec

StopReason = Literal["running", "eos", "length", "context", "cancelled", "timeout", "error", "interrupted"]


@dataclass(frozen=True, kw_only=True)
class GenerationSpec:
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
class LaneKLSpec:
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


@dataclass(frozen=True, kw_only=True)
class AttributionSpec:
    """Read `token_ids` with `model` and relate every token to `direction`."""

    model: ModelSpec
    fingerprint: str
    token_ids: tuple[int, ...]
    text_start: int
    """Index of the first token that belongs to the text; what lies before it is the prompt."""
    direction: Direction
    layer: int
    coefficient: float
    keywords: tuple[str, ...]
    lens_words: tuple[str, ...] = LENS_WORDS
    """The words of Eq. 2."""


@dataclass(frozen=True, kw_only=True)
class Attribution:
    """Per-token readings of one text."""

    spec: AttributionSpec
    pieces: tuple[str, ...]
    """One text piece per token, prompt included."""
    projection: Floats = field(repr=False)
    """(n_layers, seq) h·v̂ after centring on the text's mean activation of that layer (paper, Fig. 6)."""
    cosine: Floats = field(repr=False)
    """(n_layers, seq) cosine of the centred activation with v̂."""
    lens: Floats = field(repr=False)
    """(n_layers, seq) log probability of the keywords under the logit lens of that layer."""
    score: Floats = field(repr=False)
    """(n_layers, seq) Eq. 2 of the residual stream: mean lens logit of the items that contain a lens word."""
    p_keyword: Floats = field(repr=False)
    """(seq,) P(next token starts a keyword)."""
    rank_keyword: Floats = field(repr=False)
    """(seq,) 1-based rank of the likeliest keyword among all next tokens."""
    p_keyword_steered: Floats = field(repr=False)
    """(seq,) the same with the direction added at `spec.layer` at every position."""
    kl_steered: Floats = field(repr=False)
    """(seq,) KL(baseline ‖ steered) of the next-token distribution, in nats."""
    top_ids: NDArray[np.int64] = field(repr=False)
    """(2, seq, k) most likely next tokens: baseline, steered."""
    top_pieces: tuple[str, ...] = field(repr=False)
    """Texts of the ids in `top_ids`, flattened in its order."""
    top_probs: Floats = field(repr=False)
    """(2, seq, k) their probabilities."""

    def __post_init__(self) -> None:
        seq = len(self.spec.token_ids)
        assert len(self.pieces) == seq, (len(self.pieces), seq)
        for name in ("projection", "cosine", "lens", "score"):
            assert getattr(self, name).shape[1] == seq, (name, getattr(self, name).shape, seq)
        for name in ("p_keyword", "rank_keyword", "p_keyword_steered", "kl_steered"):
            assert getattr(self, name).shape == (seq,), (name, getattr(self, name).shape, seq)


@dataclass(frozen=True, kw_only=True)
class LensSpec:
    """Read `direction` through the unembedding of `model`; `words` are those of Eq. 2 ("wait" and "but")."""

    model: ModelSpec
    fingerprint: str
    direction: Direction
    words: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class DirectionLens:
    """What a direction says when it is read through the unembedding (paper, Eq. 2 and Fig. 5)."""

    top: tuple[tuple[str, float], ...]
    """The tokens that the direction raises most, with W_U v̂."""
    bottom: tuple[tuple[str, float], ...]
    """The tokens that it lowers most."""
    score: float
    """s(v̂) = (W_U v̂) · a / ‖a‖₁, a = 1 for vocabulary items that contain one of the words."""
    best_rank: int
    """1-based rank of the highest such item; 0 when the vocabulary has none."""
    n_items: int
