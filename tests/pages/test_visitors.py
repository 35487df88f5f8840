"""Pages of a shared server as a visitor has them, and as the speaker has them."""

from __future__ import annotations

import time

import pytest
from streamlit.testing.v1 import AppTest

from core.errors import NotAllowed
from core.jobs import Caller
from core.settings import CACHE
from core.sharing.door import Door, Person, Shared, Visit, share, sharing
from tests.page_helpers import app_test, page_test, save_tiny_pair, start_workbench
from ui.shell import state
from ui.shell.frame import GUEST_PAGES

OTHERS = ("traces", "labelling", "finetuning", "extraction", "directions", "experiments", "bundles", "talk")
URL = "http://192.168.1.7:8501"


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    return save_tiny_pair(tmp_path_factory.mktemp("pair"))


@pytest.fixture
def bench(pair, tmp_path, monkeypatch):
    monkeypatch.setattr("ui.home.experiment.recorded_experiment", lambda: None)
    bench = start_workbench(tmp_path / "cache", pair, monkeypatch)
    yield bench
    for job in bench.engine.live():
        bench.engine.stop(job.job_id)
        bench.engine.wait(job.job_id, 20)
    bench.store.close()


@pytest.fixture
def shared():
    share(Shared(Door("a password of tests"), URL))
    yield sharing()
    share(None)


@pytest.fixture
def visitor(shared, monkeypatch):
    monkeypatch.setattr(Door, "person", lambda *_: Person("visitor 7"))


@pytest.fixture
def speaker(shared, monkeypatch):
    monkeypatch.setattr(Door, "person", lambda *_: Person("speaker", is_speaker=True))


def said(app):
    kinds = ("error", "warning", "info", "caption", "markdown")
    boxes = [*(box for kind in kinds for box in getattr(app, kind))]
    return " ".join(box.value for box in [*boxes, *(box for kind in kinds for box in getattr(app.sidebar, kind))])


def labels(app):
    return {button.label for button in [*app.button, *app.sidebar.button]}


def test_without_sharing_nobody_is_a_visitor_and_nothing_is_offered(bench):
    assert state.guest() == ""
    app = app_test("home")
    assert not app.exception
    assert "Invite the room" not in str(app.sidebar)


def test_on_a_shared_server_who_is_not_known_is_a_visitor(shared):
    assert state.guest() == "somebody"
    with pytest.raises(NotAllowed):
        state.check_speaker("This")


@pytest.mark.parametrize("stem", GUEST_PAGES)
def test_a_visitors_page_stands_without_what_is_the_speakers(stem, bench, visitor):
    app = app_test(stem, seconds=60)
    app = app if stem == "home" else app.run()
    assert not app.exception
    assert stem != "home" or "visitor 7" in said(app)
    assert not {"Load this pair", "Change models", "Invite the room", "Yes, free it"} & labels(app)
    assert not app.get("file_uploader")


@pytest.mark.parametrize("stem", OTHERS)
def test_other_pages_are_the_speakers(stem, bench, visitor):
    app = page_test(stem).run()
    assert not app.exception
    assert "This page is the speaker" in said(app)
    assert not app.main.button


@pytest.mark.parametrize("stem", OTHERS)
def test_a_page_of_the_speaker_that_is_drawn_all_the_same_changes_nothing(stem, bench, visitor, monkeypatch):
    """As if the page's own line were passed by: what stands behind it refuses."""
    monkeypatch.setattr("ui.shell.frame.guest", lambda: "")
    files = {path for path in bench.store.root.rglob("*") if path.suffix != ".db"}
    app = page_test(stem, seconds=60).run()
    for button in list(app.button)[:6]:
        if not button.disabled:
            button.click()
            app.run()
    assert {path for path in bench.store.root.rglob("*") if path.suffix not in (".db", ".db-wal", ".db-shm")} <= files
    assert [job for job in bench.engine.live() if job.kind not in ("generate", "attribution", "events")] == []


def test_a_visitors_run_is_noted_for_the_speaker_and_goes_as_the_visitors(bench, visitor, shared):
    app = app_test("home", seconds=60)
    next(button for button in app.button if button.label == "Run").click()
    app.run()
    (visit,) = shared.door.visits()
    assert (visit.name, visit.how, bool(visit.asked)) == ("visitor 7", "unsteered", True)
    assert state.caller().guest == "visitor 7"


def test_a_pair_is_not_loaded_by_a_visitor_who_comes_first(pair, tmp_path, monkeypatch, visitor):
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
    state.workbench.clear()
    app = app_test("home")
    assert not app.exception
    assert "has not loaded a pair yet" in said(app)
    assert state.own_workbench().engine.live() == []


def test_the_speaker_sees_the_invitation_and_who_asked_what(bench, speaker, shared):
    shared.door.note(Visit(name="visitor 3", asked="Is <b>it</b> so?", how="add 5 at layer 1", at=time.time() - 20))
    app = app_test("home")
    assert not app.exception
    told = said(app).replace("\\", "")
    assert "visitor 3" in told
    assert "Is <b>it</b> so?" in told
    assert "Invite the room" in labels(app)
    assert "a password of tests" not in told
    assert state.guest() == ""


@pytest.mark.parametrize("url", [URL, ""])
def test_the_invitation_shows_the_address_as_a_code_and_in_letters(url):
    def page(url):
        from ui.sharing.invite import draw_invitation

        draw_invitation(url)

    app = AppTest.from_function(page, kwargs={"url": url}).run()
    assert not app.exception
    assert [heading.value.replace("\\", "").replace("\u2060", "") for heading in app.title] == ([url] if url else [])
    assert ("No network" in said(app)) == (not url)


def test_the_speakers_own_job_is_nobody_elses(bench, visitor):
    job = bench.engine.submit("load", iter(()), caller=Caller(owner="x"))
    with pytest.raises(NotAllowed):
        state.workbench().engine.stop(job)
