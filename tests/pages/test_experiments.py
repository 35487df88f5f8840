"""Experiments under AppTest: a plan in one click, what it takes, its results, and the list of what is kept."""

import pytest

from core.embedded import example_questions
from tests.page_helpers import app_test, save_tiny_pair, start_workbench


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    return save_tiny_pair(tmp_path_factory.mktemp("pair"))


@pytest.fixture
def bench(pair, tmp_path, monkeypatch):
    bench = start_workbench(tmp_path / "cache", pair, monkeypatch)
    yield bench
    for job in bench.engine.live():
        bench.engine.stop(job.job_id)
        bench.engine.wait(job.job_id, 10)
    bench.store.close()


def page():
    app = app_test("experiments")
    app.run()
    assert not app.exception, [e.value for e in app.exception]
    return app


def button(app, label):
    return next(one for one in app.button if one.label == label)


def test_run_is_one_click_and_what_it_takes_stands_beside_it(bench):
    app = page()
    assert not button(app, "Run").disabled
    print([c.value for c in app.caption], [e.value for e in app.error])
    assert 0
