"""What an import makes of one trace of a record, and of the records that need no search: own form and plain text."""

from __future__ import annotations

from dataclasses import dataclass

from core.importing.alignment import MAX_PARTS
from core.importing.annotated import is_annotated
from core.importing.chats import Notes
from core.importing.fields import Record
from core.text.lines import shown_line, without_surrogates
from core.text.rendered import unframed
from core.text.thoughts import find_thought, notes_on, unknown_marks
from core.traces.records import check_length, read_own
from core.traces.set_files import OWN_FORM
from core.values import Trace

TEXT_FORM = "text"
_SENTENCE_ENDS = tuple(".!?…。！？:;)]}\"'”’*`|>$")


class Refused(Exception):
    """A record that gives no trace: a kind of `core.importing.report.KINDS`, and the reason."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind, self.reason = kind, reason


@dataclass(frozen=True)
class FieldsRead:
    """Where in a record a trace was found; "" for what it does not have."""

    question: str
    reasoning: str
    labels: str = ""
    unread: tuple[str, ...] = ()
    """Other fields with text."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A trace of a record, its form and fields, how many parts the record names, and what was odd or left out."""

    trace: Trace
    form: str
    fields: FieldsRead
    n_parts: int = 0
    n_beyond: int = 0
    """Parts beyond what is read of one trace."""
    n_cut: int = 0
    """Characters outside of the reasoning."""
    n_answers: int = 0
    """Answers without reasoning in its log."""
    notes: Notes


def of_text(text: str, number: int, source: str) -> Reading:
    if is_annotated(text):
        raise Refused("no original", "it holds annotated parts, but not the text that they were cut from")
    thought = find_thought(text)
    kept = text[thought.start : thought.stop] if thought else text
    if thought and not kept.strip():
        raise Refused("no reasoning", "its thinking is empty")
    kept = checked(kept)
    trace_id = source if number == 1 else f"{source}:{number}"
    return Reading(
        trace=Trace(trace_id=trace_id, prompt="", text=kept, source=source),
        form=TEXT_FORM,
        fields=FieldsRead("", "the whole text"),
        n_cut=thought.n_before + thought.n_behind if thought else 0,
        notes=with_marks_and_end(kept, notes_on(thought) if thought else ()),
    )


def of_own(record: Record, trace_id: str, source: str) -> Reading:
    parts, stated = record["parts"], record.get("source")
    assert isinstance(parts, list)
    asked = unframed(without_surrogates(str(record.get("prompt") or record.get("question") or "")))
    named: Record = {"id": trace_id, "source": stated if isinstance(stated, str) else source}
    given = record | named | {"text": checked(record["text"]), "prompt": asked.text, "parts": parts[:MAX_PARTS]}
    found = read_own(given, trace_id=trace_id, source=source)
    n_beyond = max(len(parts) - MAX_PARTS, 0)
    notes = tuple(("bad part", reason) for reason in found.bad_parts)
    return Reading(
        trace=found.trace,
        form=OWN_FORM,
        fields=FieldsRead("prompt" if asked.text else "", "text", "parts" if parts else ""),
        n_parts=found.n_parts + n_beyond,
        n_beyond=n_beyond,
        notes=(*notes, *_cut_off(found.trace.text)),
    )


def with_marks_and_end(text: str, notes: Notes) -> Notes:
    """The notes, and what else the text tells: marks that are not known, and an end in the middle of a sentence."""
    marks = unknown_marks(text)
    odd: Notes = (("unknown marks", f"it holds {', '.join(marks)}"),) if marks else ()
    noted = any(kind == "cut off" for kind, _ in notes)
    return (*notes, *odd, *(() if noted else _cut_off(text)))


def checked(given: object) -> str:
    fault = check_length(given) if isinstance(given, str) else "its text is no text"
    if fault:
        raise Refused("no text", fault)
    return without_surrogates(given)


def _cut_off(text: str) -> Notes:
    end = text.rstrip()
    return () if end.endswith(_SENTENCE_ENDS) else (("cut off", f"it ends with {shown_line(end[-40:], 40)!r}"),)
