"""One pass in parts: sums over some of the traces each, and what they come to together, whoever gathered which.

A trace's fold goes by its number among all traces, so that a merge equals one pass but for the order of additions.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import numpy as np

from core.errors import BadInput
from core.extraction.moments import NEGATIVES, ExactSums, Moments, MomentsSpec
from core.tokens.frames import ChatFrame
from core.values import Trace

if TYPE_CHECKING:
    from core.models.loaded import LoadedModel


@dataclass(frozen=True, kw_only=True)
class Material:
    """What is read: the traces, and the text around every question where the pass names none.

    A base model that is loaded alone does not know how its reasoning model is asked.
    """

    traces: tuple[Trace, ...]
    frame: ChatFrame


@dataclass(frozen=True, kw_only=True)
class Share:
    """The traces of a part: from number `start` up to, not including, `stop`."""

    start: int
    stop: int


def shares(n_traces: int, n: int) -> tuple[Share, ...]:
    """At most `n` parts of nearly equal length, in order; none is empty."""
    edges = [round(i * n_traces / n) for i in range(n + 1)]
    return tuple(Share(start=a, stop=b) for a, b in itertools.pairwise(edges) if b > a)


def sums_of(loaded: LoadedModel, material: Material, spec: MomentsSpec, share: Share) -> Moments:
    """The sums of a part, unrounded beside rounded. A part in which no trace can be read holds zeros.

    Raises BadInput for a layer that the model lacks, and for sums so large that a pass keeps them layer by layer.
    """
    from core.extraction.passes import record_part

    framed = replace(spec, frame=spec.frame or material.frame)
    for item in record_part(loaded, material.traces, framed, share.start, share.stop):
        if isinstance(item, Moments):
            return replace(item, spec=spec)
    raise BadInput("These sums are too large to be gathered in parts.", "Leave --ray out of the extraction.")


def merged(parts: Sequence[Moments]) -> Moments:
    """What the parts come to; they are of one spec and no trace is in two. Raises BadInput where no trace was read."""
    first = parts[0]
    if any(part.spec != first.spec for part in parts):
        raise ValueError("parts of different passes")
    n_traces, n_tokens = sum(part.n_traces for part in parts), sum(part.n_tokens for part in parts)
    skipped = tuple(reason for part in parts for reason in part.skipped)
    if skipped and len(skipped) == n_traces:
        raise BadInput(f"None of the traces can be read. {skipped[0]}", "Choose a set with shorter traces.")
    exact = ExactSums(
        **{item.name: np.sum([getattr(e, item.name) for e in _exact(parts)], 0) for item in fields(ExactSums)}
    )
    folds, layers, _, d = exact.negative.shape
    kinds = exact.negative.reshape(folds, layers, 2, len(first.spec.rows), len(NEGATIVES), d)
    return replace(
        first,
        counts=np.sum([part.counts for part in parts], 0),
        negative_counts=np.sum([part.negative_counts for part in parts], 0),
        events=np.sum([part.events for part in parts], 0),
        norms=(exact.norms / max(n_tokens, 1)).astype(np.float32),
        n_traces=n_traces,
        n_tokens=n_tokens,
        skipped=skipped,
        sums=np.stack([exact.per_trace, exact.per_token]).astype(np.float32),
        squares=exact.squares.astype(np.float32),
        negative_sums=kinds.transpose(2, 3, 4, 0, 1, 5).astype(np.float32),
        all_squares=exact.all_squares.astype(np.float32),
        exact=None,
    )


def _exact(parts: Sequence[Moments]) -> Iterator[ExactSums]:
    for part in parts:
        assert part.exact is not None, "a part without its unrounded sums"
        yield part.exact
