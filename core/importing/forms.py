"""A record of a foreign file to traces: which of its texts are reasoning, what was asked, and its parts' places.

Any record of texts is read by the same rule (`candidates`), whatever its fields are called; our own form and plain text
are known. A record whose text cannot be made out is refused with its reason.
"""

from __future__ import annotations

import functools
from collections.abc import Generator
from dataclasses import dataclass, replace

from core.importing.alignment import without_space
from core.importing.annotated import END, is_annotated
from core.importing.candidates import ANSWER, REASONING, Candidate, chosen, of_leaf, of_turn
from core.importing.chats import REASONING_FIELDS, Chat, Notes, read_chat, thoughtful
from core.importing.fields import MAX_ITEMS, Leaf, Node, Path, Record, role_of, shape, walk
from core.importing.labelled import Labelled, label_annotated, label_from
from core.importing.prompts import asked_of
from core.importing.readings import FieldsRead, Reading, Refused, checked, of_own, of_text, with_marks_and_end
from core.importing.spans import Labels, find_labels, is_text_of, unread_labels
from core.text.lines import kept_line, without_surrogates
from core.values import Trace

ANNOTATED_FORM, CHAT_FORM, RESPONSE_FORM = "annotated chains", "chat log", "question and response"
LABELLED_FORM = "labelled text"
ANNOTATION_FIELDS = ("annotated_chain", "annotated_response", "annotated_thinking", "annotated_reasoning", "annotated")
ID_FIELDS = (
    *("id", "task_id", "trace_id", "response_uuid", "uuid", "unique_id", "problem_id"),
    *("custom_id", "request_id", "doc_id"),
)
_MAX_UNREAD = 8


@dataclass(frozen=True, kw_only=True)
class _Source:
    """What all traces of a record have in common."""

    record: Record
    name: str
    source: str
    leaves: tuple[Leaf, ...]
    chat: Chat
    labels: Labels | None
    annotated: Leaf | None
    notes: Notes

    @functools.cached_property
    def fields(self) -> dict[Path, str]:
        """The texts by their paths."""
        return {leaf.path: leaf.text for leaf in self.leaves}

    @functools.cached_property
    def questions(self) -> tuple[Leaf, ...]:
        """Fields that are called a question."""
        return tuple(leaf for leaf in self.leaves if leaf.text.strip() and role_of(leaf.path) == "question")

    @functools.cached_property
    def others(self) -> tuple[str, ...]:
        """Fields that are worth a word where they are not read."""
        told = (leaf for leaf in self.leaves if leaf.text.strip() and role_of(leaf.path) != "aside")
        return tuple(dict.fromkeys(shape(leaf.path) for leaf in told))


def read_record(
    value: object, *, number: int, source: str, is_cut: bool = False
) -> Generator[Reading | Refused | None, None, None]:
    """The traces of a record in short steps, each None where there is none yet. Raises Refused for one that has none.

    `is_cut`: a text was left out of the record for its length, so that only a sure sign makes another one a trace.
    """
    if isinstance(value, str):
        yield of_text(value, number, source)
        return
    record = _as_record(value)
    trace_id = _id(record) or f"{source}:{number}"
    if isinstance(record.get("text"), str) and _is_own(record.get("parts")):
        yield of_own(record, trace_id, source)
        return
    found = yield from _source(record, trace_id, source)
    candidates = []
    for leaf in found.leaves:
        yield None
        candidates.append(of_leaf(leaf, is_annotated=found.annotated is not None))
    null = [field for field in REASONING_FIELDS if field in record and record[field] is None]
    candidates += [Candidate(path=(field,), text="", rank=0, is_empty=True) for field in null]
    turns = thoughtful(found.chat.turns)
    answers = []
    for turn in turns:
        yield None
        answers.append(of_turn(turn))
    picks = yield from chosen([*answers, *candidates])
    picks = _with_places(found, picks, candidates)
    if not picks or (is_cut and picks[0].rank <= ANSWER):
        raise _refusal(found, candidates, is_cut)
    n_answers = len(found.chat.turns) - len(turns)
    taken = {shape(pick.path) for pick in picks}
    for k, pick in enumerate(picks, start=1):
        kind = "turn" if pick.turn else "generation"
        name = trace_id if len(picks) == 1 else f"{trace_id} {kind} {k}"
        try:
            yield (yield from _reading(found, pick, name, is_first=k == 1, n_answers=n_answers * (k == 1), taken=taken))
        except Refused as refused:
            yield refused


def _as_record(value: object) -> Record:
    if isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], dict):
        value = {"text": value[0]} | value[1]
    elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
        value = {"messages": value}
    if not isinstance(value, dict):
        raise Refused("unreadable", "it is neither an object nor a text")
    if value.get("done") is False or str(value.get("object")).endswith(".chunk"):
        raise Refused("unreadable", "it is a piece of an answer that was streamed; store whole answers")
    return {str(key): item for key, item in value.items()}


def _is_own(parts: object) -> bool:
    if not isinstance(parts, list):
        return False
    return not parts or any(isinstance(part, dict) and "label" in part for part in parts[:20])


def _source(record: Record, name: str, source: str) -> Generator[None, None, _Source]:
    chat = yield from read_chat(record)
    leaves: list[Leaf] = []
    nodes: list[Node] = []
    for item in walk(record, chat.places):
        if isinstance(item, Leaf):
            leaves.append(item)
        else:
            nodes.append(item)
    yield
    labels = find_labels(nodes)
    annotated = next(filter(_holds_annotation, leaves), None)
    place = labels.path if labels else None
    left = tuple(leaf for leaf in leaves if leaf is not annotated and (not place or leaf.path[: len(place)] != place))
    lost = dict.fromkeys(unread_labels(nodes, labels))
    notes = tuple(("labels not read", f"{field!r} holds neither places in the text nor its pieces") for field in lost)
    long = [node for node in nodes if len(node.value) > MAX_ITEMS and isinstance(node.value, list)]
    notes += tuple(
        ("too many items", f"{len(node.value) - MAX_ITEMS:,} items of {shape(node.path)!r} are left out")
        for node in long
        if node.path != place
    )
    yield
    return _Source(
        record=record, name=name, source=source, leaves=left, chat=chat, labels=labels, annotated=annotated, notes=notes
    )


def _holds_annotation(leaf: Leaf) -> bool:
    named = leaf.path[-1] in ANNOTATION_FIELDS and bool(leaf.text.strip())
    return named or (f'["{END}"]' in leaf.text and is_annotated(leaf.text))


def _with_places(found: _Source, picks: list[Candidate], candidates: list[Candidate]) -> list[Candidate]:
    """The picks; the text that labels belong to where that is another, or one made of its labelled pieces."""
    labels = found.labels
    if labels and labels.spans and not any(is_text_of(labels, _field(found, pick)) for pick in picks):
        near = [c for c in candidates if c.path[:-1] == labels.path[:-1] and c.text.strip()]
        fit = [c for c in near or candidates if is_text_of(labels, _field(found, c))]
        return [max(fit, key=lambda c: len(c.text))] if fit else picks
    if picks and picks[0].rank >= ANSWER:
        return picks
    pieces = [(labels.path, piece.text) for piece in labels.pieces] if labels else []
    pieces = pieces or [(leaf.path[:-1], leaf.text) for leaf in found.leaves if role_of(leaf.path) == "piece"]
    pieces = [(path, text) for path, text in pieces if path == pieces[0][0]]
    if len(pieces) < 2 or any(without_space(pieces[0][1]) in without_space(pick.text) for pick in picks):
        return picks
    note = ("rebuilt", f"{len(pieces):,} pieces are joined by spaces; the white space between them is not in the file")
    text = " ".join(text.strip() for _, text in pieces)
    return [Candidate(path=(*pieces[0][0], 0), text=text, rank=REASONING, notes=(note,))]


def _field(found: _Source, pick: Candidate) -> str:
    """The whole text of the field that the pick is cut from."""
    return found.fields.get(pick.path, pick.text)


def _refusal(found: _Source, candidates: list[Candidate], is_cut: bool) -> Refused:
    if is_cut:
        return Refused("no text", "its longest text is too long for a trace")
    if found.annotated or (found.labels and found.labels.spans):
        return Refused("no original", "it holds annotated parts, but not the text that they were cut from")
    if _states_none(found, candidates):
        return Refused("no reasoning", "its thinking is empty, or stated as none")
    given = [shape(c.path) for c in candidates if role_of(c.path) == "reference" and c.text.strip()]
    if given:
        return Refused("no text", f"it holds a reference answer ({', '.join(given[:3])}), but no reasoning")
    if found.chat.places:
        return Refused("no text", "none of its messages is an answer with text")
    return Refused("no text", "none of its fields holds a text that reads like reasoning")


def _states_none(found: _Source, candidates: list[Candidate]) -> bool:
    return any(c.is_empty for c in candidates) or any(turn.is_empty for turn in found.chat.turns)


def _reading(
    found: _Source, pick: Candidate, name: str, *, is_first: bool, n_answers: int, taken: set[str]
) -> Generator[None, None, Reading]:
    asked = asked_of(pick, found.questions, found.chat.question)
    text, notes, n_cut, first = pick.text, pick.notes, pick.n_cut, pick.first
    if asked.given.strip() and not pick.first and text.startswith(asked.given) and text != asked.given:
        first = len(asked.given)
        n_cut += first
        notes = (*notes, ("outside the reasoning", f"left out: {first:,} characters that repeat the question"))
        text = text[first:]
    text = checked(text)
    trace = Trace(trace_id=name, prompt=asked.text, text=text, source=found.source)
    labelled, place = Labelled(parts=(), n_parts=0, n_beyond=0, notes=()), ""
    if is_first and found.annotated:
        labelled, place = (yield from label_annotated(found.annotated.text, text)), shape(found.annotated.path)
    elif is_first and found.labels:
        labels = found.labels
        labelled = yield from label_from(labels, _field(found, pick), first=first, text=text)
        place = shape(labels.path)
    used = taken | {asked.field}
    return Reading(
        trace=replace(trace, parts=labelled.parts),
        form=_form(pick, place, is_annotated=bool(is_first and found.annotated)),
        fields=FieldsRead(
            question=asked.field,
            reasoning=shape(pick.path),
            labels=place,
            unread=tuple(other for other in found.others if other not in used)[:_MAX_UNREAD],
        ),
        n_parts=labelled.n_parts,
        n_beyond=labelled.n_beyond,
        n_cut=n_cut,
        n_answers=n_answers,
        notes=(
            *labelled.notes,
            *asked.notes,
            *with_marks_and_end(text, notes),
            *(found.notes if is_first else ()),
        ),
    )


def _form(pick: Candidate, place: str, *, is_annotated: bool) -> str:
    if is_annotated:
        return ANNOTATED_FORM
    if place:
        return LABELLED_FORM
    return CHAT_FORM if pick.turn else RESPONSE_FORM


def _id(record: Record) -> str:
    found = (record[f] for f in ID_FIELDS if isinstance(record.get(f), str | int))
    return kept_line(without_surrogates(str(next(found, ""))), 120)
