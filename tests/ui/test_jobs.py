"""Ask, run, follow, show, try again: one job for what is asked, however often the page is drawn."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator

import pytest
from streamlit.testing.v1 import AppTest

from core.errors import BadInput, UserFacingError
from core.jobs import Caller, Progress
from core.settings import CACHE
from core.sharing.door import Door, Person, Shared, share
from core.workbench import Workbench
from ui.shell.jobs import AUTO_RUN_MACS, DRAWN_PER_SECOND, TICK, tick
from ui.shell.state import caller, workbench

GATE = threading.Event()
STARTED: list[str] = []


@pytest.fixture
def bench(tmp_path, monkeypatch) -> Iterator[Workbench]:
    monkeypatch.setenv(CACHE, str(tmp_path))
    monkeypatch.setattr("ui.shell.jobs.GRACE_SECONDS", 0.05)
    workbench.clear()
    GATE.clear()
    STARTED.clear()
    yield workbench()
    GATE.set()
    workbench.clear()


def begin(asked: str) -> str:
    """A job that ends when the gate is open; "refused" is not started, "faulty" fails."""

    def work():
        while not GATE.is_set():
            yield Progress(1, 4, "thinking", waiting=True)
        if asked == "faulty":
            raise UserFacingError("It broke.", "Mend it.")
        return f"answer to {asked}"

    if asked == "refused":
        raise BadInput("No.", "Ask for something else.")
    STARTED.append(asked)
    return workbench().engine.submit("probe", work(), caller=caller())


def page() -> None:
    import streamlit as st

    from tests.ui.test_jobs import begin
    from ui.shell.jobs import Offer, obtain

    asked = st.session_state["ask"]
    macs = st.session_state.get("macs")
    offer = None if macs is None else Offer(button="Do it", words="It takes a while.", macs=macs)
    st.text(str(obtain((asked,), "probe", str, lambda: begin(asked), offer=offer, in_store=False)))


def opened(ask: str, **state: object) -> AppTest:
    app = AppTest.from_function(page)
    for name, value in {"ask": ask, **state}.items():
        app.session_state[name] = value
    return drawn(app)


def drawn(app: AppTest) -> AppTest:
    app.run()
    assert not app.exception
    return app


def let_end(app: AppTest) -> AppTest:
    GATE.set()
    for job in workbench().engine.live():
        workbench().engine.wait(job.job_id, 10)
    return drawn(app)


def labels(app: AppTest) -> list[str]:
    return [button.label for button in app.button]


def test_a_redraw_follows_the_job_that_was_begun(bench):
    app = opened("why")
    (job,) = bench.engine.live()
    assert labels(drawn(drawn(app))) == ["Stop"]
    assert STARTED == ["why"]
    assert [live.job_id for live in bench.engine.live()] == [job.job_id]
    assert let_end(app).text[0].value == "answer to why"
    assert labels(drawn(app)) == []
    assert STARTED == ["why"]


def test_a_stopped_job_begins_anew_only_when_asked_to(bench):
    app = opened("why")
    next(button for button in app.button if button.label == "Stop").click()
    drawn(drawn(app))
    assert labels(app) == ["Try again"]
    assert STARTED == ["why"]
    app.button[0].click()
    assert labels(drawn(app)) == ["Stop"]
    assert let_end(app).text[0].value == "answer to why"


@pytest.mark.parametrize(("ask", "sentence"), [("faulty", "It broke"), ("refused", "No")])
def test_what_went_wrong_is_shown_with_a_way_to_try_again(bench, ask, sentence):
    app = drawn(let_end(opened(ask)))
    assert sentence in app.error[0].value
    assert labels(app) == ["Try again"]
    assert len(STARTED) == (ask == "faulty")


def test_another_question_never_gets_the_answer_to_the_one_before(bench):
    app = let_end(opened("why"))
    app.session_state["ask"] = "refused"
    assert drawn(app).text[0].value == "None"
    app.session_state["ask"] = "how"
    assert let_end(drawn(app)).text[0].value == "answer to how"


@pytest.mark.parametrize("macs", [AUTO_RUN_MACS * 1.1, math.inf])
def test_what_costs_much_is_offered_first(bench, macs):
    app = opened("why", macs=macs)
    assert (app.info[0].value, labels(app), STARTED) == ("It takes a while.", ["Do it"], [])
    app.button[0].click()
    drawn(app)
    assert STARTED == ["why"]
    assert let_end(app).text[0].value == "answer to why"


def test_what_costs_little_is_not_offered(bench):
    opened("why", macs=AUTO_RUN_MACS)
    assert STARTED == ["why"]


def ended_page() -> None:
    import streamlit as st

    from tests.ui.test_jobs import begin
    from ui.shell.jobs import take_ended
    from ui.shell.state import guarded

    if st.button("Go"):
        guarded(lambda: begin(st.session_state["ask"]), "job:probe")
    ended = take_ended("job:probe")
    st.text(ended.state if ended else "nothing")


def test_an_ended_job_is_handed_out_once_and_its_error_stays(bench):
    app = AppTest.from_function(ended_page)
    app.session_state["ask"] = "faulty"
    drawn(app).button[0].click()
    drawn(app)
    assert let_end(app).text[0].value == "error"
    assert [drawn(app).text[0].value, len(app.error)] == ["nothing", 1]


def drawing_page() -> None:
    import streamlit as st

    from tests.ui.test_jobs import GATE, begin
    from ui.shell.jobs import follow, is_live
    from ui.shell.state import guarded, workbench

    def draw(snapshot):
        st.text("its tokens so far")
        GATE.set()
        workbench().engine.wait(snapshot.job_id, 10)

    if st.button("Go"):
        guarded(lambda: begin("why"), "job:probe")
    run = follow("job:probe", render=draw)
    if run is not None and run.live:
        st.text(f"drawn once; still live: {is_live('job:probe')}")
        return
    st.text("the result" if run else "nothing")


def test_a_job_that_ends_while_it_is_drawn_is_not_drawn_a_second_time_in_the_same_run(bench):
    app = drawn(AppTest.from_function(drawing_page))
    app.button[0].click()
    drawn(app)
    assert [text.value for text in app.text] == ["its tokens so far", "drawn once; still live: False"]
    assert [text.value for text in drawn(app).text] == ["the result"]


@pytest.mark.parametrize(("person", "slower"), [(Person("visitor 1"), True), (Person("s", is_speaker=True), False)])
def test_with_many_jobs_each_is_drawn_less_often_and_the_speakers_as_before(bench, monkeypatch, person, slower):
    def work():
        while not GATE.is_set():
            yield Progress(1, 4, "thinking", waiting=True)

    monkeypatch.setattr(Door, "person", lambda *_: person)
    share(Shared(Door("a password of tests"), ""))
    try:
        assert tick() == TICK
        for i in range(30):
            bench.engine.submit("probe", work(), caller=Caller(owner=str(i), guest=f"visitor {i}"))
        assert tick() == (30 / DRAWN_PER_SECOND if slower else TICK)
    finally:
        share(None)
    GATE.set()
