"""The Talk page and the presenter under AppTest: adding, order, titles, what is shown, and the pair that it keeps."""

from __future__ import annotations

import io
import json

import pytest
from streamlit.testing.v1 import AppTest

from core.bundles.contents import of_talk
from core.bundles.writing import write_bundle
from core.disk.carried import carried
from core.jobs import Caller
from core.settings import CACHE
from core.values import PairSpec
from tests.page_helpers import page_test, save_tiny_pair, start_workbench
from tests.talk.filled import FIRST, HOSTILE, fill_talk
from ui.bundles.make import KIND_KEY, TALK
from ui.shell.state import OPEN_BUNDLE, bundle_shelf, workbench
from ui.talk.presenter import KEEP

THREE = [f"Reasoning model, {what}" for what in ("unsteered", "steered", "random control")]


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    return save_tiny_pair(tmp_path_factory.mktemp("pair"))


@pytest.fixture
def bench(tmp_path, monkeypatch):
    """Without a pair, as whoever opens a bundle."""
    monkeypatch.setattr("streamlit.page_link", lambda *_, **__: None)  # a page alone has no other to link to
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
    workbench.clear()
    yield workbench()
    workbench().close()
    workbench.clear()


@pytest.fixture
def loaded(pair, tmp_path, monkeypatch, make_direction):
    monkeypatch.setattr("streamlit.page_link", lambda *_, **__: None)
    bench = start_workbench(tmp_path / "cache", pair, monkeypatch)
    bench.directions.save(make_direction(32, layer=1))
    yield bench
    bench.close()


def press(app, label):
    next(button for button in app.button if button.label == label).click()
    app.run()
    assert not app.exception, [box.value for box in app.exception]


def titles(bench):
    return [item.title for item in bench.talk.read().items]


def slides(app):
    """The data of the slides that are drawn, or None."""
    found = [
        json.loads(one.proto.json) for one in app.get("bidi_component") if one.proto.component_name == "retrace_stage"
    ]
    return found[0]["slides"] if found else None


def test_an_empty_talk_says_how_one_begins(bench):
    app = page_test("talk").run()
    assert not app.exception
    assert any("The talk is empty" in info.value for info in app.info)


def test_items_are_ordered_renamed_and_removed(bench, tmp_path):
    fill_talk(tmp_path / "cache")
    app = page_test("talk").run()
    first, second, third = titles(bench)
    app.button(key=next(b.key for b in app.button if b.key.endswith(":Later"))).click().run()
    assert titles(bench) == [second, first, third]
    app.text_input[1].set_value(f"Mine {HOSTILE}").run()
    app.button(key=[b.key for b in app.button if b.key.endswith(":save")][1]).click().run()
    assert titles(bench) == [second, f"Mine {HOSTILE}", third]
    app.button(key=next(b.key for b in app.button if b.key.endswith(":remove"))).click().run()
    assert titles(bench) == [f"Mine {HOSTILE}", third]
    assert not app.exception
    assert not any("<script>" in text.value for text in app.markdown)


def test_what_is_gone_is_said_on_its_row(bench, tmp_path):
    bench.experiments.delete(fill_talk(tmp_path / "cache"))
    app = page_test("talk").run()
    assert any("not stored any more" in text.value for text in app.markdown)


def test_a_damaged_talk_is_said_and_can_be_begun_anew(bench, tmp_path):
    fill_talk(tmp_path / "cache")
    (path,) = (tmp_path / "cache" / "talk").glob("*.safetensors")
    path.write_bytes(b"x")
    app = page_test("talk").run()
    assert any("damaged" in error.value for error in app.error)
    press(app, "Begin an empty talk")
    assert titles(bench) == []


def test_an_opened_bundle_shows_its_talk_and_changes_nothing(bench, tmp_path):
    fill_talk(tmp_path / "other")
    with carried(tmp_path / "other") as store:
        write_bundle(tmp_path / "talk.retrace", of_talk(tmp_path / "other", store, sums=False))
    opened = bundle_shelf().open(io.BytesIO((tmp_path / "talk.retrace").read_bytes()), "somebody")
    app = page_test("talk")
    app.session_state[OPEN_BUNDLE] = opened.digest
    app.run()
    assert not app.exception
    assert any("First, the answer" in text.value.replace("\\", "") for text in app.markdown)
    assert [button.label for button in app.button] == ["Present the talk"]
    bundle_shelf().close_all()


def test_the_bundle_page_offers_the_talk(bench, tmp_path):
    app = page_test("bundles")
    app.session_state[KIND_KEY] = TALK
    app.run()
    assert any("The talk is empty" in info.value for info in app.info)
    fill_talk(tmp_path / "cache")
    app.run()
    assert not app.exception
    assert any("3 items in their order, with the 3 runs and 1 experiments" in text.value for text in app.caption)
    assert len(app.get("download_button")) == 1


def framed(stem):
    import runpy
    from types import SimpleNamespace

    import streamlit as st

    from core.settings import PROJECT
    from ui.shell.frame import _MARK, draw_sidebar
    from ui.talk.presenter import on_stage

    st.session_state[_MARK] = True
    draw_sidebar()
    with on_stage(SimpleNamespace(url_path=stem)):
        runpy.run_path(str(PROJECT / "pages" / f"{stem}.py"))


def framed_page(stem, *, link=(), **state):
    """The page as `app.py` frames it, which AppTest passes by where it switches pages; run once."""
    app = AppTest.from_function(framed, kwargs={"stem": stem}, default_timeout=30)
    for key, value in state.items():
        app.session_state[key] = value
    for name in link:
        app.query_params[name] = "1"
    app.run()
    assert not app.exception, [box.value for box in app.exception]
    return app


def run_lanes(app, bench):
    press(app, "Run")
    for job in bench.engine.live():
        bench.engine.wait(job.job_id, 30)
    app.run()
    return app


def playground(*, link=(), **state):
    return framed_page("playground", link=link, **{"pg_tokens": 16, "pg_prompt": "What is 3?", **state})


def test_lanes_are_added_with_their_names_and_pinned(loaded):
    app = run_lanes(playground(), loaded)
    app.session_state["pg_share"] = "talk"
    app.run()
    press(app, "Add to the talk")
    (item,) = loaded.talk.read().items
    assert item.title == item.comparison.question == "What is 3?"
    assert [lane.title for lane in item.comparison.lanes] == THREE
    assert [lane.reference for lane in item.comparison.lanes] == [-1, 0, 0]
    assert all(loaded.history.entry(run_id).record.pinned_at for run_id in loaded.talk.read().run_ids)
    press(app, "Add to the talk")
    assert len(titles(loaded)) == 1


@pytest.mark.parametrize("name", ["present", "stage"])
def test_a_link_to_the_slides_and_an_old_one_show_what_the_page_shows(loaded, name):
    run_lanes(playground(), loaded)
    app = playground(link=[name])
    (slide,) = slides(app)
    assert (slide["kind"], slide["question"], slide["badge"]) == ("lanes", "What is 3?", "CACHED")
    assert [lane["title"] for lane in slide["lanes"]] == THREE
    assert app.query_params.get("present") in ("1", ["1"])
    assert "stage" not in app.query_params


def test_without_anything_to_show_the_slide_says_what_to_do(loaded):
    app = playground(link=["present"], pg_prompt="What is 5?")
    (slide,) = slides(app)
    assert slide["kind"] == "said"
    assert "There is nothing to present yet" in slide["text"]


def test_a_page_that_breaks_off_is_covered_too(loaded):
    """Settings that cannot be run end the page early."""
    app = playground(link=["present"], pg_until="w" * 60)
    assert slides(app) is not None


def test_the_talk_comes_after_the_lanes_in_front_and_never_twice(loaded, tmp_path):
    fill_talk(tmp_path / "cache")
    app = run_lanes(playground(), loaded)
    app.query_params["present"] = "1"
    app.run()
    assert [slide.get("question", slide["title"]) for slide in slides(app)][:2] == ["What is 3?", FIRST]
    assert len(slides(app)) == 4
    app.session_state["pg_share"] = "talk"
    app.run()
    press(app, "Add to the talk")
    app.run()
    assert [slide.get("question", slide["title"]) for slide in slides(app)][-1] == "What is 3?"
    assert len(slides(app)) == 4


def test_presenting_keeps_the_pair_and_leaving_releases_it(loaded):
    other = Caller(owner="other")
    app = framed_page("talk", link=["present"])
    with pytest.raises(Exception, match="Another visitor shows this pair"):
        loaded.pair_hold.check(other)
    del app.query_params["present"]
    app.run()
    loaded.pair_hold.check(other)


def test_the_switch_keeps_it_on_every_page_until_it_is_released(loaded):
    other = Caller(owner="other")
    app = framed_page("talk")
    app.toggle(key=KEEP).set_value(True).run()
    app.run()
    with pytest.raises(Exception, match="Another visitor shows this pair"):
        loaded.pair_hold.check(other)
    app.toggle(key=KEEP).set_value(False).run()
    loaded.pair_hold.check(other)


def test_while_another_talk_keeps_the_pair_the_picker_says_so(loaded):
    loaded.pair_hold.keep(Caller(owner="speaker"))
    app = framed_page("talk")
    assert any("keeps it from being replaced" in info.value.replace("\\", "") for info in app.info)
    app.toggle(key=KEEP).set_value(True).run()
    assert not app.exception
    assert any("Another visitor shows this pair" in error.value for error in app.error)


def test_slides_of_another_pair_say_so_first(loaded, tmp_path):
    fill_talk(tmp_path / "cache")
    spec = loaded.pair.spec
    app = framed_page("talk", link=["present"], linked_pair=PairSpec(base=spec.base, reasoner=spec.base))
    first, second, *_ = slides(app)
    assert first["text"].startswith("This link was made with base finetuned from base in fp32")
    assert (first["action"], second["title"]) == ("Load the pair of the link", "First, the answer")
