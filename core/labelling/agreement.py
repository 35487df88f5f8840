"""Agreement between two labellings of the same traces (paper, Table C.1): precision, recall, F1 and Cohen's kappa.

Traces belong together when their texts are equal; labels are compared per sentence or per character. Knows no
labeller: a labelling is traces with parts.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from core.errors import BadInput
from core.statistics import Doubles, Interval, bootstrap_sums
from core.text.sentences import split_sentences
from core.traces.events import LABELS
from core.values import Trace

Unit = Literal["sentence", "character"]
NO_LABEL = ""


@dataclass(frozen=True, kw_only=True)
class Place:
    """A stretch of one trace: characters start to end of the text of pairs[trace]."""

    trace: int
    start: int
    end: int


@dataclass(frozen=True, kw_only=True)
class Score:
    """How well one labelling finds the reference's stretches of one label, with 95% intervals over traces."""

    label: str
    precision: Interval
    recall: Interval
    f1: Interval
    kappa: Interval
    """Cohen's kappa of this label against all others."""
    in_reference: int
    """Units with the label in the reference."""
    in_other: int
    """Units with the label in the other labelling."""


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Two labellings side by side: what each unit is called in both."""

    unit: Unit
    pairs: tuple[tuple[Trace, Trace], ...]
    """The traces that both hold, as (reference, other)."""
    left_out: int
    """Traces of either labelling that the other does not hold."""
    unjudged: int
    """Units that the reference does not label, and that were left out for it."""
    labels: tuple[str, ...]
    """Labels of rows and columns; "" stands for no label."""
    counts: NDArray[np.int64] = field(repr=False)
    """(n_pairs, n_labels, n_labels) units by trace, label in the reference, label in the other."""
    places: dict[tuple[str, str], tuple[Place, ...]] = field(repr=False)
    """(label in the reference, label in the other) → the stretches so labelled."""

    @property
    def table(self) -> NDArray[np.int64]:
        """(n_labels, n_labels) units: rows by the reference, columns by the other."""
        total: NDArray[np.int64] = self.counts.sum(axis=0)
        return total

    def score(self, label: str) -> Score:
        """Precision, recall, F1 and kappa of one label. Raises BadInput where neither labelling has it."""
        if label not in self.labels:
            raise BadInput(f"Neither labelling has the label {label!r}.", "Choose one that occurs.")
        i = self.labels.index(label)
        hits, called = self.counts[:, i, i], self.counts[:, :, i].sum(axis=1)
        wanted, units = self.counts[:, i].sum(axis=1), self.counts.sum(axis=(1, 2))
        rows = np.stack([hits, called, wanted, units], axis=-1).astype(np.float64)
        return Score(
            label=label,
            precision=bootstrap_sums(rows, lambda s: _ratio(s[..., 0], s[..., 1])),
            recall=bootstrap_sums(rows, lambda s: _ratio(s[..., 0], s[..., 2])),
            f1=bootstrap_sums(rows, lambda s: _ratio(2 * s[..., 0], s[..., 1] + s[..., 2])),
            kappa=bootstrap_sums(rows, _binary_kappa),
            in_reference=int(wanted.sum()),
            in_other=int(called.sum()),
        )

    def kappa(self) -> Interval:
        """Cohen's kappa over all labels, with a 95% interval over traces."""
        n = len(self.labels)
        rows = self.counts.reshape(len(self.counts), n * n).astype(np.float64)
        return bootstrap_sums(rows, lambda sums: cohens_kappa(sums.reshape(*sums.shape[:-1], n, n)))


def compare(
    reference: Sequence[Trace], other: Sequence[Trace], *, unit: Unit = "sentence", only_judged: bool = False
) -> Agreement:
    """The agreement of two labellings. A sentence has the label that most of its characters have, the first of equals.

    With `only_judged`, units that the reference gives no label are left out: they are not known to be anything.
    Raises BadInput when no trace is in both.
    """
    pairs = _pair_up(reference, other)
    if not pairs:
        raise BadInput("The two labellings have no trace in common.", "Choose two labellings of the same traces.")
    unjudged = 0
    found: list[tuple[Place, str, str, int]] = []
    for number, (a, b) in enumerate(pairs):
        for start, end, in_a, in_b, weight in _UNITS[unit](a, b):
            if only_judged and in_a == NO_LABEL:
                unjudged += weight
            else:
                found.append((Place(trace=number, start=start, end=end), in_a, in_b, weight))
    labels = _ordered({label for _, in_a, in_b, _ in found for label in (in_a, in_b)})
    at = {label: i for i, label in enumerate(labels)}
    counts = np.zeros((len(pairs), len(labels), len(labels)), dtype=np.int64)
    places: defaultdict[tuple[str, str], list[Place]] = defaultdict(list)
    for place, in_a, in_b, weight in found:
        counts[place.trace, at[in_a], at[in_b]] += weight
        places[in_a, in_b].append(place)
    return Agreement(
        unit=unit,
        pairs=pairs,
        left_out=len(reference) + len(other) - 2 * len(pairs),
        unjudged=unjudged,
        labels=labels,
        counts=counts,
        places={cell: tuple(spans) for cell, spans in places.items()},
    )


def cohens_kappa(table: Doubles) -> Doubles:
    """(...) kappa of (..., n, n) confusion tables: (p_o − p_e) / (1 − p_e). 0 where chance alone agrees fully."""
    total = np.maximum(table.sum(axis=(-2, -1)), 1e-12)
    observed = np.trace(table, axis1=-2, axis2=-1) / total
    by_chance = (table.sum(axis=-1) * table.sum(axis=-2)).sum(axis=-1) / total**2
    return _ratio(observed - by_chance, 1 - by_chance)


def _binary_kappa(sums: Doubles) -> Doubles:
    """(...) kappa from (..., 4) hits, called, wanted and all units."""
    hits, called, wanted, units = np.moveaxis(sums, -1, 0)
    cells = [[hits, wanted - hits], [called - hits, units - called - wanted + hits]]
    return cohens_kappa(np.moveaxis(np.asarray(cells), (0, 1), (-2, -1)))


def _ratio(top: Doubles, bottom: Doubles) -> Doubles:
    result: Doubles = np.where(bottom > 1e-12, top / np.maximum(bottom, 1e-12), 0.0)
    return result


def _pair_up(reference: Sequence[Trace], other: Sequence[Trace]) -> tuple[tuple[Trace, Trace], ...]:
    """Traces of equal prompt and text, repetitions in the order they come."""
    waiting: defaultdict[tuple[str, str], list[Trace]] = defaultdict(list)
    for trace in reversed(other):
        waiting[trace.prompt, trace.text].append(trace)
    pairs = []
    for trace in reference:
        same = waiting[trace.prompt, trace.text]
        if same:
            pairs.append((trace, same.pop()))
    return tuple(pairs)


def _labelled(trace: Trace) -> NDArray[np.object_]:
    """(n_characters,) the label of each character; "" for none, None for white space. Of two parts the first counts."""
    labels = np.full(len(trace.text), NO_LABEL, dtype=object)
    for part in reversed(trace.parts):
        labels[part.start : part.end] = part.label
    labels[[i for i, character in enumerate(trace.text) if character.isspace()]] = None
    return labels


def _majority(labels: Iterable[str | None]) -> str:
    counts = Counter(label for label in labels if label is not None)
    return counts.most_common(1)[0][0] if counts else NO_LABEL


def _sentences(a: Trace, b: Trace) -> Iterator[tuple[int, int, str, str, int]]:
    """(start, end, label in a, label in b, 1) of each sentence."""
    in_a, in_b = _labelled(a), _labelled(b)
    for start, end in split_sentences(a.text):
        yield start, end, _majority(in_a[start:end]), _majority(in_b[start:end]), 1


def _characters(a: Trace, b: Trace) -> Iterator[tuple[int, int, str, str, int]]:
    """(start, end, label in a, label in b, characters) of the stretches in which both labels stay the same."""
    in_a, in_b = _labelled(a), _labelled(b)
    printed = [i for i, label in enumerate(in_a) if label is not None]
    first = 0
    for k in range(1, len(printed) + 1):
        here = printed[first]
        if k < len(printed) and (in_a[printed[k]], in_b[printed[k]]) == (in_a[here], in_b[here]):
            continue
        yield here, printed[k - 1] + 1, in_a[here], in_b[here], k - first
        first = k


_UNITS = {"sentence": _sentences, "character": _characters}


def _ordered(labels: set[str]) -> tuple[str, ...]:
    """The paper's labels in its order, then others by name, then no label."""
    others = sorted(labels - {*LABELS, NO_LABEL})
    return (*(label for label in LABELS if label in labels), *others, *({NO_LABEL} & labels))
