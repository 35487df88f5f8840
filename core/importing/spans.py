"""Labels beside a text, as annotation tools write them: places in it, or its pieces with a label each.

Places: [start, end, label] or an object that names them (doccano, Prodigy, Label Studio, spaCy). Pieces: objects with a
text and its tags, such as the chunks of Bogdan et al. 2025. Knows no files and chooses no text.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from core.importing.alignment import MAX_PARTS, LabelledText
from core.importing.fields import Node, Path
from core.text.lines import kept_line, without_surrogates
from core.traces.records import MAX_LABEL
from core.values import Part

_STARTS = ("start", "start_offset", "startOffset", "start_char", "char_start", "begin", "from", "offset")
_ENDS = ("end", "end_offset", "endOffset", "end_char", "char_end", "stop", "to")
_LABELS = (
    "label",
    "labels",
    "function_tags",
    "tag",
    "tags",
    "category",
    "entity",
    "entity_type",
    "type",
    "class",
    "name",
)
_TEXTS = ("chunk", "text", "sentence", "segment", "quote", "value")
_PIECE_LABELS = ("function_tags", "label", "labels", "tag", "tags", "category")
JOINT = " + "
_NAMES = {"label", "labels", "entities", "spans", "annotations", "span_labels", "parts"}


@dataclass(frozen=True, kw_only=True)
class Span:
    """Labels for characters `start` to `end` of a text; its own words where the tool repeats them."""

    labels: tuple[str, ...]
    start: int
    end: int
    text: str = ""


@dataclass(frozen=True, kw_only=True)
class Labels:
    """The labels of one list: places, or pieces with their texts, in order, and how many parts are beyond MAX_PARTS."""

    path: Path
    spans: tuple[Span, ...] = ()
    pieces: tuple[Span, ...] = ()
    n_bad: int = 0
    n_beyond: int = 0

    @property
    def texts(self) -> tuple[LabelledText, ...]:
        """The words of every part, with its labels as one."""
        return tuple(LabelledText(label=JOINT.join(p.labels), text=p.text) for p in self.pieces or self.spans)


def find_labels(nodes: list[Node]) -> Labels | None:
    """The first list of a record that holds labels."""
    for node in nodes:
        if isinstance(node.value, list) and node.value:
            found = _labels(node.path, node.value)
            if found:
                return found
    return None


def unread_labels(nodes: list[Node], read: Labels | None) -> Iterator[str]:
    """Names of lists that look like labels and are not read."""
    for node in nodes:
        top = node.path[-1]
        if (
            top in _NAMES
            and len(node.path) <= 2
            and node.value
            and not (read and read.path[: len(node.path)] == node.path)
        ):
            yield str(top)


def _labels(path: Path, items: list[object]) -> Labels | None:
    first = items[: min(len(items), 20)]
    read = MAX_PARTS if len(items) > MAX_PARTS else len(items)
    if sum(_span(item) is not None for item in first) * 2 > len(first):
        spans = [_span(item) for item in items[:read]]
        found = tuple(span for span in spans if span is not None)
        return Labels(path=path, spans=found, n_bad=len(spans) - len(found), n_beyond=len(items) - read)
    if sum(_piece(item) is not None for item in first) * 2 > len(first):
        pieces = [_piece(item) for item in items[:read]]
        texts = tuple(piece for piece in pieces if piece is not None)
        return Labels(path=path, pieces=texts, n_bad=len(pieces) - len(texts), n_beyond=len(items) - read)
    return None


def _span(item: object) -> Span | None:
    if isinstance(item, list) and len(item) >= 3:
        numbers = [value for value in item[:3] if type(value) is int]
        names = [value for value in item[:3] if isinstance(value, str | list)]
        labels = _names(names[0]) if len(numbers) == 2 and names else ()
        return Span(labels=labels, start=numbers[0], end=numbers[1]) if labels else None
    if not isinstance(item, dict):
        return None
    inner = item.get("value")
    place = inner if isinstance(inner, dict) else item
    start, end = _number(place, _STARTS), _number(place, _ENDS)
    if start is not None and end is None and type(place.get("length")) is int:
        end = start + int(place["length"])
    labels = next(filter(None, (_names(where.get(name)) for where in (place, item) for name in _LABELS)), ())
    if start is None or end is None or not labels:
        return None
    text = place.get("text")
    return Span(labels=labels, start=start, end=end, text=text if isinstance(text, str) else "")


def _piece(item: object) -> Span | None:
    if not isinstance(item, dict):
        return None
    text = next((item[name] for name in _TEXTS if isinstance(item.get(name), str)), "")
    labels = next(filter(None, (_names(item.get(name)) for name in _PIECE_LABELS)), ())
    return Span(labels=labels, start=0, end=0, text=text) if text and labels else None


def _number(place: dict[object, object], names: tuple[str, ...]) -> int | None:
    found = (place.get(name) for name in names)
    return next((value for value in found if type(value) is int), None)


def _names(value: object) -> tuple[str, ...]:
    """One label, or a list of labels; the words that a tool writes in their place are none."""
    values = value if isinstance(value, list) else [value]
    lines = [kept_line(without_surrogates(name), MAX_LABEL) for name in values[:20] if isinstance(name, str)]
    return tuple(line for line in lines if line)


def parts_of(spans: tuple[Span, ...], *, first: int, length: int) -> tuple[tuple[Part, ...], list[str]]:
    """The spans as parts of characters `first` to `first + length` of their text, and why some are none."""
    parts: list[Part] = []
    bad = []
    for k, span in enumerate(spans, start=1):
        start, end = span.start - first, span.end - first
        if 0 <= start < end <= length:
            parts += [Part(label=label, start=start, end=end) for label in span.labels]
        else:
            bad.append(f"part {k} is not a label with a start and an end in the text that was read")
    return tuple(parts), bad


def is_text_of(labels: Labels, text: str) -> bool:
    """Whether the spans can be places in this text: it is long enough, and their own words stand there."""
    ends = max((span.end for span in labels.spans), default=0)
    return ends <= len(text) and all(text[s.start : s.end] == s.text for s in labels.spans if s.text)
