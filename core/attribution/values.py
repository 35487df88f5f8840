"""What acts on the next token, and how strongly: gradients, interventions, two models compared. No torch, no disk.

The *target* of a text is one number: at each target position the logit of the keywords less that of the most likely
other tokens, with weights that are fixed on the unsteered model (so the number is linear in the logits), averaged over
the target positions. The prediction at position p is of token p + 1.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from core.directions.direction import Direction
from core.errors import BadInput
from core.text.words import LENS_WORDS
from core.values import Floats, Integers, Kinds, ModelSpec, Spec, T_co


class ReadingSpec(Spec[T_co]):
    """What can be asked about the tokens of a text."""


@dataclass(frozen=True, kw_only=True)
class AttributionSpec(ReadingSpec["Attribution"]):
    """Read `token_ids` with `model` and relate every token to `direction`."""

    RESULT_REVISION = 3

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
    """Per-token readings of one text, as one forward pass gives them; `core.attribution.readouts` has the others."""

    spec: AttributionSpec
    pieces: tuple[str, ...]
    """One text piece per token, prompt included."""
    projection: Floats = field(repr=False)
    """(n_layers, seq) h·v̂ after centring on the text's mean activation of that layer (paper, Fig. 6)."""
    cosine: Floats = field(repr=False)
    """(n_layers, seq) cosine of the centred activation with v̂."""
    p_keyword: Floats = field(repr=False)
    """(seq,) P(next token starts a keyword)."""
    rank_keyword: Floats = field(repr=False)
    """(seq,) 1-based rank of the likeliest keyword among all next tokens."""
    top_ids: Integers = field(repr=False)
    """(seq, k) most likely next tokens."""
    top_pieces: tuple[str, ...] = field(repr=False)
    """Texts of the ids in `top_ids`, flattened in its order."""
    top_probs: Floats = field(repr=False)
    """(seq, k) their probabilities."""
    seconds: float = 0.0
    """What reading it took, for estimates of further readings."""

    def __post_init__(self) -> None:
        seq = len(self.spec.token_ids)
        assert len(self.pieces) == seq, (len(self.pieces), seq)
        for name in ("projection", "cosine"):
            assert getattr(self, name).shape[1] == seq, (name, getattr(self, name).shape, seq)
        for name in ("p_keyword", "rank_keyword"):
            assert getattr(self, name).shape == (seq,), (name, getattr(self, name).shape, seq)


@dataclass(frozen=True, kw_only=True)
class LensSpec(Spec["DirectionLens"]):
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


@dataclass(frozen=True, kw_only=True)
class TargetText:
    """A text as one model reads it, with the positions and keywords that make the target."""

    RESULT_REVISION = 2

    model: ModelSpec
    fingerprint: str
    token_ids: tuple[int, ...]
    text_start: int
    keywords: tuple[str, ...]
    targets: tuple[int, ...]
    """Positions whose prediction is looked at; the target is the mean over them."""

    @classmethod
    def of(cls, reading: AttributionSpec, targets: tuple[int, ...]) -> TargetText:
        """The text and keywords of a reading, with these targets."""
        return cls(
            model=reading.model,
            fingerprint=reading.fingerprint,
            token_ids=reading.token_ids,
            text_start=reading.text_start,
            keywords=reading.keywords,
            targets=targets,
        )

    def __post_init__(self) -> None:
        if not 0 <= self.text_start < len(self.token_ids):
            raise BadInput(
                f"The text begins at token {self.text_start}, and there are {len(self.token_ids)} tokens.",
                "Choose a text with at least one token after its question.",
            )
        if not self.targets or min(self.targets) < 0 or max(self.targets) >= len(self.token_ids):
            raise BadInput(
                f"The target positions {list(self.targets)[:5]} are not all within the {len(self.token_ids)} tokens.",
                "Pin a token of the text as the target, or choose a text with events.",
            )


@dataclass(frozen=True, kw_only=True)
class GradientSpec(ReadingSpec["Gradients"]):
    """Differentiate the target with respect to the residual stream after every layer."""

    text: TargetText
    direction: Direction


@dataclass(frozen=True, kw_only=True)
class Gradients:
    """First-order effects of every position and layer on the target."""

    spec: GradientSpec
    along: Floats = field(repr=False)
    """(n_layers, seq) g·v̂: change of the target per unit of coefficient added at this layer and position alone."""
    times_activation: Floats = field(repr=False)
    """(n_layers, seq) g·(h − mean h of the text): what this position's own deviation contributes."""
    removal: Floats = field(repr=False)
    """(n_layers, seq) −(h·v̂)(g·v̂): estimated change of the target when the projection on v̂ is taken out here."""
    direct: Floats = field(repr=False)
    """(2 · n_layers + 2, seq) contributions to each position's own logit difference; see `core.attribution.direct`.

    Rows: embedding, then attention and MLP of each layer, then the final norm's constant. No rows where `direct_note`
    says why.
    """
    direct_note: str = ""
    target: float = 0.0
    """The target itself, in logits."""

    def __post_init__(self) -> None:
        n_layers, seq = len(self.along), len(self.spec.text.token_ids)
        for name in ("along", "times_activation", "removal"):
            assert getattr(self, name).shape == (n_layers, seq), (name, getattr(self, name).shape, seq)
        assert self.direct.shape in ((0, seq), (2 * n_layers + 2, seq)), self.direct.shape

    @property
    def readout(self) -> float:
        """Change of the target per unit that reaches it through the final norm and W_U alone, whatever the layer.

        The residual stream carries an addition on unchanged, so this part of `along` needs no later block.
        """
        return float(self.along[-1].sum())


@dataclass(frozen=True, kw_only=True)
class InterventionSpec(ReadingSpec["Interventions"]):
    """Edit the residual stream after `layer` at one position at a time, and see what the target does."""

    text: TargetText
    direction: Direction
    layer: int
    coefficient: float
    first: int = 0
    """The positions from here to the last target are edited; later ones cannot act on it."""

    def __post_init__(self) -> None:
        if not 0 <= self.first <= max(self.text.targets):
            raise BadInput(
                f"The first edited position {self.first} lies after the last target {max(self.text.targets)}.",
                "Choose an earlier one.",
            )


@dataclass(frozen=True, kw_only=True)
class Interventions:
    """Exact effects on the target: one forward pass per position and edit."""

    spec: InterventionSpec
    steered: Floats = field(repr=False)
    """(seq,) change of the target when the direction is added at this position alone; NaN where it was not edited."""
    ablated: Floats = field(repr=False)
    """(seq,) change of the target when the projection on v̂ is taken out at this position alone; NaN likewise."""
    steered_all: float
    """Change of the target when the direction is added at all edited positions at once."""
    ablated_all: float
    target: float

    def __post_init__(self) -> None:
        seq = len(self.spec.text.token_ids)
        assert self.steered.shape == self.ablated.shape == (seq,), (self.steered.shape, self.ablated.shape, seq)


@dataclass(frozen=True, kw_only=True)
class DivergenceSpec(ReadingSpec["Divergence"]):
    """Read one text with two models and compare what they predict, token by token."""

    text: TargetText
    other: TargetText
    """The same text in the other model's frame; its tokens from `text_start` on must be those of `text`."""

    def __post_init__(self) -> None:
        ours, theirs = (side.token_ids[side.text_start :] for side in (self.text, self.other))
        if ours != theirs:
            raise BadInput(
                f"{self.text.model.name} and {self.other.model.name} split this text into different tokens.",
                "Their predictions cannot be compared token by token; compare two models with one tokenizer.",
            )


@dataclass(frozen=True, kw_only=True)
class Divergence:
    """Where two models part. Arrays cover the tokens of `spec.text`; NaN before its text starts."""

    spec: DivergenceSpec
    kl: Floats = field(repr=False)
    """(seq,) KL(text's model ‖ other model) of the next-token distribution, in nats."""
    p_keyword_other: Floats = field(repr=False)
    """(seq,) P(next token starts a keyword) under the other model."""


@dataclass(frozen=True, kw_only=True)
class LayerLensSpec(ReadingSpec["LayerLens"]):
    """Eq. 2 for one direction per layer (paper, Fig. 5) through one model's unembedding."""

    model: ModelSpec
    fingerprint: str
    vectors: Floats = field(repr=False)
    """(n_layers, d_model) one direction per layer; unit length is not required."""
    words: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class LayerLens:
    """What each layer's direction says."""

    scores: Floats
    """(n_layers,) s(v̂) = (W_U v̂) · a / ‖a‖₁ of the normalised vectors; NaN for a zero vector."""
    ranks: Floats
    """(n_layers,) 1-based rank of the best such item."""
    n_items: int

    def of_raw(self, vectors: Floats) -> Floats:
        """(n_layers,) s(v) = ‖v‖ s(v̂) of the raw vectors (n_layers, d_model) whose unit vectors were read.

        Eq. 2 is linear in v. Raw differences grow with depth as the stream does, so their curve has another shape.
        """
        raw: Floats = (self.scores * np.linalg.norm(vectors.astype(np.float64), axis=1)).astype(np.float32)
        return raw


KINDS: Kinds = {
    AttributionSpec: ("attribution", Attribution),
    LensSpec: ("lens", DirectionLens),
    GradientSpec: ("gradients", Gradients),
    InterventionSpec: ("interventions", Interventions),
    DivergenceSpec: ("divergence", Divergence),
    LayerLensSpec: ("layer_lens", LayerLens),
}
