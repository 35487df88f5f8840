"""A record of a foreign file to traces: which form it has, where its question and text are, and its parts' places.

Forms: our own, annotated chains and response files (Venhoff et al. 2025), chat logs, question and response, and plain
text. Nothing is guessed: a record whose text cannot be made out is refused with its reason.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from core.importing.alignment import REASONS, align
from core.importing.annotated import is_annotated, parse_annotation
from core.importing.chats import REASONING_FIELDS, Record, Turn, is_chat, message_text, read_chat
from core.text.lines import kept_line, shown_line, without_surrogates
from core.text.thoughts import has_thought, split_thought
from core.traces.records import check_length, read_own
from core.traces.set_files import OWN_FORM
from core.values import Trace

ANNOTATED_FORM, CHAT_FORM, RESPONSE_FORM, TEXT_FORM = "annotated chains", "chat log", "question and response", "text"
ANNOTATION_FIELDS = ("annotated_chain", "annotated_response", "annotated_thinking", "annotated_reasoning", "annotated")
THOUGHT_FIELDS = ("reasoning_chain", "thinking_process", *REASONING_FIELDS, "reasoning_trace", "trace", "cot")
RESPONSE_FIELDS = (
    *("full_response", "response_str", "response", "completion", "generation", "model_output", "output"),
    *("text", "content", "answer", "solution"),
)
QUESTION_FIELDS = (
    *("problem", "prompt", "question", "query", "instruction", "input", "task"),
    *("original_message", "prompt_message", "conversation"),
)
ID_FIELDS = ("id", "task_id", "trace_id", "response_uuid", "uuid", "unique_id", "problem_id")
_SENTENCE_ENDS = tuple(".!?…。！？:;)]}\"'”’*`|>$")

Notes = tuple[tuple[str, str], ...]


class Refused(Exception):
    """A record that gives no trace: a kind of `core.importing.report.KINDS`, and the reason."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind, self.reason = kind, reason


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A trace of a record, its form, how many parts the record names, and what was odd."""

    trace: Trace
    form: str
    n_parts: int
    notes: Notes


def read_record(value: object, *, number: int, source: str) -> Iterator[Reading]:
    """The traces of a record: one, or one per turn of a chat log. Raises Refused for a record that gives none."""
    if isinstance(value, list) and any(isinstance(item, dict) for item in value):
        value = {"messages": value}
    if isinstance(value, str):
        yield _of_text(value, number, source)
        return
    if not isinstance(value, dict):
        raise Refused("unreadable", "it is neither an object nor a text")
    record = {str(key): item for key, item in value.items()}
    trace_id = _id(record) or f"{source}:{number}"
    if isinstance(record.get("text"), str) and isinstance(record.get("parts"), list):
        yield _own(record, trace_id, source)
    elif any(isinstance(record.get(field), str) for field in ANNOTATION_FIELDS) or not is_chat(record):
        yield _response(record, trace_id, source)
    else:
        turns = read_chat(record)
        if not turns:
            raise Refused("no text", "none of its messages is an answer with text")
        for k, turn in enumerate(turns, start=1):
            name = trace_id if len(turns) == 1 else f"{trace_id} turn {k}"
            yield _unlabelled(turn, name, source, CHAT_FORM)


def _of_text(text: str, number: int, source: str) -> Reading:
    if is_annotated(text):
        raise Refused("no original", "it holds annotated parts, but not the text that they were cut from")
    thought, notes = split_thought(text) if has_thought(text) else (text, ())
    trace_id = source if number == 1 else f"{source}:{number}"
    return _unlabelled(Turn(prompt="", text=thought, notes=notes), trace_id, source, TEXT_FORM)


def _own(record: Record, trace_id: str, source: str) -> Reading:
    text, stated = _checked(record["text"]), record.get("source")
    named: Record = {"id": trace_id, "source": stated if isinstance(stated, str) else source}
    found = read_own(record | named | {"prompt": _question(record)}, trace_id=trace_id, source=source)
    notes = tuple(("bad part", reason) for reason in found.bad_parts)
    return Reading(trace=found.trace, form=OWN_FORM, n_parts=found.n_parts, notes=(*notes, *_cut_off(text)))


def _response(record: Record, trace_id: str, source: str) -> Reading:
    """A text with its question, and the annotation that may be beside it."""
    annotated = _first(record, ANNOTATION_FIELDS)
    thought = _first(record, THOUGHT_FIELDS)
    response = thought or _first(record, RESPONSE_FIELDS)
    if not response:
        if annotated:
            raise Refused("no original", "it holds annotated parts, but not the text that they were cut from")
        raise Refused("no text", f"it has none of the fields that hold a text, such as {RESPONSE_FIELDS[2]!r}")
    text, notes = split_thought(response) if not thought and has_thought(response) else (response, ())
    turn = Turn(prompt=_question(record), text=text, notes=notes)
    reading = _unlabelled(turn, trace_id, source, ANNOTATED_FORM if annotated else RESPONSE_FORM)
    return _labelled(reading, annotated) if annotated else reading


def _labelled(reading: Reading, annotated: str) -> Reading:
    text = reading.trace.text
    annotation = parse_annotation(without_surrogates(annotated), text)
    alignment = align(annotation.texts, text)
    lost = tuple(
        (item.reason, f"{item.part.label}, part {item.number + 1}: {REASONS[item.reason]}{_quoted(item.part.text)}")
        for item in alignment.unaligned
    )
    return Reading(
        trace=replace(reading.trace, parts=alignment.parts),
        form=reading.form,
        n_parts=len(annotation.texts),
        notes=(*lost, *annotation.notes, *reading.notes),
    )


def _unlabelled(turn: Turn, trace_id: str, source: str, form: str) -> Reading:
    text = _checked(turn.text)
    trace = Trace(trace_id=trace_id, prompt=without_surrogates(turn.prompt), text=text, source=source)
    noted = any(kind == "cut off" for kind, _ in turn.notes)
    return Reading(trace=trace, form=form, n_parts=0, notes=turn.notes if noted else (*turn.notes, *_cut_off(text)))


def _checked(given: object) -> str:
    text = without_surrogates(given)
    fault = check_length(text)
    if fault:
        raise Refused("no text", fault)
    return text


def _cut_off(text: str) -> Notes:
    end = text.rstrip()
    return () if end.endswith(_SENTENCE_ENDS) else (("cut off", f"it ends with {shown_line(end[-40:], 40)!r}"),)


def _first(record: Record, fields: tuple[str, ...]) -> str:
    """The first of the fields that holds a text."""
    texts = (record.get(field) for field in fields)
    return next((text for text in texts if isinstance(text, str) and text.strip()), "")


def _question(record: Record) -> str:
    found = (message_text(record[field]) for field in QUESTION_FIELDS if field in record)
    return without_surrogates(next((text for text in found if text.strip()), ""))


def _id(record: Record) -> str:
    found = (record[f] for f in ID_FIELDS if isinstance(record.get(f), str | int))
    return kept_line(without_surrogates(str(next(found, ""))), 120)


def _quoted(text: str) -> str:
    line = shown_line(text, 80)
    return f": {line}" if line else ""
