"""The traces page on a tiny pair: import, list, reader, window, corrections, export."""

from __future__ import annotations

import json

import pytest
from streamlit.testing.v1 import AppTest

import core.embedded
from core.settings import DATA_ROOTS
from core.traces.records import record_of
from core.traces.set_files import EMBEDDED
from core.values import PAPER_WINDOW, Part, Trace
from core.workbench import Workbench
from tests.extraction.test_passes import make_traces
from tests.page_helpers import page_test, save_tiny_pair, start_workbench
from ui.components.safe_text import plain
from ui.shell.handoff import INDEX_KEY, SET_KEY
from ui.shell.state import workbench
from ui.traces.listing import LABELS_KEY, TEXT_KEY
from ui.traces.reader import FIRST_KEY, LAST_KEY, RANGE_KEY, STRIP_KEY

HOSTILE = "![x](https://beacon.example/x.png) <img src=x onerror=alert(1)> \u202e \x00 $x$ :red[y]"
CHAIN = {
    "task_id": HOSTILE,
    "problem": HOSTILE,
    "reasoning_chain": f"So it is. {HOSTILE} Wait, no.",
    "annotated_chain": '["deduction"]So it is.["end-section"]["<b>odd</b>"]Wait, no.["end-section"]["deduction"]Gone',
}


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    return save_tiny_pair(tmp_path_factory.mktemp("pair"))


@pytest.fixture
def bench(pair, tmp_path, monkeypatch) -> Workbench:
    """A loaded pair, and the small set of traces in the place of the embedded ones."""
    monkeypatch.setattr(core.embedded, "DEMO", tmp_path / "demo")
    (tmp_path / "demo").mkdir()
    rows = "\n".join(json.dumps(record_of(trace)) for trace in make_traces())
    (tmp_path / "demo" / "traces.jsonl").write_text(rows)
    return start_workbench(tmp_path / "cache", pair, monkeypatch)


def rerun(app: AppTest) -> AppTest:
    app.run()
    assert not app.exception
    return app


def opened() -> AppTest:
    return rerun(page_test("traces"))


def press(app: AppTest, label: str) -> AppTest:
    next(button for button in app.button if button.label == label).click()
    return rerun(app)


def settled(app: AppTest) -> AppTest:
    for job in workbench().engine.live():
        workbench().engine.wait(job.job_id, 60)
    return rerun(app)


def said(app: AppTest) -> str:
    """All that the page says, as it reads: the escapes of markdown removed."""
    blocks = [*app.error, *app.warning, *app.info, *app.success, *app.caption, *app.markdown, *app.expander]
    return " ".join(getattr(block, "value", None) or block.label for block in blocks).replace("\\", "")


def uploaded(data: bytes, name: str = "own.json") -> AppTest:
    app = opened()
    app.file_uploader(key="traces:file").set_value((name, data, ""))
    return settled(press(rerun(app), "Import"))


def pin(app: AppTest, token: int) -> AppTest:
    app.session_state[f"{STRIP_KEY}:pin"] = app.session_state[f"{STRIP_KEY}:pin"] | {"token": token}
    return rerun(app)


def test_the_page_opens_with_the_embedded_traces_and_the_papers_window(bench):
    app = opened()
    assert app.selectbox(key=SET_KEY).value == EMBEDDED
    assert "5 traces" in said(app)
    assert (app.session_state[FIRST_KEY], app.session_state[LAST_KEY]) == (-13, -8)
    assert "whole set" in said(app)
    (table,) = [frame.value for frame in app.dataframe if "question" in frame.value.columns]
    assert list(table["question"]) == [trace.prompt for trace in make_traces()]


def test_without_a_pair_the_text_is_shown_by_words(tmp_path, monkeypatch):
    monkeypatch.setattr(core.embedded, "DEMO", tmp_path)
    monkeypatch.setenv("RETRACE_CACHE", str(tmp_path / "cache"))
    (tmp_path / "traces.jsonl").write_text(json.dumps(record_of(make_traces()[0])))
    workbench.clear()
    assert "shown by words" in said(opened())


def test_without_any_traces_the_page_asks_for_a_file(bench, tmp_path):
    (tmp_path / "demo" / "traces.jsonl").unlink()
    app = opened()
    assert "There are no traces yet" in said(app)
    assert app.file_uploader(key="traces:file")


def test_an_upload_becomes_the_set_that_is_shown_with_its_report(bench):
    app = uploaded(json.dumps([CHAIN, CHAIN]).encode())
    set_id = app.selectbox(key=SET_KEY).value
    (info,) = [found for found in bench.trace_sets.list() if not found.embedded]
    assert info.set_id == set_id
    assert (info.name, info.n_traces) == ("own", 1)
    assert "1 trace from 2 records, 2 of 3 parts placed" in said(app)
    (kinds,) = [frame.value for frame in app.dataframe if "result" in frame.value.columns]
    assert kinds["how many"].sum() >= 4
    app.selectbox(key="traces:places").set_value("not in the text")
    (places,) = [frame.value for frame in rerun(app).dataframe if "reason" in frame.value.columns]
    assert "Gone" in places["reason"][0]


def test_the_report_says_what_was_read_and_its_headline_what_was_cut(bench):
    marked = {"question": "Twice 4?", "answer": "8", "generations": [f"<think>It is 8.</think>{'x' * 1234}"]}
    empty = {"question": "Twice 4?", "response": "<think></think>8"}
    app = uploaded(f"{json.dumps(marked)}\n{json.dumps(empty)}".encode(), "own.jsonl")
    assert "1,234 characters beside the reasoning left out" in said(app)
    assert "1 answer without reasoning left out" in said(app)
    (fields,) = [frame.value for frame in app.dataframe if "not read" in frame.value.columns]
    assert fields.iloc[0].to_dict() == {
        "question": "question",
        "reasoning": "generations[]",
        "labels": "–",
        "not read": "answer",
        "traces": 1,
        "records": "1",
    }


def test_a_damaged_report_leaves_the_set_usable(bench):
    set_id = bench.trace_sets.save(make_traces(), name="mine")
    place = bench.trace_sets.folder / set_id / "set.json"
    place.write_text(json.dumps(json.loads(place.read_text()) | {"report": {"source": "s"}}))
    app = opened()
    app.selectbox(key=SET_KEY).set_value(set_id)
    app = rerun(app)
    assert "import report of this set cannot be read" in said(app)
    assert "Trace 1 of 5" in said(app)


def test_a_file_that_is_no_text_is_named(bench):
    assert "is a gzip archive" in said(uploaded(b"\x1f\x8b\x08 and so on", "traces.json.gz"))


def test_a_stopped_import_says_that_nothing_was_kept(bench):
    app = opened()
    data = "\n".join(json.dumps({"text": f"Text {i}."}) for i in range(100_000)).encode()
    app.file_uploader(key="traces:file").set_value(("large.jsonl", data, ""))
    rerun(app)
    app = press(app, "Import")
    seen = said(press(app, "Stop"))
    app = settled(app)
    assert "Nothing of it was kept" in seen + said(app)
    assert [found.set_id for found in bench.trace_sets.list()] == [EMBEDDED]


def test_a_file_without_traces_is_refused_and_the_shown_set_stays(bench):
    app = uploaded(b"[]")
    assert "holds no usable trace" in said(app)
    assert app.selectbox(key=SET_KEY).value == EMBEDDED


def test_import_without_a_file_says_so(bench):
    assert "No file was chosen" in said(press(opened(), "Import"))


def test_a_file_below_a_data_root_is_read_by_path_and_another_is_refused(bench, tmp_path, monkeypatch):
    app = opened()
    app.segmented_control(key="traces:way").set_value("From a data folder")
    assert "No data folder is set" in said(rerun(app))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.json").write_text(json.dumps([{"text": "Some text."}]))
    (tmp_path / "secret.json").write_text(json.dumps([{"text": "Secret."}]))
    (tmp_path / "data" / "link.json").symlink_to(tmp_path / "secret.json")
    monkeypatch.setenv(DATA_ROOTS, str(tmp_path / "data"))
    app = rerun(app)
    app.selectbox(key="traces:path").set_value(str(tmp_path / "data" / "a.json"))
    app = settled(press(rerun(app), "Import"))
    assert [found.name for found in bench.trace_sets.list() if not found.embedded] == ["a"]
    app.selectbox(key="traces:path").set_value(str(tmp_path / "data" / "link.json"))
    assert "is not below a folder" in said(press(rerun(app), "Import"))


def test_dragging_and_typing_the_window_follow_each_other(bench):
    app = opened()
    app.slider(key=RANGE_KEY).set_value((-5, 2))
    app = rerun(app)
    assert (app.number_input(key=FIRST_KEY).value, app.number_input(key=LAST_KEY).value) == (-5, 2)
    app.number_input(key=FIRST_KEY).set_value(-40)
    app = rerun(app)
    assert app.slider(key=RANGE_KEY).value == (-40, 2)
    app.number_input(key=LAST_KEY).set_value(-39)
    app = rerun(app)
    row = next(line for line in app.markdown if "windows |" in line.value).value.split("\n")[2]
    events, whole, partly, off, covered = (int(cell) for cell in row.split("|")[2:7])
    assert events == whole + partly + off
    assert covered <= 2 * events
    app.number_input(key=LAST_KEY).set_value(-41 + 1)
    app.number_input(key=FIRST_KEY).set_value(3)
    app = rerun(app)
    assert app.slider(key=RANGE_KEY).value == (-40, 3)
    app = press(app, "Paper's")
    assert app.slider(key=RANGE_KEY).value == (PAPER_WINDOW.start, PAPER_WINDOW.stop - 1)


def test_filters_and_steps_choose_the_trace(bench):
    traces = [
        Trace(trace_id="a", prompt="One?", text="So it is.", source="x"),
        Trace(trace_id="b", prompt="Two?", text="Wait, no.", source="y", parts=(Part(label="odd", start=0, end=4),)),
        Trace(trace_id="c", prompt="Three?", text="Wait, yes.", source="y"),
    ]
    set_id = bench.trace_sets.save(traces, name="mine")
    app = opened()
    app.selectbox(key=SET_KEY).set_value(set_id)
    app = rerun(app)
    assert app.session_state[INDEX_KEY] == 0
    app = press(app, "Next ›")
    assert app.session_state[INDEX_KEY] == 1
    app.text_input(key=TEXT_KEY).set_value("WAIT")
    app = rerun(app)
    assert "Trace 1 of 2" in said(app)
    app.multiselect(key=LABELS_KEY).set_value(["odd"])
    assert "Trace 1 of 1" in said(rerun(app))
    app.text_input(key=TEXT_KEY).set_value("nowhere")
    assert "No trace of this set has all that" in said(rerun(app))
    assert "Trace 2 of 3" in said(press(app, "Empty all filters"))


def test_relabel_remove_add_and_undo(bench):
    app = opened()
    before = bench.trace_sets.trace(EMBEDDED, 0)
    label = next(box for box in app.selectbox if box.label == "Label of the part")
    assert label.value == "backtracking"
    label.set_value("deduction")
    app = press(rerun(app), "Save")
    assert len(bench.trace_sets.trace(EMBEDDED, 0).parts) == len(before.parts)
    assert "backtracking → deduction" in said(app)
    app = press(app, "Remove")
    assert len(bench.trace_sets.trace(EMBEDDED, 0).parts) == len(before.parts) - 1
    new = next(box for box in app.selectbox if box.label == "Label of a new part")
    app = press(app, "Add")
    assert "The part has no label" in said(app)
    new = next(box for box in app.selectbox if box.label == "Label of a new part")
    new.set_value("example-testing")
    app = press(rerun(app), "Add")
    trace = bench.trace_sets.trace(EMBEDDED, 0)
    (added,) = set(trace.parts) - set(before.parts)
    assert added.label == "example-testing"
    covered = trace.text[added.start : added.end]
    assert covered == covered.strip() != ""
    for _ in range(3):
        app = press(app, "Undo")
    assert bench.trace_sets.trace(EMBEDDED, 0) == before
    assert "Undo" not in [button.label for button in app.button]


def test_a_part_may_not_reach_into_another(bench):
    app = opened()
    trace = bench.trace_sets.trace(EMBEDDED, 0)
    assert len(trace.parts) > 1
    first = next(box for box in app.number_input if box.label == "First token")
    first.set_value(0)
    assert "reach into a part" in said(press(rerun(app), "Save"))
    assert bench.trace_sets.trace(EMBEDDED, 0) == trace


def test_another_labelling_is_shown_beside_the_sets_own(bench):
    n = len(bench.trace_sets.load(EMBEDDED))
    bench.trace_sets.save_labels(EMBEDDED, HOSTILE, [()] * n)
    app = opened()
    app.selectbox(key=f"traces:labelling:{EMBEDDED}").set_value(bench.trace_sets.labellings(EMBEDDED)[0].name)
    app = rerun(app)
    assert "another labeller's" in said(app)
    assert "No event of this label" in said(app)


def test_rename_and_delete(bench):
    set_id = bench.trace_sets.save(make_traces(), name="mine")
    app = opened()
    app.selectbox(key=SET_KEY).set_value(set_id)
    app = rerun(app)
    app.text_input(key=f"traces:rename:{set_id}").set_value(" ")
    assert "The name is empty" in said(press(rerun(app), "Rename"))
    app.text_input(key=f"traces:rename:{set_id}").set_value(HOSTILE)
    app = press(rerun(app), "Rename")
    assert bench.trace_sets.info(set_id).name.startswith("![x]")
    app.checkbox(key=f"traces:sure:{set_id}").set_value(True)
    app = press(rerun(app), "Delete the set")
    assert [found.set_id for found in bench.trace_sets.list()] == [EMBEDDED]
    assert app.selectbox(key=SET_KEY).value == EMBEDDED


def test_a_damaged_set_can_be_deleted(bench):
    set_id = bench.trace_sets.save(make_traces(), name="mine")
    (bench.trace_sets.folder / set_id / "set.json").write_bytes(b"{")
    app = opened()
    assert "is damaged" in said(app)
    (button,) = [found for found in app.button if found.label == "Delete it"]
    assert button.disabled
    app.checkbox(key=f"traces:broken:{set_id}:sure").set_value(True)
    press(rerun(app), "Delete it")
    assert bench.trace_sets.unreadable() == ()


def test_hostile_text_is_never_markdown(bench):
    app = uploaded(
        json.dumps([CHAIN | {"annotated_chain": CHAIN["annotated_chain"] + HOSTILE}]).encode(), "<img src=x>.json"
    )
    for block in [*app.caption, *app.markdown, *app.info, *app.success, *app.error]:
        assert "![x](" not in block.value
        assert "<img" not in block.value.replace("\\<img", "")
    assert HOSTILE.replace("\x00", "⟨U+0000⟩").replace("\u202e", "⟨U+202E⟩") in [text.value for text in app.text]


def test_an_address_in_a_file_becomes_no_link():
    for address in ("https://beacon.example", "HTTP://beacon.example", "www.beacon.example"):
        shown = plain(address).replace("\\", "")
        assert shown != address
        assert shown.replace("\u2060", "") == address


def test_a_link_opens_the_trace_that_it_names(bench):
    app = page_test("traces")
    app.query_params["trace"] = "3"
    app.query_params["first"] = "-4"
    app.query_params["last"] = "zero"
    app = rerun(app)
    assert app.session_state[INDEX_KEY] == 3
    assert (app.session_state[FIRST_KEY], app.session_state[LAST_KEY]) == (-8, -4)
    assert "ignored" in said(app)
