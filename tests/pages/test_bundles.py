"""The Bundles page: made, downloaded, opened, closed, and what was merged."""

from __future__ import annotations

import io

import pytest

from core.bundles.merging import merge
from core.bundles.reading import open_bundle
from core.settings import CACHE
from tests.bundles.filled import bundled, fill
from tests.page_helpers import page_test
from ui.bundles.make import ALL, DIRECTIONS, EXPERIMENT, KIND_KEY, RUNS
from ui.shell.state import OPEN_BUNDLE, bundle_shelf, workbench


@pytest.fixture
def bench(tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
    workbench.clear()
    yield workbench()
    workbench().close()
    workbench.clear()


def test_with_nothing_kept_the_page_says_what_comes_first(bench):
    app = page_test("bundles").run()
    assert not app.exception
    assert any("No experiment is kept yet" in info.value for info in app.info)


@pytest.mark.parametrize("kind", [EXPERIMENT, RUNS, DIRECTIONS, ALL])
def test_each_kind_can_be_downloaded(kind, bench, tmp_path):
    fill(tmp_path / "cache")
    app = page_test("bundles")
    app.session_state[KIND_KEY] = kind
    app.run()
    assert not app.exception
    assert not app.error
    assert len(app.get("download_button")) == 1


def test_an_open_bundle_is_listed_and_closed(bench, tmp_path):
    fill(tmp_path / "other")
    bundled(tmp_path / "other", tmp_path / "all.retrace")
    app = page_test("bundles").run()
    opened = bundle_shelf().open(io.BytesIO((tmp_path / "all.retrace").read_bytes()), "somebody")
    app.session_state[OPEN_BUNDLE] = opened.digest
    app.run()
    assert not app.exception
    assert any("All results" in text.value for text in app.markdown)
    app.button(key="bundles:close").click().run()
    assert not app.exception
    assert app.session_state[OPEN_BUNDLE] == ""
    bundle_shelf().close_all()


def test_what_was_merged_is_listed_with_its_date(bench, tmp_path):
    fill(tmp_path / "other")
    bundled(tmp_path / "other", tmp_path / "all.retrace")
    with (tmp_path / "all.retrace").open("rb") as file:
        merge(open_bundle(file), tmp_path / "cache")
    app = page_test("bundles").run()
    assert not app.exception
    assert list(app.dataframe[0].value["bundle"]) == ["All results"]
    directions = page_test("directions").run()
    assert "All results" in directions.dataframe[0].value["came"].iloc[0]
