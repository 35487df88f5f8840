"""What an import read and what it did not: counts by kind, and the places with their reasons."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Effect = Literal["left out", "kept"]
MAX_LISTED = 200
"""Places that are listed of one kind; all of them are counted."""
KINDS: dict[str, tuple[Effect, str]] = {
    "unreadable": ("left out", "Records that cannot be read."),
    "no text": ("left out", "Records without a text, or with one that is too long."),
    "no original": ("left out", "Annotations without the text that they annotate: their parts cannot be placed."),
    "duplicate": ("left out", "Records with the text and the parts of an earlier one."),
    "empty": ("left out", "Parts without text between their tags."),
    "not in the text": ("left out", "Parts whose text the original does not hold: the annotator changed it."),
    "out of order": ("left out", "Parts whose text stands only where other parts are."),
    "several places": ("left out", "Parts that fit in several places of the original."),
    "too many parts": ("left out", "Parts beyond what is aligned of one trace."),
    "bad part": ("left out", "Parts whose start and end are no span of the text."),
    "outside the reasoning": ("left out", "Answers outside the marks of the reasoning."),
    "turn without reasoning": ("left out", "Answers without reasoning in a log that has some."),
    "earlier messages": ("left out", "Messages before the question that was answered."),
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

    def to_json(self) -> dict[str, object]:
        """As plain JSON, for `report_from_json`."""
        return asdict(self) | {"problems": [[p.record, p.kind, p.reason] for p in self.problems]}


def report_from_json(value: dict[str, Any]) -> ImportReport:
    """The inverse of `to_json`. Raises KeyError or TypeError for anything else."""
    fields = {name: value[name] for name in ImportReport.__dataclass_fields__}
    return ImportReport(**fields | {"problems": tuple(Problem(*row) for row in value["problems"])})


@dataclass
class Tally:
    """Counts in the making."""

    forms: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    problems: list[Problem] = field(default_factory=list)
    n_records: int = 0
    n_parts: int = 0
    n_aligned: int = 0

    def note(self, record: int, kind: str, reason: str) -> None:
        """Count a place, and list it unless many of its kind are."""
        assert kind in KINDS, kind
        self.kinds[kind] += 1
        if self.kinds[kind] <= MAX_LISTED:
            self.problems.append(Problem(record, kind, reason))

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
        )
