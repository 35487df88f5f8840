"""Readings of a text that are asked for after the first: the same text steered, and the logit lens of one layer.

Each is kept on its own, so that another layer or dose costs only itself. No torch, no disk.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from core.attribution.values import AttributionSpec, ReadingSpec
from core.values import Floats, Integers, Kinds, ModelSpec


@dataclass(frozen=True, kw_only=True)
class SteeredSpec(ReadingSpec["Steered"]):
    """Read the text of a reading with its direction added at its layer, at every position."""

    reading: AttributionSpec


@dataclass(frozen=True, kw_only=True)
class Steered:
    """What the direction does to the predictions at every token."""

    spec: SteeredSpec
    p_keyword: Floats = field(repr=False)
    """(seq,) P(next token starts a keyword) of the steered text."""
    kl: Floats = field(repr=False)
    """(seq,) KL(baseline ‖ steered) of the next-token distribution, in nats."""
    top_ids: Integers = field(repr=False)
    """(seq, k) most likely next tokens of the steered text."""
    top_pieces: tuple[str, ...] = field(repr=False)
    """Texts of the ids in `top_ids`, flattened in its order."""
    top_probs: Floats = field(repr=False)
    """(seq, k) their probabilities."""

    def __post_init__(self) -> None:
        seq = len(self.spec.reading.token_ids)
        assert self.p_keyword.shape == self.kl.shape == (seq,), (self.p_keyword.shape, self.kl.shape, seq)


@dataclass(frozen=True, kw_only=True)
class StreamLensSpec(ReadingSpec["StreamLens"]):
    """Read the residual stream after `layer` as if the model ended there, by its own W_U or the other model's."""

    model: ModelSpec
    fingerprint: str
    token_ids: tuple[int, ...]
    layer: int
    keywords: tuple[str, ...]
    words: tuple[str, ...]
    """Those of Eq. 2; none where Eq. 2 is not asked for."""
    reader: ModelSpec
    """Whose final norm and W_U read the stream."""
    reader_fingerprint: str

    @classmethod
    def of(cls, reading: AttributionSpec, layer: int) -> StreamLensSpec:
        """The lens of a layer in the text of a reading, by the same model."""
        return cls(
            model=reading.model,
            fingerprint=reading.fingerprint,
            token_ids=reading.token_ids,
            layer=layer,
            keywords=reading.keywords,
            words=reading.lens_words,
            reader=reading.model,
            reader_fingerprint=reading.fingerprint,
        )


@dataclass(frozen=True, kw_only=True)
class StreamLens:
    """One layer's stream as logits."""

    spec: StreamLensSpec
    lens: Floats = field(repr=False)
    """(seq,) log probability of the keywords."""
    score: Floats = field(repr=False)
    """(seq,) Eq. 2 of the residual stream: mean logit of the items that contain one of the words; NaN without any."""

    def __post_init__(self) -> None:
        seq = len(self.spec.token_ids)
        assert self.lens.shape == self.score.shape == (seq,), (self.lens.shape, self.score.shape, seq)


KINDS: Kinds = {SteeredSpec: ("steered", Steered), StreamLensSpec: ("stream_lens", StreamLens)}
