"""What a reading of a text will take: forward passes over it, and memory beyond the weights. Knows no machine.

Seconds come from what one pass took when the text was first read (`Attribution.seconds`).
"""

from __future__ import annotations

from dataclasses import dataclass

from core.attribution.values import AttributionSpec
from core.models.pair import ModelFacts

_BLOCK_STREAMS = 24
"""Activations of one block that its backward pass needs, in multiples of the residual stream."""
_ROWS, _KEYS = 8192, 65536
"""Of all rows of a batch of exact effects, at most: tokens that are run, positions whose keys and values are read."""
_LOGIT_ROWS = 256 * 4
"""Rows over the vocabulary in memory at a time."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a reading takes."""

    passes: float
    """In forward passes over the text, unembedding included."""
    bytes: float
    """Beyond the weights, at most."""
    whole_passes: float = 0.0
    """Instead of `passes` where the model cannot run the end of a text alone; 0 where that makes no difference."""


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """A text of `seq` tokens in a model."""

    n_layers: int
    d_model: int
    d_vocab: int
    seq: int
    width: int
    """Bytes of one activation."""

    @classmethod
    def of(cls, reading: AttributionSpec, facts: ModelFacts) -> Sizes:
        """Of a text that `facts` reads."""
        return cls(
            n_layers=facts.n_layers,
            d_model=facts.d_model,
            d_vocab=facts.d_vocab,
            seq=len(reading.token_ids),
            width=4 if facts.spec.precision == "fp32" else 2,
        )

    @property
    def unembedding(self) -> float:
        """Share of a whole pass that W_U takes."""
        return self.d_vocab / (self.d_vocab + 12 * self.n_layers * self.d_model)

    @property
    def stream(self) -> int:
        """Bytes of one layer's residual stream."""
        return self.seq * self.d_model * self.width

    @property
    def logits(self) -> int:
        """Bytes of the logits that are in memory at a time."""
        return min(self.seq, _LOGIT_ROWS) * self.d_vocab * 8

    def blocks(self, n: int) -> float:
        """Passes that `n` blocks take."""
        return (1 - self.unembedding) * n / self.n_layers


def reading_cost(sizes: Sizes) -> Cost:
    """The pass that gives the first colours."""
    return Cost(passes=1.0, bytes=_BLOCK_STREAMS * sizes.stream + sizes.logits)


def steered_cost(sizes: Sizes, layer: int) -> Cost:
    """Two rows, which share the blocks up to the steered layer."""
    return Cost(passes=2 - sizes.blocks(layer + 1), bytes=2 * _BLOCK_STREAMS * sizes.stream + sizes.logits)


def lens_cost(sizes: Sizes, layer: int) -> Cost:
    """The blocks up to a layer, and one unembedding."""
    return Cost(passes=sizes.blocks(layer + 1) + sizes.unembedding, bytes=sizes.stream + sizes.logits)


def all_lenses_cost(sizes: Sizes, n: int) -> Cost:
    """The blocks once, and `n` unembeddings."""
    bytes_ = min(n * sizes.stream, 2**28) + sizes.logits
    return Cost(passes=sizes.blocks(sizes.n_layers) + n * sizes.unembedding, bytes=bytes_)


def gradients_cost(sizes: Sizes) -> Cost:
    """Forward, each block again, backward, and a forward for direct attribution; per layer a stream and a gradient."""
    streams = 2 * sizes.n_layers + _BLOCK_STREAMS
    return Cost(passes=5.0, bytes=streams * sizes.stream + sizes.logits)


def effects_cost(sizes: Sizes, *, layer: int, stop: int, positions: int) -> Cost:
    """For each position two rows from it to `stop`, in the blocks after the layer; keys and values of the text."""
    after = sizes.blocks(sizes.n_layers - 1 - layer)
    rows, share = 2 * (positions + 1), stop / sizes.seq
    kept = 2 * sizes.n_layers * sizes.stream
    return Cost(
        passes=share + rows * after * (positions + 1) / 2 / sizes.seq,
        bytes=kept + (_BLOCK_STREAMS * _ROWS + 2 * max(_KEYS, sizes.seq)) * sizes.d_model * sizes.width,
        whole_passes=share * (1 + rows * after),
    )


def divergence_cost(sizes: Sizes) -> Cost:
    """A pass of each model."""
    return Cost(passes=2.0, bytes=_BLOCK_STREAMS * sizes.stream + 2 * sizes.logits)
