"""Home under AppTest: the claim, the ways in, and the 2×2 of the loaded pair."""

from dataclasses import replace

import pytest

from core.runs.questions import Example
from tests.page_helpers import app_test, save_tiny_pair, start_workbench


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    return save_tiny_pair(tmp_path_factory.mktemp("pair"))


@pytest.fixture
def bench(pair, tmp_path, monkeypatch):
    monkeypatch.setattr("ui.home.dose_response.example_questions", lambda kind: (Example(prompt="Why?"),) * 2)
    monkeypatch.setattr("ui.home.dose_response.SHARES", (0.5,))
    bench = start_workbench(tmp_path / "cache", pair, monkeypatch)
    yield bench
    for job in bench.engine.live():
        bench.engine.stop(job.job_id)
        bench.engine.wait(job.job_id, 5)
    bench.store.close()


def home():
    app = app_test("home")
    assert not app.exception
    return app


def test_without_directions_it_says_what_to_extract(bench):
    assert any("extract one from the base model" in box.value for box in home().info)


def test_the_2x2_runs_live_and_comes_back_from_the_store(bench, make_direction):
    for role, seed in (("base", 1), ("reasoner", 2)):
        direction = replace(
            make_direction(32, layer=1, seed=seed), fingerprint=bench.pair.facts(role).fingerprint, resid_norm=4.0
        )
        bench.directions.save(direction)
    app = home()
    next(button for button in app.button if button.label == "Run it live").click()
    app.run()
    assert not app.exception
    for job in bench.engine.live():
        assert bench.engine.wait(job.job_id, 60).state == "done"
    app.run()
    assert not app.exception
    assert any("2 questions per point" in caption.value for caption in app.caption)
    assert any("CACHED" in caption.value for caption in home().caption)
