"""Files as they come: layouts, damage in one record, depth and size bounded before any parser reads."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import time
import tracemalloc
import zipfile

import pytest

from core.errors import BadInput
from core.importing.reader import find_layout
from core.importing.work import import_traces
from tests.importing.test_forms import MARKED, THOUGHT, chat
from tests.importing.test_work import as_json, as_lines, folder, imported

assert folder

TWO = [{"question": f"Q{k}?", "response": f"<think>{k} it is. Wait, no.</think>"} for k in (1, 2)]


def test_numbers_that_are_none_do_not_cost_the_file(folder):
    data = json.dumps([TWO[0] | {"score": float("nan")}, TWO[1] | {"s": [float("inf"), -float("inf")]}])
    traces, report = imported(folder, data)
    assert ([t.prompt for t in traces], report.kinds) == (["Q1?", "Q2?"], {})
    assert imported(folder, data[1:-1].replace("}, {", "}\n{"))[1].n_traces == 2


def test_a_record_that_is_no_json_costs_itself_alone(folder):
    traces, report = imported(folder, f"[{json.dumps(TWO[0])}, {{oops}}, {json.dumps(TWO[1])}]")
    assert [t.prompt for t in traces] == ["Q1?", "Q2?"]
    assert [(p.record, p.kind) for p in report.problems] == [(2, "unreadable")]


@pytest.mark.parametrize("indent", [None, 1])
def test_a_list_of_messages_is_one_conversation(folder, indent):
    (trace,), report = imported(folder, json.dumps(chat(MARKED), indent=indent))
    assert (trace.prompt, trace.text, report.forms) == ("Twice 4?", THOUGHT, {"chat log": 1})


def test_a_message_a_line_is_one_conversation(folder):
    (trace,), _ = imported(folder, as_lines(*chat(MARKED)))
    assert (trace.prompt, trace.text) == ("Twice 4?", THOUGHT)


def test_a_list_of_messages_a_line_is_json_lines(folder):
    data = "\n".join(json.dumps(chat(f"<think>{k} it is.</think>", question=f"Q{k}?")) for k in (1, 2, 3))
    traces, report = imported(folder, data)
    assert [(t.prompt, t.text) for t in traces] == [(f"Q{k}?", f"{k} it is.") for k in (1, 2, 3)]
    assert report.layout == "JSON Lines"


@pytest.mark.parametrize(
    "data",
    [
        "\n".join(json.dumps(record, indent=2) for record in TWO),
        json.dumps(TWO, indent=4),
        json.dumps({"model": "m", "results": TWO}, indent=2),
        json.dumps({"model": "m", "results": TWO}),
        as_lines(*TWO).replace("\n", "\r"),
        as_lines(*TWO).replace("\n", "\r\n"),
        as_json(TWO[0]) + "\n" + as_json(TWO[1]),
    ],
)
def test_layouts(folder, data):
    traces, report = imported(folder, data)
    assert ([t.prompt for t in traces], report.kinds) == (["Q1?", "Q2?"], {})


def test_plain_text_with_cr_alone_is_parted_at_its_separators(folder):
    assert [t.text.strip() for t in imported(folder, "One.\r=====\rTwo.")[0]] == ["One.", "Two."]


def zipped():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.json", "[]")
    return file.getvalue()


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (gzip.compress(b"[]", mtime=0), "gzip"),
        (zipped(), "zip"),
        (b"\x28\xb5\x2f\xfd....", "Zstandard"),
        (b"PAR1\x15\x04", "Parquet"),
        (b"ARROW1\0\0", "Arrow"),
        (pickle.dumps([1, 2]), "pickle"),
        (b"%PDF-1.7\n", "PDF"),
        (b"\x93NUMPY\x01", "NumPy"),
        (b"SQLite format 3\0", "SQLite"),
        (b"version https://git-lfs.github.com/spec/v1\n", "LFS"),
        (b"<!DOCTYPE html><html>", "web page"),
        ("text".encode("utf-16-le"), "UTF-16"),
        ("text".encode("utf-32"), "UTF-32"),
        (bytes(300), "no text"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_text_is_named_as_what_it_is(data, what):
    with pytest.raises(BadInput, match=what) as refused:
        find_layout(io.BytesIO(data))
    assert refused.value.remedy


DEEP = "[" * 200_000 + "]" * 200_000
LONG = "a b c. " * 1_500_000


@pytest.mark.parametrize(
    ("data", "n_traces"),
    [
        (DEEP, 0),
        (DEEP[:300_000], 0),
        ('{"a":' * 80_000, 0),
        (f'[{{"text": "One."}}, {{"a": {DEEP}}}, {{"text": "Two."}}]', 2),
        (f'{{"text": "One."}}\n{{"a": {DEEP}}}\n{{"text": "Two."}}', 2),
        (f'[{{"text": "One.", "deep": "{DEEP}"}}]', 1),
        (as_lines({"text": "One.", "log": LONG * 2}, {"text": "Two."}), 1),
        (LONG, 0),
        (as_json({"text": LONG}, {"text": "Two."}), 1),
        (as_json({"text": "ab. " * 60_000, "label": [[4 * k, 4 * k + 3, "x"] for k in range(50_000)]}), 1),
        (as_json({"cot": "ab. " * 60_000, "annotated_chain": '["deduction"]ab.["end-section"]' * 50_000}), 1),
        (as_json({"messages": chat(MARKED) * 5_000}), 1),
    ],
)
def test_no_file_takes_long_steps(folder, data, n_traces, monkeypatch):
    """In this thread's processor time; three times what a step may take is left to a slow machine."""
    monkeypatch.setattr("core.importing.work.STEP_SECONDS", 0.0)
    file = io.BytesIO(data.encode())
    longest = 0.0
    work, n = import_traces(file, source="f", name="n", folder=folder), None
    try:
        while n is None:
            start = time.thread_time()
            next(work)
            longest = max(longest, time.thread_time() - start)
    except StopIteration as stop:
        n = folder.info(stop.value).n_traces
    except BadInput:
        n = 0
    assert n == n_traces
    assert longest < 1.0


@pytest.mark.parametrize("data", [DEEP, as_lines({"text": "One.", "log": LONG * 2}), LONG])
def test_memory_stays_bounded(folder, data):
    file = io.BytesIO(data.encode())
    tracemalloc.start()
    try:
        for _ in import_traces(file, source="f", name="n", folder=folder):
            pass
    except BadInput:
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 60 << 20
