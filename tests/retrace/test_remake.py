"""`traces`: a file that other commands read, with what was done told in it and on stdout."""

from __future__ import annotations

import json

import pytest

from core.embedded import example_traces
from core.traces.events import BACKTRACKING, digest_of
from core.traces.records import read_traces, record_of
from core.values import Trace
from retrace.commands import BAD_INPUT, DONE, main


@pytest.fixture
def shell(tmp_path, capsys):
    def run(*words):
        code = main(["traces", *map(str, words), "--cache", str(tmp_path / "cache")])
        told = capsys.readouterr()
        return code, told.out, told.err

    return run


def test_the_embedded_traces_without_their_backtracking(shell, tmp_path):
    out = tmp_path / "new" / "without.jsonl"
    code, stdout, stderr = shell("embedded", "--without", "--out", out)
    assert code == DONE, stderr
    said, found = json.loads(stdout), read_traces(out).traces
    assert said["from"]["digest"] == digest_of(example_traces())
    assert (said["digest"], said["traces"]) == (digest_of(found), len(example_traces()))
    assert not any(part.label == BACKTRACKING for trace in found for part in trace.parts)
    gone = sum(len(t.text) for t in example_traces()) - sum(len(t.text) for t in found)
    assert gone >= sum(p.end - p.start for t in example_traces() for p in t.parts if p.label == BACKTRACKING)
    assert all(trace.source.endswith("without backtracking") for trace in found)
    assert shell("embedded", "--without", "--out", out)[0] == DONE


def test_unlabelled_traces_by_their_words(shell, tmp_path):
    mine = tmp_path / "mine.jsonl"
    traces = [Trace(trace_id=str(i), prompt="?", text=f"It is {i}. Wait, no. So {i + 1}.") for i in range(3)]
    mine.write_text("".join(json.dumps(record_of(trace)) + "\n" for trace in traces))
    code, _, stderr = shell(mine, "--without", "--out", tmp_path / "a.jsonl")
    assert (code, "labelled 'backtracking'" in stderr) == (BAD_INPUT, True)
    code, stdout, stderr = shell(mine, "--without", "--keywords", "wait,hmm", "--out", tmp_path / "a.jsonl")
    assert code == DONE, stderr
    assert [trace.text for trace in read_traces(tmp_path / "a.jsonl").traces] == [
        f"It is {i}. So {i + 1}." for i in range(3)
    ]
    assert json.loads(stdout)["how"] == "without sentences with wait, hmm"


def test_shuffled_by_a_seed_that_is_told(shell, tmp_path):
    code, stdout, stderr = shell("embedded", "--shuffle", "--seed", 2, "--out", tmp_path / "s.jsonl")
    assert code == DONE, stderr
    assert json.loads(stdout)["how"] == "sentences shuffled, seed 2"
    found = read_traces(tmp_path / "s.jsonl").traces
    assert [sorted(a.text) for a in found] == [sorted(b.text.rstrip()) for b in example_traces()]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("embedded",), "Give one of them"),
        (("embedded", "--without", "--shuffle"), "Give one of them"),
        (("embedded", "--without", "nothing"), "labelled 'nothing'"),
        (("nowhere.jsonl", "--shuffle"), "cannot be read"),
        (("none", "--shuffle"), "No traces are named"),
    ],
)
def test_refused_and_nothing_is_written(shell, tmp_path, words, says):
    code, stdout, stderr = shell(*words, "--out", tmp_path / "out.jsonl")
    assert (code, stdout) == (BAD_INPUT, ""), stderr
    assert says in stderr
    assert not (tmp_path / "out.jsonl").exists()


def test_another_file_is_not_written_over(shell, tmp_path):
    (tmp_path / "mine.jsonl").write_text("mine")
    code, _, stderr = shell("embedded", "--shuffle", "--out", tmp_path / "mine.jsonl")
    assert (code, "is there already" in stderr) == (BAD_INPUT, True)
    assert (tmp_path / "mine.jsonl").read_text() == "mine"
