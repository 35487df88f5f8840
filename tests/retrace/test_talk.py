"""`talk` from the shell, and the bundle of a talk: what is written, and how it is refused; torch is not there."""

from __future__ import annotations

import pytest

from core.experiments.folder import ExperimentFolder
from core.talk.folder import TalkFolder
from tests.retrace.test_bundle import run
from tests.talk.filled import HOSTILE, fill_talk


@pytest.fixture
def cache(tmp_path):
    fill_talk(tmp_path / "cache")
    return tmp_path / "cache"


def test_the_talk_is_one_file_and_what_is_not_stored_is_named(cache, tmp_path):
    out = tmp_path / "talk.html"
    code, told, _ = run(cache, "talk", "--out", out, "--title", f"Mine {HOSTILE}")
    assert code == 0
    assert (told["slides"], told["not_stored"]) == (3, [])
    page = out.read_text("utf-8")
    assert "Mine &lt;/script&gt;" in page
    assert page.count("</script>") == 2
    ExperimentFolder(cache).delete(TalkFolder(cache).read().experiment_ids[0])
    _, told, _ = run(cache, "talk", "--out", out)
    assert [title[:6] for title in told["not_stored"]] == ["Fig. 3"]


@pytest.mark.parametrize(
    ("empty", "out", "why"),
    [
        (True, "talk.html", "The talk is empty"),
        (False, "talk.pdf", "Let it end in .html"),
        (False, "no/talk.html", "no folder"),
    ],
)
def test_what_cannot_be_written_is_refused(cache, tmp_path, empty, out, why):
    if empty:
        TalkFolder(cache).clear()
    code, told, said = run(cache, "talk", "--out", tmp_path / out)
    assert (code, told) == (2, None)
    assert why in said
    assert not (tmp_path / out).exists()


def test_the_bundle_of_the_talk(cache, tmp_path):
    code, made, _ = run(cache, "bundle", "talk", "--no-sums", "--out", tmp_path / "talk.retrace")
    assert code == 0
    assert made["kind"] == "talk"
    assert {"talk": 1, "run": 3, "experiment": 1}.items() <= made["holds"].items()
    TalkFolder(cache).clear()
    code, _, said = run(cache, "bundle", "talk", "--out", tmp_path / "none.retrace")
    assert code == 2
    assert "The talk is empty" in said
