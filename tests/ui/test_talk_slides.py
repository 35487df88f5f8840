"""Slides of a talk: what is stored, in the order of the talk; what is gone says so; the file, whatever a text holds."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from datetime import datetime

import pytest

from core.experiments.folder import ExperimentFolder
from core.talk.items import ShownFigure, Talk, made_item
from core.workbench import Workbench
from tests.experiments import outcomes
from tests.talk.filled import FIRST, HOSTILE, RECORDED, SECOND, fill_talk
from ui.components.stage import FigureSlide, LanesSlide, SaidSlide, slide_data, stage_html
from ui.talk.slides import GONE, recorded, slides_of


@pytest.fixture
def bench(tmp_path):
    fill_talk(tmp_path)
    bench = Workbench(tmp_path)
    yield bench
    bench.close()


def slides(bench):
    return slides_of(bench, bench.talk.read())


def test_there_is_a_slide_per_item_in_their_order(bench):
    first, second, figure = slides(bench)
    assert isinstance(first, LanesSlide)
    assert (first.title, first.question, first.badge) == ("First, the answer", FIRST, "recorded 13 Sep 2020")
    assert [lane.title for lane in first.lanes] == ["Lane 0", "Lane 1"]
    assert first.lanes[1].highlights == (5,)
    assert first.lanes[1].diverged_at is None  # the texts have equal ids as far as both go
    assert isinstance(second, LanesSlide)
    assert second.question == SECOND
    assert isinstance(figure, FigureSlide)
    assert len(figure.pictures) == 2
    assert all(picture.startswith("<svg") for picture in figure.pictures)


def test_moving_an_item_moves_its_slide(bench):
    items = bench.talk.read().items
    bench.talk.move(items[0], 1)
    assert [slide.title for slide in slides(bench)][:2] == [items[1].title, items[0].title]


def test_a_comparison_of_which_a_run_is_gone_shows_the_others_and_says_it(bench):
    item = bench.talk.read().items[0]
    gone = bench.history.find(item.comparison.lanes[0].run_id)
    bench.history.delete(gone.generation.spec)
    (slide, *_) = slides(bench)
    assert isinstance(slide, LanesSlide)
    assert [lane.note for lane in slide.lanes] == [GONE, "No evidence: the text repeats itself."]
    assert slide.lanes[1].diverged_at is None


def test_what_is_gone_altogether_is_a_sentence_with_what_to_do(bench):
    item = bench.talk.read().items[0]
    for lane in item.comparison.lanes:
        bench.history.delete(bench.history.find(lane.run_id).generation.spec)
    bench.experiments.delete(bench.talk.read().experiment_ids[0])
    first, _, figure = slides(bench)
    assert isinstance(first, SaidSlide)
    assert first.title == item.title
    assert "not stored any more. Run the question again" in first.text
    assert isinstance(figure, SaidSlide)
    assert "not stored any more. Run it again" in figure.text


def test_a_figure_that_was_not_measured_says_so(bench):
    experiment_id = bench.experiments.save(outcomes.plan(n_report=8))
    shown = made_item("", figure=ShownFigure(experiment_id=experiment_id, figure="fig3"), instead="Fig. 3")
    (slide,) = slides_of(bench, Talk(items=(shown,)))
    assert isinstance(slide, SaidSlide)
    assert "Nothing was measured of this figure yet" in slide.text


def test_a_figure_of_many_charts_has_a_slide_for_each(bench):
    (experiment_id,) = bench.talk.read().experiment_ids
    shown = made_item("Controls", figure=ShownFigure(experiment_id=experiment_id, figure="fig4"))
    found = slides_of(bench, Talk(items=(shown,)))
    assert len(found) == 3
    assert all(isinstance(slide, FigureSlide) and len(slide.pictures) == 1 for slide in found)
    assert len({slide.title for slide in found}) == 3


def test_the_badge_names_the_year_where_it_is_not_this_one():
    now = datetime.now()
    assert recorded(now.timestamp()) == f"recorded {now.day} {now:%b}"
    assert recorded(RECORDED) == "recorded 13 Sep 2020"


def test_the_file_holds_every_text_as_data_alone(bench):
    page = stage_html(slides(bench), title=HOSTILE)
    scripts = re.findall(r"<script[^>]*>(.*?)</script>", page, re.DOTALL)
    assert len(scripts) == 2
    data = json.loads(scripts[0])
    assert data["slides"][1]["lanes"][0]["pieces"][0] == HOSTILE
    assert data["slides"][1]["question"] == SECOND
    assert "window.hacked" not in scripts[1]
    assert "<img src=x" not in page
    assert page.count("</script>") == 2
    (digest,) = re.findall(r"script-src &#x27;sha256-([^&]+)&#x27;", page)
    assert digest == base64.b64encode(hashlib.sha256(scripts[1].encode()).digest()).decode()
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]+)"', page)
    assert policy.startswith("default-src &#x27;none&#x27;;")
    assert "http" not in re.sub(r"beacon\.example|www\.w3\.org", "", policy)


@pytest.mark.parametrize("text", ["</script>", "<!--<script>", "]]>", "\u2028", "&lt;", "\ud800", "`${1}`", "\x00"])
def test_no_text_ends_its_place_in_the_file(text):
    slide = SaidSlide(title=text, text=text)
    page = stage_html([slide], title=text.replace("\ud800", "?"))
    raw = re.findall(r"<script type='application/json' id='data'>(.*?)</script>", page, re.DOTALL)
    assert json.loads(raw[0])["slides"] == [slide_data(slide)]
    page.encode("utf-8")


def test_the_picture_of_a_figure_is_as_before_when_its_experiment_is_renamed(bench):
    before = slides(bench)[2]
    ExperimentFolder(bench.store.root).rename(bench.talk.read().experiment_ids[0], "another")
    assert slides(bench)[2] == before
