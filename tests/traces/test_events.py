"""Events, windows and trace files."""

import json

import pytest

from core.errors import BadInput
from core.models.loaded import encode_text
from core.traces.events import digest_of, find_events, label_of_tokens, window_positions
from core.traces.records import parse_traces
from core.values import Event, Part, Trace, Window
from tests.tiny_models import tiny_loaded

TEXT = "First we add. Wait, that is wrong.\n\nBut maybe not. "
TRACE = Trace(
    trace_id="t",
    prompt="Why?",
    text=TEXT,
    parts=(Part(label="deduction", start=0, end=13), Part(label="backtracking", start=13, end=34)),
)


def test_the_event_is_the_first_token_of_the_part(tmp_path):
    loaded = tiny_loaded(tmp_path)
    reading = encode_text(loaded, TRACE.prompt, TRACE.text)
    (event,) = find_events(TRACE, "backtracking", spans=reading.spans, text_start=reading.text_start)
    start, end = reading.spans[event.position - reading.text_start]
    assert TEXT[start:end].strip()
    assert TEXT[start:].lstrip().startswith("Wait") or TEXT[start:end].strip() in "Wait"
    before = reading.spans[event.position - reading.text_start - 1]
    assert before[1] <= TEXT.index("Wait")


def test_every_token_gets_the_label_of_the_part_it_starts_in(tmp_path):
    loaded = tiny_loaded(tmp_path)
    reading = encode_text(loaded, TRACE.prompt, TRACE.text)
    for (start, _), label in zip(reading.spans, label_of_tokens(TRACE, reading.spans), strict=True):
        want = next((part.label for part in TRACE.parts if part.start <= start < part.end), "")
        assert label == want


def test_windows_are_half_open_and_stay_in_the_text():
    event = Event(position=20, part=TRACE.parts[1])
    assert window_positions([event], Window(start=-13, stop=-7), first=0, stop=99).tolist() == list(range(7, 13))
    assert window_positions([event], Window(start=-13, stop=-7), first=10, stop=12).tolist() == [10, 11]
    near = Event(position=22, part=TRACE.parts[1])
    assert window_positions([event, near], Window(start=-3, stop=0), first=0, stop=99).tolist() == [17, 18, 19, 20, 21]


def test_a_part_outside_the_text_is_refused():
    with pytest.raises(BadInput, match="covers characters"):
        Trace(trace_id="t", prompt="", text="abc", parts=(Part(label="x", start=1, end=9),))


def test_the_digest_follows_text_and_parts():
    other = Trace(trace_id="t", prompt="Why?", text=TEXT, parts=TRACE.parts[:1])
    assert digest_of([TRACE]) != digest_of([other])
    assert digest_of([TRACE]) == digest_of([TRACE])


def test_bad_lines_are_reported_and_the_rest_is_kept():
    good = {"id": "a", "prompt": "p", "text": TEXT, "parts": [{"label": "deduction", "start": 0, "end": 5}]}
    lines = [
        json.dumps(good),
        "{not json",
        json.dumps([1, 2]),
        json.dumps({"prompt": "no text"}),
        json.dumps({**good, "parts": [{"label": "x", "start": 0, "end": 10_000}]}),
        json.dumps({**good, "text": "lone \ud800 surrogate", "parts": []}),
        json.dumps({**good, "text": 7}),
    ]
    report = parse_traces("\n".join(lines).encode() + b"\n\xff\xfe", source="f.jsonl")
    assert [t.trace_id for t in report.traces] == ["a", "a", "a"]
    assert report.traces[2].text == "lone ? surrogate"
    assert [p.split(":")[0] for p in report.problems] == ["Line 2", "Line 3", "Line 4", "Line 7", "Line 8"]
    assert report.bad_parts == ("Line 5: part 1 is not a label with a start and an end in the text.",)


@pytest.mark.parametrize("data", [b"", b"\x00\x01\x02", b"hello", b"[]"])
def test_a_file_without_any_trace_is_refused(data):
    with pytest.raises(BadInput, match="holds no usable trace"):
        parse_traces(data, source="f.jsonl")


def test_a_token_in_two_parts_has_the_label_of_the_later_one():
    spans = [(0, 1), (1, 2), (2, 3), (3, 4)]
    outer, inner = Part(label="outer", start=0, end=4), Part(label="inner", start=1, end=3)
    for parts, want in (
        ((outer, inner), ["outer", "inner", "inner", "outer"]),
        ((inner, outer), ["outer", "outer", "outer", "outer"]),
    ):
        assert label_of_tokens(Trace(trace_id="t", prompt="", text="abcd", parts=parts), spans) == want


def test_two_parts_over_one_place_are_two_events_in_their_order():
    parts = tuple(Part(label="x", start=0, end=end) for end in (3, 4))
    trace = Trace(trace_id="t", prompt="", text="abcd", parts=parts)
    found = find_events(trace, "x", spans=[(0, 2), (2, 4)], text_start=5)
    assert [(event.position, event.part) for event in found] == [(5, parts[0]), (5, parts[1])]
