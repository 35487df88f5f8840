"""The thread says what is there of each step, of the loaded pair and no other."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.every_kind import generation
from tests.extraction.test_passes import make_traces
from tests.page_helpers import app_test, save_tiny_pair, start_workbench
from ui.guide.thread import steps
from ui.shell.state import workbench


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    return save_tiny_pair(tmp_path_factory.mktemp("pair"))


@pytest.fixture
def bench(pair, tmp_path, monkeypatch):
    monkeypatch.setattr("core.embedded.DEMO", tmp_path / "none")
    made = start_workbench(tmp_path / "cache", pair, monkeypatch)
    yield made
    made.close()
    workbench.clear()


def labels():
    return [step.label for step in steps()]


def test_a_step_is_ticked_once_there_is_something_of_it(bench, make_direction):
    assert labels() == ["1 Traces", "2 Direction", "3 Steer", "4 Measure", "5 Read"]
    bench.trace_sets.save(make_traces(6), name="mine")
    bench.directions.save(make_direction(32, layer=1))
    bench.store.put("generation", generation(1).spec, generation(1))
    assert labels() == ["1 Traces · 6 ✓", "2 Direction", "3 Steer · texts ✓", "4 Measure", "5 Read"]
    base = bench.pair.facts("base").fingerprint
    bench.directions.save(replace(make_direction(32, layer=2, seed=1), fingerprint=base))
    assert labels()[1] == "2 Direction · layer 2 ✓"


def test_the_sidebar_has_a_link_for_each_step_and_the_words(bench):
    app = app_test("traces")
    assert not app.exception
    shown = " ".join(block.value for block in app.sidebar.markdown)
    assert "The thread of the work" in shown
    assert "unsteered" in shown
