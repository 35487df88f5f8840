"""What an import read and what it did not: counts by kind, and the places with their reasons."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Literal

from core.errors import BadInput

Effect = Literal["left out", "kept"]
MAX_LISTED = 200
"""Places that are listed of one kind; all of them are counted."""
MAX_GROUPS = 50
"""Combinations of fields that are told apart."""
MAX_RANGES = 50
_OTHERS = ("other fields", "other fields", "", "")
KINDS: dict[str, tuple[Effect, str]] = {
    "unreadable": ("left out", "Records that cannot be read."),
    "no text": ("left out", "Records without a text, or with one that is too long."),
    "no original": ("left out", "Annotations without the text that they annotate: their parts cannot be placed."),
    "no reasoning": ("left out", "Records whose thinking is empty or stated as none."),
    "too long": ("left out", "Texts in a record that are too long to be a trace."),
    "too many items": ("left out", "Items of one list beyond what is read of it."),
    "duplicate": ("left out", "Records with the text and the parts of an earlier one."),
    "empty": ("left out", "Parts without text between their tags."),
    "not in the text": ("left out", "Parts whose text the original does not hold: the annotator changed it."),
    "out of order": ("left out", "Parts whose text stands only where other parts are."),
    "several places": ("left out", "Parts that fit in several places of the original."),
    "too many parts": ("left out", "Parts beyond what is read of one trace."),
    "bad part": ("left out", "Parts whose start and end are no span of the text."),
    "outside the reasoning": ("left out", "Answers outside the marks of the reasoning."),
    "turn without reasoning": ("left out", "Answers without reasoning in a log that has some."),
    "earlier messages": ("left out", "Messages before the question that was answered."),
    "labels not read": ("left out", "Lists of labels in a form that is not known."),
    "question": ("kept", "Questions that were cut out of a rendered prompt, or hold marks of one."),
    "unknown marks": ("kept", "Traces with marks that are not known: whatever they part is kept."),
    "summary": ("kept", "Summaries of reasoning, which an API gives in its place."),
    "rebuilt": ("kept", "Traces that were put together from their pieces."),
    "end tag without part": ("kept", "End tags that close nothing."),
    "text without label": ("kept", "Text that the annotator put between parts: it has no label."),
    "missing end tag": ("kept", "Parts that end where the next one begins, or with the annotation."),
    "unknown label": ("kept", "Labels that are none of the six; correct them in the reader if they are mistyped."),
    "same text": ("kept", "Records with the text of an earlier one, but other parts."),
    "not UTF-8": ("kept", "Bytes that are not UTF-8; they are read as �."),
    "cut off": ("kept", "Texts that do not end with a sentence, so that their last event may be cut."),
}


@dataclass(frozen=True)
class Problem:
    """One place: the record's number in its file (lines count in JSON Lines), a kind of KINDS, and the reason."""

    record: int
    kind: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class FieldsOf:
    """Traces that were read from the same fields; "" for what they do not have."""

    question: str
    reasoning: str
    labels: str
    unread: str
    n_traces: int
    records: str
    """Numbers of their records, as ranges; ends with "…" where there are more."""


@dataclass(frozen=True, kw_only=True)
class ImportReport:
    """What became of a file."""

    source: str
    layout: str
    forms: dict[str, int]
    """Traces per form of record."""
    n_bytes: int
    n_records: int
    n_traces: int
    n_parts: int
    """Parts read; those not aligned are among the problems, one each."""
    n_aligned: int
    kinds: dict[str, int]
    problems: tuple[Problem, ...]
    """At most MAX_LISTED of each kind, in the file's order."""
    n_cut: int = 0
    """Characters beside the reasoning that were left out."""
    n_answers: int = 0
    """Answers without reasoning that were left out."""
    fields: tuple[FieldsOf, ...] = ()
    """Which fields were read, one row per combination."""

    def to_json(self) -> dict[str, object]:
        """As plain JSON, for `report_from_json`."""
        return asdict(self) | {"problems": [[p.record, p.kind, p.reason] for p in self.problems]}


def report_from_json(value: object) -> ImportReport:
    """The inverse of `to_json`; fields that came later may be missing. Raises BadInput for anything else."""
    try:
        if not isinstance(value, dict):
            raise TypeError(type(value).__name__)
        return ImportReport(
            source=str(value["source"]),
            layout=str(value["layout"]),
            forms=_counts(value["forms"]),
            n_bytes=int(value["n_bytes"]),
            n_records=int(value["n_records"]),
            n_traces=int(value["n_traces"]),
            n_parts=int(value["n_parts"]),
            n_aligned=int(value["n_aligned"]),
            kinds={kind: n for kind, n in _counts(value["kinds"]).items() if kind in KINDS},
            problems=tuple(Problem(int(record), str(kind), str(reason)) for record, kind, reason in value["problems"]),
            n_cut=int(value.get("n_cut", 0)),
            n_answers=int(value.get("n_answers", 0)),
            fields=tuple(_fields(row) for row in value.get("fields", ())),
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise BadInput(
            "The import report of this set cannot be read.", "Its traces are whole; import the file again for a report."
        ) from error


def _counts(value: dict[object, int]) -> dict[str, int]:
    return {str(name): int(n) for name, n in value.items()}


def _fields(row: dict[str, str]) -> FieldsOf:
    names = ("question", "reasoning", "labels", "unread", "records")
    return FieldsOf(**{name: str(row[name]) for name in names}, n_traces=int(row["n_traces"]))


@dataclass
class _Group:
    """Traces of one combination of fields, counted; their records as ranges."""

    n_traces: int = 0
    ranges: list[list[int]] = field(default_factory=list)
    is_whole: bool = True

    def add(self, record: int) -> None:
        self.n_traces += 1
        if self.ranges and record <= self.ranges[-1][1] + 1:
            self.ranges[-1][1] = max(record, self.ranges[-1][1])
        elif len(self.ranges) < MAX_RANGES:
            self.ranges.append([record, record])
        else:
            self.is_whole = False

    @property
    def records(self) -> str:
        shown = [f"{first}" if first == last else f"{first}–{last}" for first, last in self.ranges]
        return ", ".join([*shown, *([] if self.is_whole else ["…"])])


@dataclass
class Tally:
    """Counts in the making."""

    forms: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    problems: list[Problem] = field(default_factory=list)
    groups: dict[tuple[str, ...], _Group] = field(default_factory=dict)
    n_listed: Counter[str] = field(default_factory=Counter)
    n_records: int = 0
    n_parts: int = 0
    n_aligned: int = 0
    n_cut: int = 0
    n_answers: int = 0

    def note(self, record: int, kind: str, reason: str, n: int = 1) -> None:
        """Count `n` places, and list them as one unless many of their kind are."""
        assert kind in KINDS, kind
        self.kinds[kind] += n
        self.n_listed[kind] += 1
        if self.n_listed[kind] <= MAX_LISTED:
            self.problems.append(Problem(record, kind, reason))

    def read(self, record: int, fields: tuple[str, str, str, str]) -> None:
        """A trace of the record was read from these fields: question, reasoning, labels, and what was left."""
        if fields not in self.groups and len(self.groups) >= MAX_GROUPS:
            fields = _OTHERS
        self.groups.setdefault(fields, _Group()).add(record)

    def freeze(self, *, source: str, layout: str, n_bytes: int) -> ImportReport:
        return ImportReport(
            source=source,
            layout=layout,
            forms=dict(self.forms.most_common()),
            n_bytes=n_bytes,
            n_records=self.n_records,
            n_traces=sum(self.forms.values()),
            n_parts=self.n_parts,
            n_aligned=self.n_aligned,
            kinds={kind: self.kinds[kind] for kind in KINDS if self.kinds[kind]},
            problems=tuple(self.problems),
            n_cut=self.n_cut,
            n_answers=self.n_answers,
            fields=tuple(
                FieldsOf(
                    question=key[0],
                    reasoning=key[1],
                    labels=key[2],
                    unread=key[3],
                    n_traces=group.n_traces,
                    records=group.records,
                )
                for key, group in self.groups.items()
            ),
        )
