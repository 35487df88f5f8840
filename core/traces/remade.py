"""Traces made from others, to ask what a finetune learns from: without the sentences of a label, or in another order.

Nothing is written anew: every character stood in the trace that it is made from. Knows no models.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

from core.errors import BadInput
from core.text.sentences import Span, split_sentences
from core.values import Part, Trace


@dataclass(frozen=True, kw_only=True)
class Remade:
    """The traces that were made, and what was done."""

    traces: tuple[Trace, ...]
    how: str
    """In words; it also stands in the source of every trace."""
    n_sentences: int
    """Sentences that were taken out, or that stand in another place."""
    n_changed: int
    n_dropped: int = 0
    """Traces of which nothing was left."""


def without_label(traces: Sequence[Trace], label: str, *, how: str = "") -> Remade:
    """The traces without what is labelled so, and without the white space after it.

    Raises BadInput where nothing is labelled so, or nothing would be left.
    """
    how = how or f"without {label}"
    made, n_sentences, n_changed = [], 0, 0
    for trace in traces:
        cuts = _merged([(part.start, _after(trace.text, part.end)) for part in trace.parts if part.label == label])
        n_sentences += sum(part.label == label for part in trace.parts)
        n_changed += bool(cuts)
        left = _joined(trace, _rest(cuts, len(trace.text))) if cuts else trace
        if left.text.strip():
            made.append(_told(left, how))
    if not n_changed:
        raise BadInput(
            f"No part of these traces is labelled {label!r}.",
            "Label them first, or say by which words its sentences are known.",
        )
    if not made:
        raise BadInput(f"Without what is labelled {label!r} nothing is left.", "Choose another label.")
    return Remade(
        traces=tuple(made), how=how, n_sentences=n_sentences, n_changed=n_changed, n_dropped=len(traces) - len(made)
    )


def shuffled(traces: Sequence[Trace], *, seed: int = 0) -> Remade:
    """The traces with the sentences of each in an order of chance, each with its labels; marks of thinking stay.

    A labelled part of several sentences moves as one. Raises BadInput where no trace has two sentences.
    """
    how = f"sentences shuffled, seed {seed}"
    made, n_sentences, n_changed = [], 0, 0
    for number, trace in enumerate(traces):
        units = _merged([*split_sentences(trace.text), *((part.start, part.end) for part in trace.parts)])
        order = list(range(len(units)))
        Random(f"{seed} {number}").shuffle(order)
        moved = sum(i != j for i, j in enumerate(order))
        n_sentences, n_changed = n_sentences + moved, n_changed + bool(moved)
        made.append(_told(_joined(trace, _reordered(units, order, len(trace.text))), how))
    if not n_changed:
        raise BadInput("None of these traces has two sentences.", "Choose longer traces.")
    return Remade(traces=tuple(made), how=how, n_sentences=n_sentences, n_changed=n_changed)


def _after(text: str, end: int) -> int:
    """Where the white space after a sentence ends."""
    return end + len(text[end:]) - len(text[end:].lstrip())


def _merged(spans: Sequence[Span]) -> list[Span]:
    """The spans in order, those that overlap as one."""
    found: list[Span] = []
    for start, end in sorted(spans):
        if found and start < found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return found


def _rest(cuts: Sequence[Span], length: int) -> list[Span]:
    """What lies between the cuts."""
    edges = [0, *(edge for cut in cuts for edge in cut), length]
    return [(a, b) for a, b in zip(edges[::2], edges[1::2], strict=True) if a < b]


def _reordered(units: Sequence[Span], order: Sequence[int], length: int) -> list[Span]:
    """The units in another order, what lies between them where it was."""
    edges = [0, *(edge for unit in units for edge in unit), length]
    between = list(zip(edges[::2], edges[1::2], strict=True))
    spans = [between[0]]
    for place, unit in enumerate(order, start=1):
        spans += [units[unit], between[place]]
    return [(a, b) for a, b in spans if a < b]


def _joined(trace: Trace, spans: Sequence[Span]) -> Trace:
    """The trace made of these stretches in this order, with what of its parts lies in them."""
    parts, at = [], 0
    for start, end in spans:
        for part in trace.parts:
            first, last = max(part.start, start), min(part.end, end)
            if first < last:
                parts.append(Part(label=part.label, start=at + first - start, end=at + last - start))
        at += end - start
    text = "".join(trace.text[start:end] for start, end in spans)
    bare = text.rstrip()
    kept = [replace(part, end=min(part.end, len(bare))) for part in parts if part.start < len(bare)]
    return replace(trace, text=bare, parts=tuple(sorted(kept, key=lambda part: part.start)))


def _told(trace: Trace, how: str) -> Trace:
    return replace(trace, source=f"{trace.source} · {how}" if trace.source else how)
