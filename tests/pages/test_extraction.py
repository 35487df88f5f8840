"""The extraction page on a tiny pair: form to map to card to saved direction, and what each bad input says."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import asdict, replace

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

import core.embedded
from core.experiments.values import Fixed
from core.extraction.contrast import contrast
from core.jobs import Caller, Progress
from core.values import PAPER_WINDOW, ModelSpec, PairSpec, Trace, Window
from core.workbench import Workbench
from tests.experiments.outcomes import outcome, point
from tests.extraction.test_passes import make_traces
from tests.page_helpers import page_test, save_tiny_pair, start_workbench
from tests.tiny_models import ASSISTANT, BOS, CHAT_TEMPLATE, THINK, USER, tiny_folder
from ui.components.safe_text import size
from ui.extraction.contrast import RANGE
from ui.extraction.form import MAX_OFFSETS, offsets_of
from ui.extraction.layer_map import LAYER_KEY, MAP_KEY, WINDOW_KEY, cosines
from ui.extraction.usual import paper_layer
from ui.shell.state import workbench

HOSTILE = "![x](https://beacon.example/x.png) <img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    return save_tiny_pair(tmp_path_factory.mktemp("pair"))


@pytest.fixture
def bench(pair, tmp_path, monkeypatch) -> Workbench:
    """A loaded pair, and the small set of traces in the place of the embedded ones."""
    monkeypatch.setattr(core.embedded, "DEMO", tmp_path / "demo")
    # The page's script thread has no runtime to link to other pages with.
    monkeypatch.setattr("streamlit.page_link", lambda *args, **kwargs: None)
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "traces.jsonl").write_bytes(as_lines(make_traces()))
    return start_workbench(tmp_path / "cache", pair, monkeypatch)


def as_lines(traces: list[Trace]) -> bytes:
    rows = [
        {"id": t.trace_id, "prompt": t.prompt, "text": t.text, "parts": [asdict(p) for p in t.parts]} for t in traces
    ]
    return "\n".join(json.dumps(row) for row in rows).encode()


def rerun(app: AppTest) -> AppTest:
    app.run()
    assert not app.exception
    return app


def opened(**offsets: int) -> AppTest:
    """The page, with the form's offsets as given; the map is kept short so that the small traces cover it."""
    app = page_test("extraction")
    for name, value in ({"map_first": -16, "map_last": 2} | offsets).items():
        app.session_state[f"extraction:{name}"] = value
    return rerun(app)


def press(app: AppTest, label: str) -> AppTest:
    next(button for button in app.button if button.label == label).click()
    return rerun(app)


def settled(app: AppTest) -> AppTest:
    """The page when the extraction has ended, and the two readings of the chosen cell that follow it."""
    for _ in range(4):
        for job in workbench().engine.live():
            workbench().engine.wait(job.job_id, 60)
        rerun(app)
    return app


def extracted(**offsets: int) -> AppTest:
    return settled(press(opened(**offsets), "Extract"))


def said(app: AppTest) -> str:
    """All that the page says, as it reads: the escapes of markdown removed."""
    blocks = [*app.error, *app.warning, *app.info, *app.success, *app.caption, *app.markdown]
    return " ".join(block.value for block in blocks).replace("\\", "")


def name_of(app: AppTest) -> str:
    return next(box for box in app.text_input if box.label == "Name").value


def test_without_a_pair_the_page_says_that_it_is_loading(tmp_path, monkeypatch):
    monkeypatch.setenv("RETRACE_CACHE", str(tmp_path / "cache"))
    workbench.clear()
    app = rerun(page_test("extraction"))
    assert "still loading" in said(app)
    assert "Nothing is saved yet" in said(app)


def test_the_form_opens_with_the_papers_settings(bench):
    app = rerun(page_test("extraction"))
    values = [field.value for field in app.number_input][:2]
    assert values == [-40, 10]
    assert app.multiselect(key="extraction:labels").value == ["deduction", "backtracking"]
    assert app.segmented_control(key="extraction:source").value == "both"
    assert "**Extract** reads the" in said(app)
    assert "one of them shuffled" in said(app)


def test_from_form_to_map_to_card(bench):
    app = extracted()
    assert [badge.value for badge in app.markdown if "LIVE" in badge.value]
    assert name_of(app) == "backtracking · base · layer 1 · -13..-8"
    assert app.selectbox(key="contrast:label").value == "backtracking"
    assert [metric.label for metric in app.metric] == ["unit", "raw", "of residual"]
    assert "not necessarily the one that steers best" in said(app)
    assert said(app).count("No vocabulary item contains") == 2


def test_the_same_form_again_comes_from_the_store(bench, monkeypatch):
    extracted()
    monkeypatch.setattr("core.extraction.work.record_moments", lambda *a: pytest.fail("extracted again"))
    app = opened()
    assert "CACHED" in said(app)
    assert "CACHED" in said(press(app, "Extract"))


def test_a_click_on_a_cell_shows_its_direction_and_the_selectors_follow(bench):
    app = extracted()
    app.session_state[f"{MAP_KEY}:0"] = {"selection": {"cell": [{"layer": 2, "window": "-3"}]}}
    app = settled(rerun(app))
    assert name_of(app) == "backtracking · base · layer 2 · -3"
    assert (app.selectbox(key=LAYER_KEY).value, app.selectbox(key=WINDOW_KEY).value) == (2, "-3")
    app.selectbox(key=LAYER_KEY).set_value(0)
    app = settled(rerun(app))
    assert name_of(app) == "backtracking · base · layer 0 · -3"


def test_every_metric_and_the_table_are_drawn(bench):
    app = press(extracted(), "Save")
    for metric in ("norm", "reliability", "twin", "cosine", "separation"):
        app.segmented_control(key="extraction:metric").set_value(metric)
        rerun(app)
    app.toggle(key="extraction:table").set_value(True)
    tables = [frame.value for frame in rerun(app).dataframe]
    assert any(list(table.columns) == ["-13..-8", *map(str, range(-16, 3))] for table in tables)


def test_cosine_without_a_reference_says_what_to_do(bench):
    app = extracted()
    app.segmented_control(key="extraction:metric").set_value("cosine")
    assert "no direction to compare with yet: save one" in said(rerun(app))


def test_save_puts_the_direction_on_the_list(bench):
    app = press(extracted(), "Save")
    assert "It is kept until you delete it" in said(app)
    (saved,) = bench.directions.list()
    assert saved.direction.name == "backtracking · base · layer 1 · -13..-8"
    assert any(list(frame.value.get("name", ())) == [saved.direction.name] for frame in app.dataframe)


def test_an_empty_name_is_refused_and_nothing_is_lost(bench):
    app = press(extracted(), "Save")
    next(box for box in app.text_input if box.label == "Name").set_value("  ")
    app = press(app, "Save")
    assert "name is empty" in said(app)
    assert len(bench.directions.list()) == 1


def test_a_direction_of_another_width_is_kept_and_marked(bench, make_direction):
    bench.directions.save(make_direction(48))
    (table,) = [frame.value for frame in opened().dataframe if "fits" in frame.value.columns]
    assert list(table["fits"]) == ["no"]


def test_a_damaged_file_is_listed_with_its_reason(bench, make_direction):
    direction_id = bench.directions.save(make_direction(32))
    (bench.directions.folder / f"{direction_id}.safetensors").write_bytes(b"damaged")
    app = opened()
    assert "cannot be used" in said(app)
    assert any("damaged" in str(frame.value) for frame in app.dataframe)


def test_the_window_moves_without_a_forward(bench, monkeypatch):
    app = extracted()
    monkeypatch.setattr("core.extraction.work.record_moments", lambda *a, **k: pytest.fail("read again"))
    app.slider(key=RANGE).set_value((-7, -2))
    app = settled(rerun(app))
    assert name_of(app) == "backtracking · base · layer 1 · -7..-2"
    assert "mean over its offsets" in said(app)
    app = settled(press(app, "The paper's"))
    assert name_of(app) == "backtracking · base · layer 1 · -13..-8"
    assert "mean over its offsets" not in said(app)
    for key, value in (("negatives", "other"), ("negatives", "same"), ("weighting", "token"), ("label", "deduction")):
        app.selectbox(key=f"contrast:{key}").set_value(value)
        app = settled(rerun(app))
    assert name_of(app) == "deduction · base · layer 1 · -13..-8"
    app.segmented_control(key="contrast:role").set_value("reasoner")
    assert name_of(settled(rerun(app))) == "deduction · reasoner · layer 1 · -13..-8"


def test_a_window_can_be_gathered_exactly(bench):
    app = extracted()
    app.slider(key=RANGE).set_value((-7, -2))
    app = settled(press(settled(rerun(app)), "Gather -7..-2 exactly"))
    assert name_of(app) == "backtracking · base · layer 1 · -7..-2"
    assert "mean over its offsets" not in said(app)


def test_controls_are_made_and_saved_with_what_they_are_controls_of(bench):
    app = press(extracted(), "Make its controls")
    (table,) = [frame.value for frame in app.dataframe if "control" in frame.value.columns]
    assert list(table["control"])[:5] == ["random 1", "random 2", "random 3", "overall mean", "sign flip"]
    app = press(app, f"Save these {len(table)} controls")
    saved = [item.direction for item in bench.directions.list()]
    assert len(saved) == len(table)
    assert all(dict(d.provenance)["control_of_name"] == name_of(app) for d in saved)


def test_the_reliability_of_few_traces_is_said(bench):
    app = extracted()
    assert "Are these traces enough?" in said(app)


def test_a_base_whose_tokenizer_adds_no_start_token_reads_none_and_the_page_says_so(bench, tmp_path):
    base = tiny_folder(tmp_path, seed=1, name="base", chat_template=None, adds_bos=False)
    template = CHAT_TEMPLATE.replace("{{ m", "user {{ m")
    reasoner = tiny_folder(tmp_path, seed=2, name="reasoner", chat_template=template)
    pair = PairSpec(base=ModelSpec(repo_id=str(base)), reasoner=ModelSpec(repo_id=str(reasoner)))
    assert bench.engine.wait(bench.load_pair(pair), 60).state == "done"
    app = opened()
    assert "Only the reasoning model's reading begins with a start token" in said(app)
    assert "the base model reads them as text: “user”." in said(app)
    base_reads, reasoner_reads = (block.value for block in app.code if "── text ──" in block.value)
    assert BOS not in base_reads
    assert BOS in reasoner_reads


def test_a_label_must_be_chosen(bench):
    app = opened()
    app.multiselect(key="extraction:labels").set_value([])
    assert "No label is chosen" in said(rerun(app))


def test_the_base_models_reading_can_be_edited_and_is_part_of_what_is_asked(bench):
    app = extracted()
    assert "Both readings begin with the model's own start token" in said(app)
    assert "vocabularies are the same" in said(app)
    base, reasoner = (block.value for block in app.code if "── text ──" in block.value)
    assert BOS in base.splitlines()[0]
    assert USER not in base
    assert f"0 {BOS} · " in reasoner
    assert {USER, ASSISTANT, THINK} <= set(reasoner.replace("·", " ").split())
    user = next(box for box in app.text_input if "user" in box.label)
    assert user.value == "\\n"
    user.set_value("Question: ")
    app = settled(press(app, "Extract"))
    (frame,) = {spec.frame for spec in app.session_state["extraction:found"][0] if spec.frame}
    assert "Question: " in frame.prefix


def test_a_saved_set_of_traces_can_be_chosen(bench):
    bench.trace_sets.save(make_traces(7), name="seven", source="test")
    app = opened()
    app.segmented_control(key="extraction:traces").set_value("A saved set")
    app = rerun(app)
    assert "7 traces" in said(app)
    assert name_of(settled(press(app, "Extract"))).startswith("backtracking")


def test_more_memory_than_there_is_is_refused(bench, monkeypatch):
    monkeypatch.setattr("psutil.virtual_memory", lambda: type("Memory", (), {"available": 1000})())
    app = opened()
    assert "are free" in said(app)
    assert next(button for button in app.button if button.label == "Extract").disabled


def test_more_disk_than_there_is_is_refused(bench, monkeypatch):
    monkeypatch.setattr("core.extraction.moments.WHOLE_BYTES", 0)
    monkeypatch.setattr("core.disk.store.Store.room", lambda self: 1000)
    app = opened()
    assert "of disk" in said(app)
    assert next(button for button in app.button if button.label == "Extract").disabled


def test_a_map_without_offsets_is_explained(bench):
    assert "at most 64 offsets" in said(opened(map_first=3, map_last=-3))
    assert "at most 64 offsets" in said(opened(map_first=-100, map_last=100))


def test_an_offset_outside_every_trace_marks_its_column_alone(bench):
    app = extracted(map_first=-110, map_last=-48)
    assert name_of(app) == "backtracking · base · layer 1 · -48"
    app.selectbox(key=WINDOW_KEY).set_value("-110")
    assert "The window -110 lies outside every trace" in said(settled(rerun(app)))


def uploaded(data: bytes, name: str = "own.jsonl") -> AppTest:
    app = opened()
    app.segmented_control(key="extraction:traces").set_value("Upload a file")
    app = rerun(app)
    app.file_uploader(key="extraction:file").set_value((name, data, ""))
    return rerun(app)


def test_an_upload_lists_the_lines_that_it_could_not_use(bench):
    strange = b'{"prompt": "p", "text": "t", "parts": [{"label": "x", "start": 1e999, "end": 2}]}'
    app = uploaded(as_lines(make_traces()) + b"\nnonsense " + HOSTILE.encode() + b"\n" + strange)
    assert "6 traces of own.jsonl are in use" in said(app)
    assert "Lines left out: 1, parts left out: 1" in [expander.label for expander in app.expander]
    (problems,) = [frame.value for frame in app.dataframe if "line and reason" in frame.value.columns]
    assert len(problems) == 2
    assert name_of(settled(press(app, "Extract"))).startswith("backtracking")


def test_a_foreign_trace_file_is_refused_and_the_last_good_one_stays(bench):
    app = uploaded(as_lines(make_traces()))
    app.file_uploader(key="extraction:file").set_value(("other.jsonl", b"\x00\xff not json", ""))
    app = rerun(app)
    assert "holds no usable trace" in said(app)
    assert "5 traces of own.jsonl are in use" in said(app)


def test_traces_without_labels_are_explained(bench):
    bare = [Trace(trace_id=str(i), prompt="p", text="Some text.") for i in range(3)]
    assert "None of these 3 traces has a labelled part" in said(uploaded(as_lines(bare)))


def test_a_single_trace_is_explained(bench):
    app = uploaded(as_lines(make_traces(1)))
    assert "Choose one with at least two" in said(settled(press(app, "Extract")))


def test_without_embedded_traces_an_upload_is_asked_for(bench, tmp_path):
    (tmp_path / "demo" / "traces.jsonl").unlink()
    assert "Choose **Upload a file**" in said(opened())


def test_offsets_layers_and_cosines():
    assert offsets_of(-1, 0) == (Window(start=-1, stop=0), Window(start=0, stop=1))
    assert len(offsets_of(1, MAX_OFFSETS)) == MAX_OFFSETS
    assert paper_layer(tuple(range(32)), 32) == 10
    assert paper_layer((0, 1, 2, 3, 4, 5), 6) == 2
    assert paper_layer((4, 5), 6) == 4


def test_the_cosine_of_a_cell_with_its_own_direction_is_one(bench):
    app = extracted()
    found = contrast(bench.moments.get(app.session_state["extraction:found"][0][0]), "backtracking")
    values = cosines(found, found.at(1, found.spec.windows[0]))
    assert values[1, 0] == pytest.approx(1, abs=1e-5)
    assert np.nanmax(np.abs(values)) <= 1 + 1e-5


def test_a_job_that_the_engine_has_forgotten_does_not_hide_the_map(bench):
    app = extracted()
    app.session_state["extraction:job"] = "forgotten"
    assert "First chosen" in said(rerun(app))


def test_labels_are_kept_by_their_names_and_counted_in_the_chosen_set(bench):
    few, many = make_traces()[:3], make_traces()
    ids = {n: bench.trace_sets.save(traces, name=f"set of {n}") for n, traces in ((3, few), (len(many), many))}
    app = opened()
    app.segmented_control(key="extraction:traces").set_value("A saved set")
    rerun(app)
    chosen = app.multiselect(key="extraction:labels").value
    for n, traces in ((3, few), (len(many), many), (3, few)):
        app.selectbox(key="extraction:set").set_value(ids[n])
        rerun(app)
        box = app.multiselect(key="extraction:labels")
        counts = Counter(part.label for trace in traces for part in trace.parts)
        assert box.options == [name for name, _ in counts.most_common()]
        assert box.value == chosen
        assert all(f"{name} {count:,}" in said(app) for name, count in counts.items())
    app.multiselect(key="extraction:labels").unselect("deduction")
    for n in (len(many), 3):
        app.selectbox(key="extraction:set").set_value(ids[n])
        rerun(app)
        assert app.multiselect(key="extraction:labels").value == [name for name in chosen if name != "deduction"]


def test_what_stopped_passes_keep_is_named_with_its_size_and_can_be_freed(bench):
    assert "Stopped passes keep" not in said(opened())
    app = extracted()
    moments = bench.moments.get(app.session_state["extraction:found"][0][0])
    bench.moments.put_unfinished(moments)
    bench.moments.put_unfinished(replace(moments, spec=replace(moments.spec, seed=5)))
    kept = bench.moments.unfinished_bytes()
    assert kept > 2 * moments.nbytes
    app = rerun(app)
    assert f"Stopped passes keep {size(kept)} of sums on disk" in said(app)
    assert "begins anew" in said(app)
    press(app, "Yes, free it")
    assert bench.moments.unfinished_bytes() == 0
    assert bench.moments.unfinished(moments.spec) is None
    assert bench.moments.get(moments.spec) is not None
    assert "Stopped passes keep" not in said(app)
    assert not list((bench.store.root / "files" / "unfinished_moments").iterdir())


def waiting():
    while True:
        yield Progress(1, 4, "reading trace 1 of 4", waiting=True)


def test_the_pass_of_a_closed_tab_is_followed_and_can_be_stopped(bench):
    gone = Caller(owner="gone", is_watching=lambda: False)
    job_id = bench.engine.submit("moments", waiting(), title="Extracting directions", caller=gone, lasting=True)
    press(opened(), "Stop")
    assert bench.engine.wait(job_id, 5).state == "cancelled"


def test_every_visitor_sees_the_work_of_closed_tabs_and_can_stop_it(bench):
    gone = Caller(owner="gone", is_watching=lambda: False)
    left = bench.engine.submit("cells", waiting(), title="Dose-response", caller=gone, lasting=True)
    here = bench.engine.submit("cells", waiting(), title="Dose-response", caller=Caller(owner="other"), lasting=True)
    while not all(bench.engine.snapshot(job).progress.total for job in (left, here)):
        pass
    app = AppTest.from_function(draw_frame, default_timeout=30)
    app.run()
    assert "Dose\\-response of a closed tab, 25%" in [caption.value for caption in app.caption]
    assert "1 run of other visitors" in [caption.value for caption in app.caption]
    press(app, "Stop")
    assert bench.engine.wait(left, 5).state == "cancelled"
    assert bench.engine.snapshot(here).live
    bench.engine.stop(here)


def draw_frame():
    from ui.shell.frame import draw_sidebar

    draw_sidebar()


def test_the_usual_place_is_that_of_the_recorded_study_and_is_gathered_exactly(bench, monkeypatch):
    place = Fixed(layer=2, window=Window(start=-7, stop=-1))
    monkeypatch.setattr("ui.extraction.usual.recorded_place", lambda pair: place)
    app = extracted()
    assert name_of(app) == "backtracking · base · layer 2 · -7..-2"
    assert "which the recorded experiment on this pair found to steer best" in said(app)
    assert "mean over its offsets" not in said(app)


def test_the_ruler_tells_separation_and_that_nothing_was_measured_and_hands_its_window_over(bench, monkeypatch):
    app = extracted()
    assert "The window on a real trace" in said(app)
    first = f"Window **{PAPER_WINDOW.label}** at layer 1: separation d′"
    assert first in said(app)
    assert "Steering with it: not measured" in said(app)
    monkeypatch.setattr("core.extraction.work.record_moments", lambda *a, **k: pytest.fail("read again"))
    app.session_state["ruler:window"] = Window(start=-7, stop=-1)
    assert "Window **-7..-2** at layer 1: separation d′" in said(rerun(app))
    assert name_of(app) == "backtracking · base · layer 1 · -13..-8"
    app = settled(press(app, "Use this window"))
    assert app.slider(key=RANGE).value == (-7, -2)
    assert name_of(app) == "backtracking · base · layer 1 · -7..-2"
    assert Window(start=-7, stop=-1) in app.session_state["extraction:exact"]


def test_the_ruler_shows_the_next_event_and_keeps_a_window_that_the_pass_holds(bench):
    app = extracted()
    app.button(key="ruler:after").click()
    assert re.search(r"Event 2 of [0-9]+", said(rerun(app)))
    app.session_state["ruler:window"] = Window(start=-60, stop=-50)
    assert f"Window **{PAPER_WINDOW.label}** at layer 1" in said(rerun(app))


def test_the_ruler_says_what_steering_with_its_window_did(bench, monkeypatch):
    facts = tuple(bench.pair.facts(role) for role in ("base", "reasoner"))
    window = Window(start=-7, stop=-1)
    direction = point("direction", dose=2.0, hits=6, source="base", half="choose", layer=1, window=window)
    asked = point("unsteered", hits=1, half="choose")
    found = replace(
        outcome(), fingerprints=tuple(fact.fingerprint for fact in facts), chosen_from=(asked, direction), reported=()
    )
    monkeypatch.setattr("ui.extraction.ruler.recorded_for", lambda pair: found)
    app = extracted()
    assert "Steering with it: not measured; at layer 1 measured: -7..-2" in said(app)
    app.session_state["ruler:window"] = window
    assert re.search(r"keywords \*\*\+[0-9.]+ points\*\* of all words .* n = 60 questions", said(rerun(app)))
