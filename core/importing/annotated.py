"""Annotated chains: `["label"]text["end-section"]`, the form that Venhoff et al. 2025 ask GPT-4o for.

Knows no files. The parts' texts are what the annotator wrote; `alignment` finds them in the original.
"""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass

from core.importing.alignment import MAX_PARTS, LabelledText, without_space
from core.traces.events import LABELS

END = "end-section"
_NAME = r"[^\"\[\]\x00-\x1f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]{1,80}"
_TAG = re.compile(
    rf'\[\s*"(?P<names>{_NAME}(?:"\s*,\s*"{_NAME})*)"?\s*\]'
    rf"|\[\s*[“”'‘’]?(?P<bare>{'|'.join(map(re.escape, (*LABELS, END)))})[\"“”'‘’]?\s*\]"
)
_COMMA = re.compile(r'"?\s*,\s*"?')
_MAX_TAGS = 2 * MAX_PARTS
_MAX_GUESSED = 50
"""Unknown labels whose likely meaning is told."""


@dataclass(frozen=True, kw_only=True)
class Annotation:
    """The first MAX_PARTS parts of a chain, and what was odd about its tags, one (kind, sentence) each."""

    texts: tuple[LabelledText, ...]
    notes: tuple[tuple[str, str], ...]
    n_beyond: int = 0
    """Parts after those."""


@dataclass(frozen=True)
class _Tag:
    names: tuple[str, ...]
    start: int
    stop: int


def is_annotated(text: str) -> bool:
    """Whether the text holds tags of the form."""
    return next(_tags(text, ""), None) is not None


def parse_annotation(annotated: str, original: str) -> Annotation:
    """The labelled texts of an annotated chain. What looks like a tag and stands in the original too is text.

    A part without an end tag ends where the next one begins; a tag with several names gives a part for each.
    """
    tags = _tags(annotated, original)
    read = list(itertools.islice(tags, _MAX_TAGS))
    n_beyond = _n_parts(annotated, read[-1].stop) if len(read) == _MAX_TAGS else 0
    texts: list[LabelledText] = []
    notes: list[tuple[str, str]] = []
    open_names: tuple[str, ...] = ()
    at = 0
    for tag in [*read, *([] if n_beyond else [_Tag((), len(annotated), len(annotated))])]:
        between = annotated[at : tag.start]
        closes = tag.names == (END,)
        if open_names:
            texts += [LabelledText(label=name, text=between) for name in open_names]
            if not closes:
                notes.append(("missing end tag", f"{_named(open_names)} has no end tag; {_until(tag)}"))
        else:
            notes += _outside(between, closes=closes, is_first=not at)
        open_names = () if closes else tag.names
        at = tag.stop
    n_beyond += len(open_names) * bool(n_beyond) + max(len(texts) - MAX_PARTS, 0)
    texts = texts[:MAX_PARTS]
    return Annotation(texts=tuple(texts), notes=(*notes, *_label_notes(texts)), n_beyond=n_beyond)


def _tags(text: str, original: str) -> Iterator[_Tag]:
    in_original = {without_space(match[0]) for match in _TAG.finditer(original)}
    for match in _TAG.finditer(text):
        names = tuple(filter(None, _COMMA.split((match["names"] or match["bare"]).strip())))
        known = all(name in LABELS or name == END for name in names)
        if names and (known or without_space(match[0]) not in in_original):
            yield _Tag(names if names == (END,) else tuple(n for n in names if n != END), *match.span())


def _n_parts(text: str, start: int) -> int:
    """How many parts tags open from here on."""
    found = (names or bare for names, bare in _TAG.findall(text, start))
    return sum(name.count(",") + 1 for name in found if name != END)


def _outside(between: str, *, closes: bool, is_first: bool) -> list[tuple[str, str]]:
    notes = []
    n = len(between.strip())
    if n and not is_first:
        notes.append(("text without label", f"{n} characters between two parts carry no label"))
    if closes:
        notes.append(("end tag without part", "an end tag closes no part"))
    return notes


def _until(tag: _Tag) -> str:
    return "the next part ends it" if tag.names else "the annotation breaks off in it"


def _label_notes(texts: list[LabelledText]) -> list[tuple[str, str]]:
    notes = []
    unknown = [label for label in dict.fromkeys(text.label for text in texts) if label not in LABELS]
    for k, label in enumerate(unknown):
        near = difflib.get_close_matches(label.lower(), LABELS, n=1, cutoff=0.75) if k < _MAX_GUESSED else []
        hint = f"; it may stand for {near[0]}" if near else ""
        notes.append(("unknown label", f"the label {label!r} is none of the six; its parts are kept under it{hint}"))
    return notes


def _named(names: tuple[str, ...]) -> str:
    return " and ".join(names)
