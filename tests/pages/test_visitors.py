"""Pages of a shared server as a visitor has them, and as the speaker has them."""

from __future__ import annotations

import threading
import time

import pytest
from streamlit.testing.v1 import AppTest

from core.errors import NotAllowed
from core.guests import MOST_TOKENS
from core.jobs import Caller, Progress
from core.runs.values import GenerationSpec
from core.settings import CACHE
from core.sharing.door import Door, Person, Shared, Visit, share, sharing
from core.values import SamplingSpec
from tests.page_helpers import app_test, page_test, save_tiny_pair, start_workbench
from ui.attribution.catalogue import FAMILIES
from ui.shell import state
from ui.shell.frame import GUEST_PAGES

OTHERS = ("traces", "labelling", "finetuning", "extraction", "directions", "experiments", "bundles", "talk")
URL = "http://192.168.1.7:8501"


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    return save_tiny_pair(tmp_path_factory.mktemp("pair"))


@pytest.fixture
def bench(pair, tmp_path, monkeypatch):
    monkeypatch.setattr("ui.home.experiment.recorded_of", lambda _: None)
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


def test_an_address_that_names_anothers_run_shows_its_settings_and_says_whose_it_is(bench, visitor):
    ended = threading.Event()

    def waits():
        while not ended.is_set():
            yield Progress(0, 1, "writing")
            time.sleep(0.01)

    job = bench.engine.submit("generate", waits(), caller=Caller(owner="x"))
    app = page_test("playground")
    app.query_params["run"] = job
    app.run()
    ended.set()
    assert not app.exception
    assert "somebody else's run" in said(app)
    assert "Stop" not in labels(app)


REFUSAL = "the speaker's to do"
FORBIDDEN = {
    "Load this pair",
    "Change models",
    "Yes, free it",
    "Invite the room",
    "Measure it here",
    "Measure a first direction",
    "Make it an experiment",
    "Open the newest experiment",
    "Run the strip",
    "Run the set",
    "Pin",
    "Unpin",
    "Save",
    "Save the note",
    "Delete this run",
    "Delete this comparison",
    "Add to the talk",
    "Merge",
    "Compute the gradients",
    "Measure the exact effects",
    "Read out every layer",
    "Load the pair of the link",
}
"""What the server refuses a visitor."""
LANES = {"pg_tokens": 16, "pg_prompt": "What is 3?"}
TEXT = {"attribution_kind": "paste", "attribution_text": "Wait, that is not right. Let me see."}
WALKS = [
    ("home", {}),
    ("playground", LANES),
    *(("playground", LANES | {"pg_share": way}) for way in ("numbers", "code", "files")),
    *(("playground", LANES | {"pg_view": view}) for view in ("strip", "set", "history")),
    ("playground", LANES | {"pg_view": "history", "pg_listed": "runs"}),
    ("playground", LANES | {"lanes:pin": {"at": (0, 2), "jump": 0}}),
    ("playground", LANES | {"pg_lanes": ["baseline", "steered", "control", "base"], "pg_tokens": 4000}),
    *(("attribution", TEXT | {"attribution_section": section}) for section in ("Text", "Compare")),
    *(("attribution", TEXT | {"attribution_family": family}) for family in FAMILIES),
]


@pytest.fixture
def room_with_results(bench, make_direction, visitor):
    """A direction, lanes that were run and pinned, and single runs of the speaker, as a visitor finds them."""
    bench.directions.save(make_direction(32, layer=1))
    question = bench.pair.encode("reasoner", LANES["pg_prompt"])
    facts = bench.pair.facts("reasoner")
    spec = GenerationSpec(
        model=facts.spec, fingerprint=facts.fingerprint, prompt=question, sampling=SamplingSpec(max_new_tokens=16)
    )
    done = bench.engine.wait(bench.generate([spec]), 60)
    bench.comparisons.note([spec])
    bench.comparisons.pin(done.result, 1.0)
    return bench


def open_as_visitor(stem, state):
    app = app_test(stem, seconds=60)
    for key, value in state.items():
        app.session_state[key] = value
    app.run()
    return finish(app)


def finish(app):
    """The page once what began by itself has ended."""
    engine = state.own_workbench().engine
    for job in engine.live():
        engine.wait(job.job_id, 60)
    app.run()
    assert not app.exception
    return app


def pressable(app):
    return {button.key: button.label for button in [*app.button, *app.sidebar.button] if not button.disabled}


@pytest.mark.parametrize(("stem", "state"), WALKS)
def test_no_control_of_a_visitor_is_one_that_the_server_refuses(stem, state, room_with_results):
    app = open_as_visitor(stem, state)
    assert not FORBIDDEN & set(pressable(app).values())
    assert not app.get("file_uploader")
    assert {link.proto.page for link in app.get("page_link")} <= {*GUEST_PAGES, ""}
    assert REFUSAL not in said(app)
    for key in pressable(app):
        if key in pressable(app):
            next(button for button in [*app.button, *app.sidebar.button] if button.key == key).click()
            app.run()
            assert REFUSAL not in said(finish(app)), key


@pytest.mark.parametrize(("stem", "state"), [("home", {}), ("playground", LANES)])
def test_without_a_direction_a_visitor_is_offered_no_measurement(stem, state, bench, visitor):
    app = open_as_visitor(stem, state)
    assert not FORBIDDEN & set(pressable(app).values())
    assert {link.proto.page for link in app.get("page_link")} <= {*GUEST_PAGES, ""}


def test_what_takes_many_passes_is_no_choice_of_a_visitor(room_with_results):
    app = open_as_visitor("attribution", TEXT)
    offered = {option for group in app.button_group for option in group.options}
    assert {"Text", "Compare", "Direction", "Steered"} <= offered
    assert not {"Agreement", "Anticipation", "Corpus", "Direction lens", "Gradient", "Direct", "Exact"} & offered


def test_a_disabled_run_says_why(room_with_results):
    app = open_as_visitor("playground", LANES | {"pg_view": "strip"})
    (button,) = (button for button in app.button if button.label == "Run the strip")
    assert button.disabled
    assert "a visitor has 3 lanes" in button.help
    assert "Press **Run the strip**" not in said(app)


def test_more_tokens_than_a_visitor_may_have_become_as_many_as_there_may_be(room_with_results):
    app = open_as_visitor("playground", LANES | {"pg_tokens": 4000})
    assert app.session_state["pg_tokens"] == MOST_TOKENS
    next(button for button in app.button if button.label == "Run").click()
    app.run()
    assert "were asked for" not in said(finish(app))


@pytest.mark.parametrize("stem", ["home", "playground"])
def test_nothing_runs_for_a_visitor_who_has_not_asked(stem, bench, visitor):
    app_test(stem, seconds=60)
    assert bench.engine.live() == []
