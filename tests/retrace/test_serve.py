"""What the first visitor would wait for is there before: imports, the first bundle, charts."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from core.settings import BUNDLE, CACHE, PROJECT
from retrace.serve import FIRST, warm
from tests.bundles.filled import bundled, fill
from ui.shell import state

WARM = "import sys; from retrace.serve import warm; warm(); print(*{name.split('.')[0] for name in sys.modules})"


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE, str(tmp_path / "own"))
    state.bundle_shelf.clear()
    yield state.bundle_shelf
    state.bundle_shelf().close_all()
    state.bundle_shelf.clear()


def test_the_bundle_that_sessions_begin_with_is_open_before_the_first_of_them(tmp_path, shelf, monkeypatch):
    fill(tmp_path / "cache")
    bundled(tmp_path / "cache", tmp_path / "all.retrace")
    monkeypatch.setenv(BUNDLE, str(tmp_path / "all.retrace"))
    warm()
    (opened,) = shelf()._open.values()
    monkeypatch.setattr(type(shelf()), "_unshared", lambda *_: pytest.fail("it was copied again"))
    assert state._open_first("a session") == opened.digest


def test_a_bundle_that_is_none_is_told_to_the_sessions_and_stops_no_server(tmp_path, shelf, monkeypatch):
    (tmp_path / "none.retrace").write_text("no bundle")
    monkeypatch.setenv(BUNDLE, str(tmp_path / "none.retrace"))
    warm()
    assert not shelf()._open


def test_warming_imports_what_pages_draw_with_and_no_torch(tmp_path):
    env = os.environ | {CACHE: str(tmp_path), "PYTHONPATH": str(PROJECT)}
    loaded = set(subprocess.check_output([sys.executable, "-c", WARM], cwd=PROJECT, env=env, text=True).split())
    assert {"altair", "pandas", FIRST[0].split(".")[0]} <= loaded
    assert not {"torch", "transformers"} & loaded
