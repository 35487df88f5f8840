"""A trace's labels to parts with places in its text, in short steps, with what got no place and why."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace

from core.importing.alignment import REASONS, LabelledText, aligning
from core.importing.annotated import parse_annotation
from core.importing.spans import JOINT, Labels, is_text_of
from core.text.lines import shown_line, without_surrogates
from core.values import Part

Notes = tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """The parts of a trace, how many were named, how many of those are beyond what is read, and what was odd."""

    parts: tuple[Part, ...]
    n_parts: int
    n_beyond: int
    notes: Notes


def label_annotated(annotated: str, text: str) -> Generator[None, None, Labelled]:
    """The parts of an annotated chain."""
    annotation = parse_annotation(without_surrogates(annotated), text)
    yield
    return (yield from _aligned(annotation.texts, text, n_beyond=annotation.n_beyond, notes=annotation.notes))


def label_from(labels: Labels, field: str, *, first: int, text: str) -> Generator[None, None, Labelled]:
    """The parts of a list of labels; their places count from the field's beginning, of which `first` is the text's."""
    bad: Notes = (("bad part", f"{labels.n_bad:,} items are not a label with a place"),) if labels.n_bad else ()
    yield
    if labels.spans and (is_text_of(labels, field) or not all(span.text for span in labels.spans)):
        placed, faults = [], []
        for k, span in enumerate(labels.spans, start=1):
            start, end = span.start - first, span.end - first
            if 0 <= start < end <= len(text) and (not span.text or text[start:end] == span.text):
                placed += [Part(label=label, start=start, end=end) for label in span.labels]
            else:
                faults.append(("bad part", f"part {k} is not a label with a start and an end in the text"))
        n_parts = len(placed) + len(faults) + labels.n_bad + labels.n_beyond
        return Labelled(parts=tuple(placed), n_parts=n_parts, n_beyond=labels.n_beyond, notes=(*bad, *faults))
    aligned = yield from _aligned(labels.texts, text, n_beyond=labels.n_beyond, notes=bad)
    several = {JOINT.join(span.labels): span.labels for span in labels.spans + labels.pieces}
    parts = tuple(replace(part, label=name) for part in aligned.parts for name in several[part.label])
    n_parts = aligned.n_parts + len(parts) - len(aligned.parts) + labels.n_bad
    return replace(aligned, parts=parts, n_parts=n_parts)


def _aligned(
    texts: Sequence[LabelledText], text: str, *, n_beyond: int, notes: Notes
) -> Generator[None, None, Labelled]:
    alignment = yield from aligning(texts, text)
    lost = tuple(
        (item.reason, f"{item.part.label}, part {item.number + 1}: {REASONS[item.reason]}{_quoted(item.part.text)}")
        for item in alignment.unaligned
    )
    return Labelled(parts=alignment.parts, n_parts=len(texts) + n_beyond, n_beyond=n_beyond, notes=(*lost, *notes))


def _quoted(text: str) -> str:
    line = shown_line(text, 80)
    return f": {line}" if line else ""
