"""Pages without models and without torch: every one draws what a bundle or the store holds, and asks for nothing."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest

from core.settings import BUNDLE, CACHE, PROJECT
from tests.bundles.filled import bundled, fill
from tests.page_helpers import PAGES

VISIT = """
import json, sys
sys.modules["torch"] = None
from streamlit.testing.v1 import AppTest
app = AppTest.from_file(sys.argv[1] + "/app.py", default_timeout=90)
app.run()
seen = {}
for stem in sys.argv[2:]:
    if stem != "home":
        app.switch_page(f"pages/{stem}.py").run()
    said = [e.value for kind in ("markdown", "caption", "info", "warning", "error", "success") for e in app.get(kind)]
    seen[stem] = {
        "exceptions": [e.message for e in app.exception],
        "errors": [e.value for e in app.error],
        "said": said,
        "buttons": [(b.label, b.disabled) for b in app.button],
        "charts": len(app.get("arrow_vega_lite_chart")) + len(app.get("vega_lite_chart")),
        "components": len(app.get("bidi_component")),
    }
print("SEEN" + json.dumps(seen))
"""


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """The project without the weights of the pair that comes with it, and without anything measured."""
    root = tmp_path_factory.mktemp("clone") / "retrace"
    root.mkdir()
    for name in ("app.py", ".streamlit", "core", "ui", "pages"):
        copy = shutil.copytree if (PROJECT / name).is_dir() else shutil.copy
        copy(PROJECT / name, root / name)
    shutil.copytree(PROJECT / "demo", root / "demo", ignore=shutil.ignore_patterns("*.safetensors", "runs", "seeds"))
    return root


def visit(clone, cache, *, errors=(), **env):
    """What each page shows in a process that cannot import torch; errors are shown on the pages named alone."""
    known = {"PATH": os.environ["PATH"], "LANG": "C", CACHE: str(cache), "PYTHONPATH": str(clone)}
    done = subprocess.run(
        [sys.executable, "-c", VISIT, str(clone), *PAGES],
        cwd=clone,
        env=known | env,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert "SEEN" in done.stdout, done.stderr[-3000:]
    seen = json.loads(done.stdout.rpartition("SEEN")[2])
    assert {stem: page["exceptions"] for stem, page in seen.items() if page["exceptions"]} == {}, done.stderr[-3000:]
    assert {stem: page["errors"] for stem, page in seen.items() if page["errors"]}.keys() == set(errors)
    return seen


def says(page, words):
    return any(words in text for text in page["said"])


@pytest.fixture(scope="module")
def of_bundle(clone, tmp_path_factory):
    root = tmp_path_factory.mktemp("bundle")
    fill(root / "cache")
    bundled(root / "cache", root / "all.retrace")
    return visit(clone, root / "empty", **{BUNDLE: str(root / "all.retrace")})


def test_every_page_draws_a_bundle_without_torch_and_without_weights(of_bundle):
    for page in of_bundle.values():
        assert says(page, "read-only")
        assert says(page, "then load")
        assert says(page, "RECORDED")


def test_home_and_experiments_draw_the_figures(of_bundle):
    assert of_bundle["home"]["charts"] >= 2
    assert ["Measure it here", True] in of_bundle["home"]["buttons"]
    assert of_bundle["experiments"]["charts"] >= 1
    assert says(of_bundle["experiments"], "Does it backtrack")


def test_extraction_playground_and_attribution_draw_what_is_stored(of_bundle):
    assert of_bundle["extraction"]["charts"] >= 1
    assert says(of_bundle["extraction"], "events in")
    assert of_bundle["playground"]["components"] >= 1
    assert says(of_bundle["playground"], "1 of 1 runs")
    assert of_bundle["attribution"]["components"] >= 1


def test_without_a_bundle_the_store_is_drawn_and_it_says_what_is_missing(clone, tmp_path):
    fill(tmp_path / "cache")
    seen = visit(clone, tmp_path / "cache")
    for page in seen.values():
        assert says(page, "torch and")
    assert seen["home"]["charts"] >= 2
    assert seen["attribution"]["components"] >= 1
    assert says(seen["playground"], "1 of 1 runs")


def test_with_nothing_stored_home_shows_what_was_recorded(clone, tmp_path):
    seen = visit(clone, tmp_path / "empty")
    assert seen["home"]["charts"] >= 2


def test_a_bundle_that_is_none_is_said_and_nothing_else_changes(clone, tmp_path):
    (tmp_path / "no.retrace").write_bytes(b"GIF89a")
    fill(tmp_path / "cache")
    seen = visit(clone, tmp_path / "cache", errors=("home",), **{BUNDLE: str(tmp_path / "no.retrace")})
    assert "it is no bundle" in seen["home"]["errors"][0]
    assert seen["home"]["charts"] >= 2
