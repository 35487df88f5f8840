"""Saved sets of traces: whole or not there, corrected and undone, labelled side by side."""

import json
import os

import pytest

from core.errors import BadInput, UserFacingError
from core.traces.events import digest_of
from core.traces.queries import TraceFilter, export_lines, filter_rows
from core.traces.records import parse_traces
from core.traces.set_files import EMBEDDED, facts_of
from core.traces.sets import TraceFolder
from core.values import Part, Trace

TEXT = "First we add.\u2028 Wait, that is wrong.\n\n\x00 Über 漢字."
TRACES = tuple(
    Trace(
        trace_id=f"t{i}",
        prompt=f"Question {i}?",
        text=f"{TEXT} {i}",
        parts=(Part(label="deduction", start=0, end=13), Part(label="backtracking", start=15, end=35)),
        source="a.json",
    )
    for i in range(4)
)
OTHER = (Part(label="uncertainty-estimation", start=0, end=13),)


@pytest.fixture
def folder(tmp_path):
    return TraceFolder(tmp_path)


def names(folder):
    return sorted(path.name for path in folder.folder.iterdir())


def test_a_set_comes_back_as_it_was_saved(folder):
    set_id = folder.save(TRACES, name="  Mine \n two ", source="a.json", form="chat log")
    assert folder.load(set_id) == TRACES
    assert tuple(folder.iterate(set_id)) == TRACES
    assert folder.trace(set_id, 2) == TRACES[2]
    (info,) = folder.list()
    assert (info.name, info.source, info.form) == ("Mine two", "a.json", "chat log")
    assert (info.n_traces, info.n_edits, info.embedded) == (4, 0, False)
    assert info.counts == {"backtracking": 4, "deduction": 4}
    assert info.n_characters == sum(len(trace.text) for trace in TRACES)
    rows = folder.rows(set_id)
    assert [row.title for row in rows] == [trace.prompt for trace in TRACES]
    assert rows[3].counts == {"deduction": 1, "backtracking": 1}


def test_another_process_sees_the_same(folder, tmp_path):
    set_id = folder.save(TRACES, name="Mine")
    folder.edit(set_id, 1, OTHER, note="relabelled")
    assert TraceFolder(tmp_path).load(set_id) == folder.load(set_id)


def test_rename_and_delete(folder):
    first, second = folder.save(TRACES, name="one"), folder.save(TRACES[:1], name="two")
    folder.rename(first, "three")
    assert {found.name for found in folder.list()} == {"three", "two"}
    with pytest.raises(BadInput, match="name is empty"):
        folder.rename(first, " \u200b\n ")
    folder.delete(first)
    assert [found.set_id for found in folder.list()] == [second]
    assert names(folder) == [second]
    with pytest.raises(BadInput, match="There is no trace set"):
        folder.load(first)


@pytest.mark.parametrize("set_id", ["", "..", "../../etc", "0" * 12, "embedded-x", "a/b", "\x00"])
def test_an_unknown_id_is_refused(folder, set_id):
    for action in (folder.load, folder.delete, folder.info, folder.rows, folder.undo, folder.labellings):
        with pytest.raises(BadInput):
            action(set_id)


def write_and_raise(folder, error):
    with folder.new("0123456789ab") as writer:
        writer.add(TRACES[0])
        raise error


def test_a_writer_that_raises_leaves_nothing(folder):
    for error in (GeneratorExit, RuntimeError):
        with pytest.raises(error):
            write_and_raise(folder, error)
        assert names(folder) == []
    with folder.new("0123456789ab") as writer:
        writer.add(TRACES[0])
        writer.finish(facts_of(name="n", source="s", form="f"))
    assert folder.load("0123456789ab") == TRACES[:1]


def test_what_a_killed_writer_left_is_removed_at_the_next_start(folder, tmp_path):
    set_id = folder.save(TRACES, name="kept")
    left = folder.folder / f".{'0' * 16}.tmp"
    left.mkdir()
    (left / "traces.jsonl").write_bytes(b"half")
    with folder.new("0123456789ab") as writer:
        TraceFolder(tmp_path)
        writer.add(TRACES[0])
        writer.finish(facts_of(name="n", source="s", form="f"))
    assert names(folder) == sorted(["0123456789ab", set_id])


def test_corrections_are_undone_one_by_one(folder):
    set_id = folder.save(TRACES, name="n")
    before = folder.info(set_id)
    folder.edit(set_id, 1, OTHER, note="first")
    middle = folder.info(set_id)
    folder.edit(set_id, 1, (), note="second")
    folder.edit(set_id, 3, OTHER, note="third")
    assert folder.trace(set_id, 1).parts == ()
    assert folder.load(set_id)[3].parts == OTHER
    assert folder.rows(set_id)[1].counts == {}
    assert folder.info(set_id).counts == {"backtracking": 2, "deduction": 2, "uncertainty-estimation": 1}
    assert [edit.note for edit in folder.edits(set_id)] == ["first", "second", "third"]
    assert [folder.undo(set_id).note for _ in range(2)] == ["third", "second"]
    assert folder.info(set_id) == middle
    assert folder.trace(set_id, 1).parts == OTHER
    folder.undo(set_id)
    assert folder.info(set_id) == before
    assert folder.load(set_id) == TRACES
    with pytest.raises(BadInput, match="no correction to take back"):
        folder.undo(set_id)


def test_a_correction_must_lie_in_the_text(folder):
    set_id = folder.save(TRACES, name="n")
    with pytest.raises(BadInput, match="covers characters"):
        folder.edit(set_id, 0, (Part(label="x", start=0, end=10_000),), note="bad")
    with pytest.raises(BadInput, match="no trace 4"):
        folder.edit(set_id, 4, (), note="bad")
    assert folder.edits(set_id) == ()


def test_the_digest_follows_content_and_corrections(folder):
    first, second = folder.save(TRACES, name="a"), folder.save(TRACES, name="b")
    digest = folder.info(first).digest
    assert folder.info(second).digest == digest
    assert folder.info(folder.save(TRACES[:2], name="c")).digest != digest
    folder.edit(first, 0, OTHER, note="n")
    assert folder.info(first).digest != digest


def test_labellings_lie_side_by_side(folder):
    set_id = folder.save(TRACES, name="n")
    keyword = [OTHER, (), OTHER, ()]
    folder.save_labels(set_id, "keywords: wait, hmm", keyword)
    folder.save_labels(set_id, "../judge", [()] * 4)
    assert {found.name: found.counts for found in folder.labellings(set_id)} == {
        "keywords: wait, hmm": {"uncertainty-estimation": 2},
        "../judge": {},
    }
    assert folder.load_labels(set_id, "keywords: wait, hmm") == tuple(keyword)
    assert folder.load(set_id) == TRACES
    folder.save_labels(set_id, "keywords: wait, hmm", [OTHER] * 4)
    assert folder.load_labels(set_id, "keywords: wait, hmm") == (OTHER,) * 4
    folder.delete_labels(set_id, "../judge")
    assert len(folder.labellings(set_id)) == 1
    with pytest.raises(BadInput, match="no labelling"):
        folder.load_labels(set_id, "../judge")
    with pytest.raises(BadInput, match="3 traces were labelled"):
        folder.save_labels(set_id, "short", [()] * 3)


def test_the_embedded_set_is_first_and_can_be_corrected_and_labelled(tmp_path):
    folder = TraceFolder(tmp_path, embedded=lambda: TRACES)
    saved = folder.save(TRACES[:1], name="mine")
    assert [found.set_id for found in folder.list()] == [EMBEDDED, saved]
    assert folder.load(EMBEDDED) == TRACES
    folder.edit(EMBEDDED, 0, OTHER, note="n")
    folder.save_labels(EMBEDDED, "keywords", [()] * 4)
    assert folder.trace(EMBEDDED, 0).parts == OTHER == folder.load(EMBEDDED)[0].parts
    assert [found.name for found in folder.labellings(EMBEDDED)] == ["keywords"]
    replaced = TraceFolder(tmp_path, embedded=lambda: TRACES[1:])
    assert replaced.load(EMBEDDED) == TRACES[1:]
    assert replaced.labellings(EMBEDDED) == ()
    for action in (lambda: folder.rename(EMBEDDED, "x"), lambda: folder.delete(EMBEDDED)):
        with pytest.raises(BadInput):
            action()


def test_a_damaged_set_is_listed_as_such_and_can_be_deleted(folder):
    good, bad = folder.save(TRACES, name="good"), folder.save(TRACES, name="bad")
    (folder.folder / bad / "set.json").write_bytes(b"{")
    assert [found.set_id for found in folder.list()] == [good]
    assert [(found.set_id, found.damaged) for found in folder.unreadable()] == [(bad, True)]
    folder.delete(bad)
    assert folder.unreadable() == ()
    (folder.folder / good / "traces.jsonl").write_bytes(b"not json\n")
    with pytest.raises(BadInput, match="is damaged"):
        folder.load(good)


@pytest.mark.parametrize(
    ("file", "data"),
    [
        ("set.json", b"[]"),
        ("set.json", b'{"name": "n"}'),
        ("set.json", b'{"name": 1, "source": "", "form": "", "saved_at": 0, "n_traces": 1, "counts": 7}'),
        ("set.json", None),
        ("index.jsonl", b"[1]\n"),
        ("index.jsonl", b'[0, 1, "", "", "", 1, ["x"]]\n'),
        ("index.jsonl", None),
        ("traces.jsonl", b"[]\n"),
        ("traces.jsonl", b'{"text": "t", "parts": [{"label": "x", "start": 0, "end": 99}]}\n'),
        ("traces.jsonl", None),
        ("edits.jsonl", b"[0]\n"),
        ("edits.jsonl", b'[0, "n", [["x", 0, 99999]], 1.0]\n'),
    ],
)
def test_files_that_do_not_fit_together_are_damage(folder, file, data):
    set_id = folder.save(TRACES, name="n")
    path = folder.folder / set_id / file
    path.unlink(missing_ok=True)
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(BadInput, match=f"{set_id} is damaged. Delete it"):
        folder.trace(set_id, 0)


def test_what_the_disk_refuses_is_not_damage(folder, monkeypatch):
    set_id = folder.save(TRACES, name="n")

    def refuse(*args, **kwargs):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("core.traces.set_files.files.read_regular", refuse)
    assert folder.list() == []
    (found,) = folder.unreadable()
    assert (found.set_id, found.damaged) == (set_id, False)
    assert "cannot be read now: Input/output error" in found.error.problem
    assert "Delete" not in found.error.remedy
    monkeypatch.undo()
    assert folder.load(set_id) == TRACES
    assert folder.unreadable() == ()


@pytest.mark.parametrize("fault", [KeyError, TypeError, ValueError])
def test_a_fault_of_ours_is_not_damage(folder, monkeypatch, fault):
    set_id = folder.save(TRACES, name="n")

    def broken(*args, **kwargs):
        raise fault("a bug")

    monkeypatch.setattr("core.traces.sets.edited_parts", broken)
    with pytest.raises(fault, match="a bug"):
        folder.rows(set_id)


REFUSALS = [
    (PermissionError(13, "Permission denied"), "Permission denied"),
    (OSError(24, "Too many open files"), "Too many open files"),
    (OSError(5, "Input/output error"), "Input/output error"),
    (MemoryError(), "the memory is full"),
    (KeyError("a bug"), "something went wrong inside Retrace (KeyError)"),
    (RuntimeError("a bug"), "something went wrong inside Retrace (RuntimeError)"),
]


@pytest.mark.parametrize(("fault", "reason"), REFUSALS, ids=lambda value: str(value)[:30])
@pytest.mark.parametrize("place", ["set_files.read_facts", "originals.SavedSet.facts", "sets.read_edits"])
def test_only_damage_is_damage_and_one_set_hides_no_other(folder, monkeypatch, place, fault, reason):
    set_id = folder.save(TRACES, name="n")
    given = TraceFolder(folder.folder.parent, embedded=lambda: TRACES)

    def refuse(found, *args, **kwargs):
        if "embedded" in str(found):
            return ()
        raise fault

    monkeypatch.setattr(f"core.traces.{place}", refuse)
    assert [found.set_id for found in given.list()] == [EMBEDDED]
    (found,) = given.unreadable()
    assert (found.set_id, found.damaged) == (set_id, False)
    assert reason in found.error.problem
    assert set_id in found.error.problem
    assert "Delete" not in found.error.remedy
    monkeypatch.undo()
    assert given.load(set_id) == TRACES


@pytest.mark.parametrize("report", ["text", 5, [1, 2], ["ab"], True])
def test_a_report_that_cannot_be_read_does_not_damage_the_set(folder, report):
    set_id = folder.save(TRACES, name="n")
    path = folder.folder / set_id / "set.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"report": report}))
    assert folder.load(set_id) == TRACES
    assert folder.report(set_id) == {}


@pytest.mark.parametrize("data", [b"", b"{", b"[]\n", b'{"name": "l"}\n'])
def test_a_damaged_labelling_is_left_out_and_the_set_is_whole(folder, data):
    set_id = folder.save(TRACES, name="n")
    folder.save_labels(set_id, "mine", [OTHER for _ in TRACES])
    (path,) = (folder.folder / set_id).glob("labels-*")
    path.write_bytes(data)
    folder.save_labels(set_id, "other", [OTHER for _ in TRACES])
    assert [found.name for found in folder.labellings(set_id)] == ["other"]
    path.write_bytes(b"{}\n{\n")
    with pytest.raises(BadInput, match=r"The labelling 'mine' of this set is damaged\. Label the set again"):
        folder.load_labels(set_id, "mine")
    assert folder.load(set_id) == TRACES


def test_damaged_corrections_of_the_embedded_set_hide_no_other(tmp_path):
    folder = TraceFolder(tmp_path, embedded=lambda: TRACES)
    saved = folder.save(TRACES[:1], name="mine")
    folder.edit(EMBEDDED, 0, OTHER, note="n")
    (edits,) = folder.folder.glob("embedded-*/edits.jsonl")
    edits.write_bytes(b"half a li")
    assert [found.set_id for found in folder.list()] == [saved]
    (found,) = folder.unreadable()
    assert (found.set_id, found.damaged) == (EMBEDDED, True)
    assert edits.parent.name in found.error.remedy


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes anywhere")
def test_a_folder_that_cannot_be_written_says_so(folder):
    set_id = folder.save(TRACES, name="n")
    folder.folder.chmod(0o500)
    with pytest.raises(UserFacingError, match="could not be saved"):
        folder.save(TRACES, name="m")
    assert folder.load(set_id) == TRACES


def test_a_full_disk_is_said_and_leaves_nothing(folder, monkeypatch):
    def refuse(fd):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("core.traces.set_files.os.fsync", refuse)
    with pytest.raises(UserFacingError, match="No space left on device"):
        folder.save(TRACES, name="n")
    assert names(folder) == []


def test_the_digest_of_loaded_traces_is_that_of_the_given_ones(folder):
    assert digest_of(folder.load(folder.save(TRACES, name="n"))) == digest_of(TRACES)


def test_filters_keep_what_they_ask_for(folder):
    other = Trace(trace_id="o", prompt="ÜBER?", text="Plain.", source="b.json")
    set_id = folder.save([*TRACES, other], name="n")

    def indices(**wanted):
        return [row.index for row in filter_rows(folder, set_id, TraceFilter(**wanted))]

    assert indices() == [0, 1, 2, 3, 4]
    assert indices(text="question 2") == [2]
    assert indices(text=" über ") == [0, 1, 2, 3, 4]
    assert indices(text="über?") == [4]
    assert indices(text="nowhere") == []
    assert indices(source="b.json") == [4]
    folder.edit(set_id, 1, OTHER, note="n")
    assert indices(labels=("backtracking", "deduction")) == [0, 2, 3]
    assert indices(labels=("uncertainty-estimation",), text="question") == [1]


def test_an_export_holds_the_corrections_and_comes_back_equal(folder):
    set_id = folder.save(TRACES, name="n")
    folder.edit(set_id, 1, OTHER, note="n")
    folder.save_labels(set_id, "keywords", [OTHER] * 4)
    report = parse_traces(b"".join(export_lines(folder, set_id)), source="x")
    assert report.traces == folder.load(set_id)
    labelled = parse_traces(b"".join(export_lines(folder, set_id, labelling="keywords")), source="x").traces
    assert [trace.parts for trace in labelled] == [OTHER] * 4
