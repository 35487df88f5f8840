"""Choosing another pair in the sidebar: how far the load is, Stop, and what stays."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from streamlit.testing.v1 import AppTest

from core.models import checkpoints, loaded
from tests.models.test_pair import Gate, forwards, wait_until
from tests.page_helpers import save_tiny_pair, start_workbench
from ui.shell.frame import LOAD_SLOT
from ui.shell.state import workbench

STOP = f"{LOAD_SLOT}:stop"


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    return tuple(save_tiny_pair(tmp_path_factory.mktemp(name)) for name in ("one", "two"))


@pytest.fixture
def bench(pairs, tmp_path, monkeypatch):
    bench = start_workbench(tmp_path, pairs[0], monkeypatch)
    yield bench
    bench.engine.halt()
    workbench.clear()


def page() -> None:
    from ui.shell.frame import draw_sidebar, wait_for_pair

    draw_sidebar()
    wait_for_pair()


def opened() -> AppTest:
    return AppTest.from_function(page, default_timeout=30).run()


def choose(app, pair):
    app.selectbox(key="pair_preset").select("Other models…").run()
    app.text_input(key="pair_base").input(pair.base.repo_id)
    app.text_input(key="pair_reasoner").input(pair.reasoner.repo_id)
    app.selectbox(key="pair_precision").select("fp32").run()
    return app


def load(app):
    return button(app, "Load this pair").click().run()


def button(app, label):
    return next(b for b in app.button if b.label == label)


def keys(app):
    return [b.key for b in app.button]


def texts(app):
    return " ".join([*(c.value for c in app.caption), *(i.value for i in app.info), *(e.value for e in app.error)])


def bar(app):
    return " ".join(str(node.proto.text) for node in app.get("progress"))


def test_a_load_is_shown_with_stop_and_stopped_leaves_the_pair(bench, pairs, monkeypatch):
    gate = Gate(monkeypatch, loaded, "load_tokenizer")
    app = load(choose(opened(), pairs[1]))
    assert gate.reached.wait(30)
    wait_until(lambda: "tokenizer" in bench.engine.snapshot(app.session_state[LOAD_SLOT]).progress.message)
    app.run()
    assert not app.exception
    assert "Loading the tokenizer" in bar(app)
    assert STOP in keys(app)
    assert bench.pair.spec == pairs[0]
    job_id = app.session_state[LOAD_SLOT]
    app.button(key=STOP).click().run()
    assert not app.exception
    assert bench.engine.snapshot(job_id).state == "cancelled"
    assert STOP not in keys(app)
    assert bench.pair.spec == pairs[0]
    assert pairs[0].reasoner.name in app.sidebar.markdown[1].value.replace("\\", "")
    gate.opened.set()


def test_before_a_load_the_runs_that_it_will_end_are_counted(bench, pairs):
    run = bench.engine.submit("generate", forwards(bench.pair, []))
    app = choose(opened(), pairs[1])
    assert "Live runs on the loaded pair: 1." in texts(app)
    bench.engine.stop(run)


def test_others_are_told_of_a_load_and_cannot_stop_it(bench, pairs, monkeypatch):
    gate = Gate(monkeypatch, loaded, "load_tokenizer")
    job_id = bench.load_pair(pairs[1])
    assert gate.reached.wait(30)
    monkeypatch.setattr("core.engine._Job.is_left", property(lambda job: False))
    app = opened()
    assert not app.exception
    assert "Another visitor: Loading base and reasoner" in texts(app)
    assert STOP not in keys(app)
    gate.opened.set()
    assert bench.engine.wait(job_id, 60).state == "done"


def test_a_load_that_failed_leaves_the_old_pair_on_the_page(bench, pairs, monkeypatch):
    app = choose(opened(), pairs[1])
    monkeypatch.setattr(loaded, "check_memory", lambda *_: 1 / 0)
    load(app)
    bench.engine.wait(app.session_state[LOAD_SLOT], 60)
    app.run()
    assert "Something went wrong" in texts(app)
    assert bench.pair.spec == pairs[0]


def test_a_first_load_that_was_stopped_leaves_a_page_that_says_so(pairs, tmp_path, monkeypatch):
    monkeypatch.setenv("RETRACE_CACHE", str(tmp_path))
    monkeypatch.setenv("RETRACE_PAIR", f"{pairs[0].base.repo_id},{pairs[0].reasoner.repo_id}")
    workbench.clear()
    gate = Gate(monkeypatch, loaded, "load_tokenizer")
    app = opened()
    assert gate.reached.wait(60)
    app.run()
    assert "being loaded" in texts(app)
    app.button(key=STOP).click().run()
    assert not app.exception
    assert "No models are loaded" in texts(app)
    gate.opened.set()
    wait_until(lambda: not workbench().pair._background._thread.is_alive())
    time.sleep(0.1)
    assert workbench().pair.spec is None
    workbench.clear()


def test_what_a_pair_needs_is_read_while_the_page_goes_on(bench, pairs, monkeypatch):
    gate = Gate(monkeypatch, checkpoints, "estimate_memory")
    app = button(choose(opened(), pairs[1]), "What does it need?").click().run()
    assert not app.exception
    assert gate.reached.is_set()
    assert "Reading what base needs" in bar(app)
    job_id = app.session_state["job:pair_need"]
    gate.opened.set()
    assert bench.engine.wait(job_id, 30).state == "done"
    app.run()
    assert "Weights of both" in " ".join(m.value for m in app.sidebar.markdown)


def test_a_fault_found_while_reading_what_a_pair_needs_is_a_sentence(bench, pairs, tmp_path):
    broken = replace(pairs[1], base=replace(pairs[1].base, repo_id=str(tmp_path / "nothing")))
    app = button(choose(opened(), broken), "What does it need?").click().run()
    for job in bench.engine.live():
        bench.engine.wait(job.job_id, 30)
    app.run()
    assert not app.exception
    assert "no model folder" in texts(app)
