"""Readings of many texts at once, and what they show around events: curves over the offset, and how early they rise.

`anticipate` describes each offset by itself; `auc_by_lead` has the paper's Fig. 6 in numbers, with texts as the units.
Works on finished values; runs no model.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from core.directions.direction import Direction
from core.statistics import ALPHA, RESAMPLES
from core.values import Floats, Kinds, ModelSpec, Spec

OFFSETS = range(-40, 11)
LEADS = (1, 2, 4, 6, 8, 10, 13, 16, 20, 25)
"""Tokens before the first one of a part at which the projection is looked at."""
_RESAMPLES = 500
Reading = NDArray[np.floating]


@dataclass(frozen=True, kw_only=True)
class CorpusTextSpec(Spec["CorpusText"]):
    """Read one text of a corpus against a direction."""

    RESULT_REVISION = 2

    model: ModelSpec
    fingerprint: str
    token_ids: tuple[int, ...]
    text_start: int
    direction: Direction
    keywords: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class CorpusText:
    """The readings of one text that are kept for all texts."""

    spec: CorpusTextSpec
    pieces: tuple[str, ...]
    """One text piece per token, prompt included."""
    projection: Floats = field(repr=False)
    """(n_layers, seq) h·v̂ after centring on the text's mean activation (paper, Fig. 6)."""
    cosine: Floats = field(repr=False)
    """(n_layers, seq) cosine of the centred activation with v̂."""
    p_keyword: Floats = field(repr=False)
    """(seq,) P(next token starts a keyword)."""

    def __post_init__(self) -> None:
        seq = len(self.spec.token_ids)
        assert len(self.pieces) == self.projection.shape[1] == self.cosine.shape[1] == len(self.p_keyword) == seq


@dataclass(frozen=True, kw_only=True)
class ProjectionSpec(Spec["Projection"]):
    """Project one text on a direction, at the direction's own layer only."""

    model: ModelSpec
    fingerprint: str
    token_ids: tuple[int, ...]
    text_start: int
    direction: Direction


@dataclass(frozen=True, kw_only=True)
class Projection:
    """What `ProjectionSpec` asks for."""

    pieces: tuple[str, ...]
    """One text piece per token, prompt included."""
    values: Floats = field(repr=False)
    """(seq,) h·v̂ after centring on the text's mean activation (paper, Fig. 6)."""

    def __post_init__(self) -> None:
        assert self.values.shape == (len(self.pieces),), (self.values.shape, len(self.pieces))


KINDS: Kinds = {
    CorpusTextSpec: ("corpus_text", CorpusText),
    ProjectionSpec: ("projection", Projection),
}


@dataclass(frozen=True, kw_only=True)
class AlignedText:
    """One reading of one text, with the sentence starts that it is aligned on."""

    values: Reading
    """(seq,)."""
    first: int
    """Positions before this one belong to the prompt and have no value."""
    events: tuple[int, ...]
    others: tuple[int, ...]
    """First tokens of sentences that are no event."""


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A mean over aligned places, by offset, with its 95% interval (texts resampled)."""

    offsets: tuple[int, ...]
    mean: Reading
    """(n_offsets,); NaN where no place reaches."""
    low: Reading
    high: Reading
    n: NDArray[np.int64]
    """(n_offsets,) places that each mean is taken over."""


@dataclass(frozen=True, kw_only=True)
class Anticipation:
    """What a reading does before events, against other sentence starts."""

    events: Curve
    others: Curve
    auc: Reading
    """(n_offsets,) P(value before an event > value before another sentence), ties counting half; NaN without both."""
    auc_low: Reading
    auc_high: Reading
    """95% interval of the AUC (Hanley and McNeil 1982)."""


def aligned(text: AlignedText, places: Sequence[int], offsets: Sequence[int]) -> NDArray[np.float64]:
    """(n_places, n_offsets) the values around each place; NaN outside the text."""
    index = np.asarray(places, np.int64)[:, None] + np.asarray(offsets, np.int64)[None]
    inside = (index >= text.first) & (index < len(text.values))
    padded = np.asarray(text.values, np.float64)[np.clip(index, 0, max(len(text.values) - 1, 0))]
    return np.where(inside, padded, np.nan)


def anticipate(texts: Sequence[AlignedText], offsets: Sequence[int] = OFFSETS, *, seed: int = 0) -> Anticipation:
    """Means by offset to events and to other sentence starts, and how well the value separates the two at each."""
    events = [aligned(text, text.events, offsets) for text in texts]
    others = [aligned(text, text.others, offsets) for text in texts]
    before, elsewhere = (_stacked(rows, len(offsets)) for rows in (events, others))
    columns = [auc_of(before[:, k], elsewhere[:, k]) for k in range(len(offsets))]
    auc, low, high = np.asarray(columns).reshape(-1, 3).T
    return Anticipation(
        events=_curve(events, offsets, seed), others=_curve(others, offsets, seed), auc=auc, auc_low=low, auc_high=high
    )


def auc_of(positives: Reading, negatives: Reading) -> tuple[float, float, float]:
    """(AUC, low, high) of telling the finite positives from the finite negatives by their value."""
    a, b = (np.asarray(x)[np.isfinite(x)] for x in (positives, negatives))
    if not len(a) or not len(b):
        return math.nan, math.nan, math.nan
    from scipy.stats import rankdata

    ranks = rankdata(np.concatenate((a, b)))
    auc = (float(ranks[: len(a)].sum()) - len(a) * (len(a) + 1) / 2) / (len(a) * len(b))
    q1, q2 = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    variance = auc * (1 - auc) + (len(a) - 1) * (q1 - auc**2) + (len(b) - 1) * (q2 - auc**2)
    half = 1.96 * math.sqrt(max(variance, 0.0) / (len(a) * len(b)))
    return auc, max(auc - half, 0.0), min(auc + half, 1.0)


@dataclass(frozen=True, kw_only=True)
class LeadAuc:
    """How well a reading some tokens ahead tells events from other parts."""

    lead: int
    auc: float
    """P(value before an event > value before another part), ties counting half; NaN without both."""
    low: float | None
    high: float | None
    """95% interval, texts resampled; None where fewer than two texts have an event, or none has another part."""
    n_events: int
    n_others: int


def auc_by_lead(texts: Sequence[AlignedText], leads: Sequence[int] = LEADS, *, seed: int = 0) -> tuple[LeadAuc, ...]:
    """The AUC that many tokens before the first one of a part, for each lead.

    Parts of one text are not independent, so whole texts are resampled, their events and their other parts together.
    """
    found = []
    for lead in leads:
        before, elsewhere = (
            [aligned(text, places, (-lead,))[:, 0] for text, places in rows]
            for rows in ([(t, t.events) for t in texts], [(t, t.others) for t in texts])
        )
        events, others = _owned(before), _owned(elsewhere)
        low, high = _auc_interval(events, others, len(texts), seed)
        auc = auc_of(events[0], others[0])[0]
        found.append(LeadAuc(lead=lead, auc=auc, low=low, high=high, n_events=len(events[0]), n_others=len(others[0])))
    return tuple(found)


def _owned(rows: Sequence[NDArray[np.float64]]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """(n,) the finite values of all texts in ascending order, and (n,) the index of each one's text."""
    values = np.concatenate([np.zeros(0), *rows])
    owners = np.repeat(np.arange(len(rows)), [len(row) for row in rows])
    kept = np.argsort(values, kind="stable")[: int(np.isfinite(values).sum())]
    return values[kept], owners[kept]


def _auc_interval(
    events: tuple[NDArray[np.float64], NDArray[np.int64]],
    others: tuple[NDArray[np.float64], NDArray[np.int64]],
    n_texts: int,
    seed: int,
) -> tuple[float | None, float | None]:
    """The percentile interval of the AUC over texts; a text that is drawn k times has its pairs k times."""
    (high_values, high_owners), (low_values, low_owners) = events, others
    if len(set(high_owners.tolist())) < 2 or not len(low_values):
        return None, None
    left, right = (np.searchsorted(low_values, high_values, side=side) for side in ("left", "right"))
    rng, found = np.random.default_rng(seed), []
    for _ in range(RESAMPLES):
        weights = np.bincount(rng.integers(0, n_texts, n_texts), minlength=n_texts).astype(np.float64)
        below = np.concatenate(([0.0], np.cumsum(weights[low_owners])))
        mine = weights[high_owners]
        pairs = mine.sum() * below[-1]
        if pairs:
            found.append(float(mine @ (below[left] + below[right])) / (2 * pairs))
    low, high = np.percentile(found, (50 * ALPHA, 100 - 50 * ALPHA))
    return float(low), float(high)


def _stacked(rows: Sequence[NDArray[np.float64]], n_offsets: int) -> NDArray[np.float64]:
    return np.concatenate([np.full((0, n_offsets), np.nan), *rows])


def _curve(rows: Sequence[NDArray[np.float64]], offsets: Sequence[int], seed: int) -> Curve:
    """The mean of all rows, its interval by resampling texts: rows of one text are not independent."""
    sums = np.asarray([np.nansum(row, axis=0) for row in rows]).reshape(len(rows), len(offsets))
    counts = np.asarray([np.isfinite(row).sum(0) for row in rows]).reshape(len(rows), len(offsets))
    total, n = sums.sum(0), counts.sum(0)
    drawn = np.random.default_rng(seed).integers(0, max(len(rows), 1), (_RESAMPLES, len(rows)))
    weights = (drawn[:, :, None] == np.arange(len(rows))).sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = (weights @ sums) / (weights @ counts)
        mean = total / n
    enough = (counts > 0).sum(0) >= 2
    bounds = [np.full(len(offsets), np.nan) for _ in range(2)]
    for k in np.flatnonzero(enough):
        bounds[0][k], bounds[1][k] = np.nanpercentile(means[:, k], (2.5, 97.5))
    return Curve(offsets=tuple(offsets), mean=mean, low=bounds[0], high=bounds[1], n=n)


@dataclass(frozen=True, kw_only=True)
class Extreme:
    """One token of a corpus that stands out."""

    text: int
    """Index of the text."""
    position: int
    value: float


def extremes(rows: Sequence[Reading], starts: Sequence[int], *, k: int, per_text: int = 3) -> tuple[list[Extreme], ...]:
    """(strongest, weakest) k tokens over all texts, at most `per_text` of each from one text; prompts do not count."""
    found: list[list[Extreme]] = []
    for sign in (-1, 1):
        candidates = []
        for number, (row, start) in enumerate(zip(rows, starts, strict=True)):
            body = np.asarray(row, np.float64)[start:]
            order = np.argsort(sign * np.where(np.isfinite(body), body, sign * np.inf), kind="stable")[:per_text]
            candidates += [
                Extreme(text=number, position=start + int(i), value=float(body[i]))
                for i in order
                if np.isfinite(body[i])
            ]
        found.append(sorted(candidates, key=lambda item: sign * item.value)[:k])
    return tuple(found)
