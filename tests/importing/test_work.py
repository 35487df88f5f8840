"""Files of traces as people have them: every form, every fault reported, whole or nothing."""

from __future__ import annotations

import io
import json
import re
from collections import Counter

import pytest

from core.errors import BadInput
from core.importing import reader
from core.importing.alignment import squeeze
from core.importing.annotated import parse_annotation
from core.importing.data_folders import list_data_files, open_data_file
from core.importing.reader import find_layout
from core.importing.report import KINDS, MAX_LISTED, report_from_json
from core.importing.work import import_traces
from core.jobs import Progress
from core.settings import DATA_ROOTS, PROJECT
from core.traces.records import parse_traces, record_of
from core.traces.sets import TraceFolder
from core.values import Part, Trace
from core.workbench import Workbench

CHAINS = PROJECT.parent / "shared" / "data" / "traces"
CHAIN = {
    "task_id": "x_1",
    "problem": "Why?",
    "reasoning_chain": "So it is.\n\nWait, no. Done.",
    "annotated_chain": '["deduction"]So it is.["end-section"]["backtracking"]Wait, no.["end-section"]',
}


@pytest.fixture
def folder(tmp_path):
    return TraceFolder(tmp_path / "cache")


def imported(folder, data, *, name="file.json"):
    """The traces and the report of a file with these bytes."""
    data = data if isinstance(data, bytes) else data.encode()
    work = import_traces(io.BytesIO(data), source=name, name="n", folder=folder)
    set_id = None
    while set_id is None:
        try:
            assert isinstance(next(work), Progress)
        except StopIteration as stop:
            set_id = stop.value
    report = report_from_json(folder.report(set_id))
    assert report.n_traces == folder.info(set_id).n_traces == sum(report.forms.values())
    assert set(report.kinds) <= set(KINDS)
    return folder.load(set_id), report


def as_json(*records):
    return json.dumps(records)


def as_lines(*records):
    return "\n".join(json.dumps(record) for record in records)


def one(folder, record, **options):
    (trace,), report = imported(folder, as_lines(record), **options)
    return trace, report


# --- forms


@pytest.mark.parametrize("written", [as_json, as_lines, lambda r: json.dumps({"responses": [r]}, indent=1)])
def test_annotated_chains_are_aligned_to_the_original(folder, written):
    (trace,), report = imported(folder, written(CHAIN))
    assert (trace.trace_id, trace.prompt, trace.text) == ("x_1", "Why?", CHAIN["reasoning_chain"])
    assert [(p.label, trace.text[p.start : p.end]) for p in trace.parts] == [
        ("deduction", "So it is."),
        ("backtracking", "Wait, no."),
    ]
    assert (report.n_parts, report.n_aligned, report.kinds) == (2, 2, {})
    assert report.forms == {"annotated chains": 1}


def test_a_response_file_of_the_authors(folder):
    record = {
        "original_message": {"role": "user", "content": "Why?"},
        "full_response": "<｜User｜>Why?<｜Assistant｜><think>\nSo it is. Wait, no.\n</think>\nNo.",
        "thinking_process": "So it is. Wait, no.",
        "annotated_thinking": '["deduction"]So it is.["end-section"]["backtracking"]Wait, no.["end-section"]',
    }
    trace, report = one(folder, record)
    assert (trace.prompt, trace.text, len(trace.parts)) == ("Why?", "So it is. Wait, no.", 2)
    del record["thinking_process"]
    trace, report = one(folder, record)
    assert (trace.text, len(trace.parts)) == ("\nSo it is. Wait, no.\n", 2)
    assert report.kinds == {"outside the reasoning": 2}


def test_annotations_without_their_text_are_refused_not_rebuilt(folder):
    alone = {"annotated_response": CHAIN["annotated_chain"]}
    _, report = imported(folder, as_lines(alone, CHAIN))
    assert report.kinds == {"no original": 1}
    with pytest.raises(BadInput, match="not the text that they were cut from"):
        imported(folder, CHAIN["annotated_chain"])


@pytest.mark.parametrize(
    ("message", "text", "kinds"),
    [
        ({"content": "No.", "reasoning_content": "So it is."}, "So it is.", {}),
        ({"content": "No.", "reasoning": "So it is."}, "So it is.", {}),
        ({"content": "<think>So it is.</think>No."}, "So it is.", {"outside the reasoning": 1}),
        ({"content": "So it is.</think>"}, "So it is.", {}),
        ({"content": "<think>So it is."}, "So it is.", {"cut off": 1}),
        ({"content": "So it is."}, "So it is.", {}),
        ({"content": "So it"}, "So it", {"cut off": 1}),
        (
            {"content": [{"type": "thinking", "thinking": "So it is."}, {"type": "text", "text": "No."}]},
            "So it is.",
            {},
        ),
    ],
)
def test_chat_logs(folder, message, text, kinds):
    log = {"messages": [{"role": "user", "content": "Why?"}, {"role": "assistant", **message}]}
    trace, report = one(folder, log)
    assert (trace.prompt, trace.text, trace.parts) == ("Why?", text, ())
    assert report.kinds == kinds
    assert report.forms == {"chat log": 1}


def test_a_log_of_several_turns_gives_a_trace_for_each_with_reasoning(folder):
    log = {
        "id": "log",
        "conversations": [
            {"from": "system", "value": "Be brief."},
            {"from": "human", "value": "One?"},
            {"from": "gpt", "value": "<think>First.</think>"},
            {"from": "human", "value": "Two?"},
            {"from": "gpt", "value": "Short."},
            {"from": "human", "value": "Three?"},
            {"from": "gpt", "value": "<think>Third.</think>"},
        ],
    }
    traces, report = imported(folder, as_lines(log))
    assert [(t.trace_id, t.prompt, t.text) for t in traces] == [
        ("log turn 1", "One?", "First."),
        ("log turn 2", "Three?", "Third."),
    ]
    assert report.kinds["turn without reasoning"] == 1
    assert report.kinds["earlier messages"] == 2


def test_a_stored_api_response_gives_its_choices(folder):
    answer = {"message": {"role": "assistant", "content": "No.", "reasoning_content": "So it is."}}
    trace, _ = one(folder, {"messages": [{"role": "user", "content": "Why?"}], "choices": [answer]})
    assert (trace.prompt, trace.text) == ("Why?", "So it is.")


def test_question_and_response(folder):
    trace, report = one(folder, {"question": "Why?", "response": "<think>So it is.</think>"})
    assert (trace.prompt, trace.text) == ("Why?", "So it is.")
    assert report.forms == {"question and response": 1}


def test_our_own_form_comes_back_and_bad_parts_are_listed_alone(folder):
    trace = Trace(trace_id="a", prompt="p", text="Some text.", parts=(Part(label="x", start=0, end=4),), source="s")
    assert one(folder, record_of(trace))[0] == trace
    bad = [{"label": "x", "start": 0, "end": 99}, {"label": "x", "start": 3, "end": 3}, {"label": 1}, 7, None]
    bad += [{"label": "x", "start": 0.5, "end": 2}, {"label": "x", "start": True, "end": 2}]
    record = record_of(trace) | {"parts": [*record_of(trace)["parts"], *bad]}
    found, report = one(folder, record)
    assert found == trace
    other_door = parse_traces(as_lines(record).encode(), source="s")
    assert other_door.traces == (trace,)
    assert other_door.bad_parts == tuple(f"Line 1: {problem.reason}." for problem in report.problems[: len(bad)])
    assert report.kinds == {"bad part": len(bad)}
    assert (report.n_parts, report.n_aligned) == (len(bad) + 1, 1)


def test_plain_text_is_one_trace_unless_lines_of_equals_signs_part_it(folder):
    (trace,), report = imported(folder, "First.\n\nSecond.\n\n---\nThird.", name="a.txt")
    assert (trace.trace_id, trace.text) == ("a.txt", "First.\n\nSecond.\n\n---\nThird.")
    assert report.layout == "plain text"
    traces, _ = imported(folder, "First.\n=====\n<think>Second.</think>\n\n==========\n\n=====\nThird.")
    assert [t.text for t in traces] == ["First.\n", "Second.", "Third."]


def test_a_list_of_texts_and_a_list_of_message_lists(folder):
    messages = [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So it is."}]
    traces, _ = imported(folder, as_json("One.", "Two.", messages))
    assert [(t.prompt, t.text) for t in traces] == [("", "One."), ("", "Two."), ("Why?", "So it is.")]


# --- faults


def test_faults_are_reported_with_their_place_and_the_rest_is_kept(folder, monkeypatch):
    monkeypatch.setattr(reader, "MAX_RECORD_BYTES", 5000)
    lines = [
        json.dumps(CHAIN).encode(),
        b"{not json",
        b"[1, 2",
        b"7",
        json.dumps({"problem": "p"}).encode(),
        json.dumps({"text": " \n "}).encode(),
        json.dumps(CHAIN).encode(),
        b"",
        json.dumps({"text": "x" * 6000}).encode(),
        json.dumps({"text": "A \xff B."}, ensure_ascii=False).encode("latin-1"),
        json.dumps({"text": "lone \ud800 surrogate."}).encode(),
        b"[" * 4000,
        json.dumps(CHAIN | {"annotated_chain": ""}).encode(),
    ]
    traces, report = imported(folder, b"\n".join(lines))
    assert [t.text for t in traces] == [
        CHAIN["reasoning_chain"],
        "A \ufffd B.",
        "lone ? surrogate.",
        CHAIN["reasoning_chain"],
    ]
    assert {(p.record, p.kind) for p in report.problems} == {
        (2, "unreadable"),
        (3, "unreadable"),
        (4, "unreadable"),
        (5, "no text"),
        (6, "no text"),
        (7, "duplicate"),
        (9, "unreadable"),
        (10, "not UTF-8"),
        (12, "unreadable"),
        (13, "same text"),
    }
    assert len({t.trace_id for t in traces}) == 4


def test_a_json_array_that_breaks_off_keeps_what_came_before(folder):
    whole = as_json(CHAIN, CHAIN | {"problem": "Other?"})
    for cut in (whole[:-1], whole[:-60], whole[: -len(whole) // 4] + "}}}"):
        traces, report = imported(folder, cut)
        assert traces[0].prompt == "Why?"
        assert report.kinds["unreadable"] == 1
        assert report.problems[-1].record == len(traces) + 1


def test_bytes_that_are_not_utf8_in_a_json_array_are_replaced_in_their_record_alone(folder):
    data = as_json({"text": "One."}, {"text": "T@o."}, {"text": "Three."}).encode().replace(b"@", b"\xff")
    traces, report = imported(folder, data)
    assert [t.text for t in traces] == ["One.", "T\ufffdo.", "Three."]
    assert [(p.record, p.kind) for p in report.problems] == [(2, "not UTF-8")]


def test_a_character_that_lies_across_two_chunks_is_no_fault(folder, monkeypatch):
    monkeypatch.setattr(reader, "_CHUNK", 3)
    traces, report = imported(folder, json.dumps([{"text": "漢字😀."}], ensure_ascii=False))
    assert traces[0].text == "漢字😀."
    assert report.kinds == {}


def test_a_record_too_long_for_an_array_is_said_and_what_came_before_is_kept(folder, monkeypatch):
    monkeypatch.setattr(reader, "MAX_RECORD_BYTES", 200_000)
    traces, report = imported(folder, as_json({"text": "One."}, {"text": "x" * 400_000}, {"text": "Three."}))
    assert [t.text for t in traces] == ["One."]
    assert "save it as JSON Lines" in report.problems[0].reason


@pytest.mark.parametrize("data", [b"", b" \n", b"[]", b"{}", b'{"a": [1]}', b"[[1], [2]]"])
def test_a_file_without_any_trace_is_refused_and_leaves_nothing(folder, data):
    with pytest.raises(BadInput, match="holds no usable trace"):
        imported(folder, data)
    assert folder.list() == []
    assert list(folder.folder.iterdir()) == []


def test_utf16_is_refused_with_the_remedy(folder):
    with pytest.raises(BadInput, match="UTF-16"):
        imported(folder, "text".encode("utf-16"))


def test_a_byte_order_mark_is_no_part_of_the_text(folder):
    assert imported(folder, b"\xef\xbb\xbfText.")[0][0].text == "Text."
    assert imported(folder, b"\xef\xbb\xbf" + as_json({"text": "Text."}).encode())[0][0].text == "Text."
    assert imported(folder, b"\xef\xbb\xbf" + as_lines({"text": "Text."}).encode())[0][0].text == "Text."


@pytest.mark.parametrize(
    ("data", "layout"),
    [
        ('[{"a": 1}]', "JSON array"),
        ("[\n]", "JSON array"),
        ('{"a": 1}\n{"a": 2}', "JSON Lines"),
        ('{"a": 1', "JSON object"),
        ('oops\n{"a": 1}', "JSON Lines"),
        ('{\n  "a": 1\n}', "JSON object"),
        ("Well, {so}", "plain text"),
        ("{a set} of things", "plain text"),
        ('["deduction"]So.["end-section"]', "plain text"),
        ("[a list] of things", "plain text"),
    ],
)
def test_the_layout_is_told_from_the_beginning(data, layout):
    file = io.BytesIO(data.encode())
    assert find_layout(file) == layout
    assert file.tell() == 0


def test_of_many_faults_of_a_kind_some_are_listed_and_all_are_counted(folder):
    _, report = imported(folder, as_lines({"text": "A."}, *[7] * (MAX_LISTED + 50)))
    assert report.kinds == {"unreadable": MAX_LISTED + 50}
    assert len(report.problems) == MAX_LISTED


# --- whole or nothing


def test_a_stopped_import_leaves_nothing(folder):
    data = as_lines(*({"text": f"Text {i}."} for i in range(20_000))).encode()
    file = io.BytesIO(data)
    work = import_traces(file, source="f", name="n", folder=folder)
    steps = [next(work) for _ in range(4)]
    assert [step.done for step in steps] == sorted(step.done for step in steps)
    assert 0 < steps[-1].done < len(data) == steps[-1].total
    assert len(list(folder.folder.iterdir())) == 1
    work.close()
    assert list(folder.folder.iterdir()) == []
    assert folder.list() == []
    assert file.closed


def test_a_job_of_the_workbench_imports_and_a_stop_leaves_nothing(tmp_path, monkeypatch):
    bench = Workbench(tmp_path)
    before = bench.trace_sets.list()
    job = bench.import_traces(io.BytesIO(as_json(CHAIN).encode()), source="c.json", name="chains")
    done = bench.engine.wait(job, 60)
    assert done.state == "done", done.error
    assert bench.trace_sets.info(done.result).name == "chains"
    bench.trace_sets.delete(done.result)
    large = io.BytesIO(as_lines(*({"text": f"Text {i}."} for i in range(200_000))).encode())
    job = bench.import_traces(large, source="l.jsonl", name="large")
    bench.engine.stop(job)
    assert bench.engine.wait(job, 60).state == "cancelled"
    assert bench.trace_sets.list() == before
    assert [path for path in bench.trace_sets.folder.iterdir() if path.name.endswith(".tmp")] == []


# --- paths


def test_only_files_below_the_roots_are_opened(tmp_path, monkeypatch):
    root, outside = tmp_path / "root", tmp_path / "outside"
    (root / "deep").mkdir(parents=True)
    outside.mkdir()
    for place in (root / "deep" / "a.json", outside / "b.json", root / ".hidden.json"):
        place.write_text("[]")
    (root / "link.json").symlink_to(outside / "b.json")
    monkeypatch.setenv(DATA_ROOTS, str(root))
    with open_data_file(str(root / "deep" / "a.json")) as file:
        assert file.read() == b"[]"
    with open_data_file("deep/a.json") as file:
        assert file.read() == b"[]"
    assert str(root / "deep" / "a.json") in list_data_files((".json",))
    hostile = ["", "x", "\x00", "../outside/b.json", str(outside / "b.json"), "link.json", str(root), "~nobody/x"]
    for path in hostile:
        with pytest.raises(BadInput, match="is not below a folder"):
            open_data_file(path)
    monkeypatch.delenv(DATA_ROOTS)
    with pytest.raises(BadInput, match=DATA_ROOTS):
        open_data_file(str(root / "deep" / "a.json"))


def test_a_file_that_is_too_large_is_refused(tmp_path, monkeypatch):
    (tmp_path / "a.json").write_text("[1, 2, 3]")
    monkeypatch.setenv(DATA_ROOTS, str(tmp_path))
    monkeypatch.setattr("core.importing.data_folders.MAX_FILE_BYTES", 3)
    with pytest.raises(BadInput, match="not a regular file of at most"):
        open_data_file("a.json")


# --- the annotation files of the field


@pytest.mark.skipif(not CHAINS.is_dir(), reason=f"the annotated chains are not at {CHAINS}")
@pytest.mark.parametrize("kind", ["causal", "math_logic", "pattern", "probability", "spatial"])
def test_real_annotated_chains_are_aligned_or_listed(folder, kind):
    path = CHAINS / f"{kind}_annotated_chains.json"
    records = json.loads(path.read_text("utf-8"))
    traces, report = imported(folder, path.read_bytes(), name=path.name)
    by_id = {trace.trace_id: trace for trace in traces}
    assert len(by_id) == len(records) == 100
    n_parts, n_aligned, tags = 0, 0, Counter()
    for record in records:
        trace = by_id[record["task_id"]]
        assert trace.text == record["reasoning_chain"]
        texts = [squeeze(t.text)[0] for t in parse_annotation(record["annotated_chain"], trace.text).texts]
        found = [squeeze(trace.text[part.start : part.end])[0] for part in trace.parts]
        rest = iter(texts)
        assert all(text in rest for text in found)
        tags.update(re.findall(r'\["([a-z-]+)"\]', record["annotated_chain"]))
        n_parts, n_aligned = n_parts + len(texts), n_aligned + len(found)
    listed = sum(report.kinds.get(kind, 0) for kind in ("empty", "not in the text", "out of order", "several places"))
    assert (report.n_parts, report.n_aligned) == (n_parts, n_aligned)
    assert n_aligned + listed == n_parts == sum(tags.values()) - tags["end-section"]
    assert n_aligned >= 0.99 * n_parts
    assert sum(p.label == "backtracking" for t in traces for p in t.parts) == tags["backtracking"] > 0
