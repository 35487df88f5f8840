"""The playground's strip, forks, pictures and keyboard in a real browser, and three people on it at once."""

import contextlib
import os
import time

import psutil
import pytest
from playwright.sync_api import TimeoutError as PlaywrightTimeout
from playwright.sync_api import expect

from tests.browser.conftest import running, settled
from tests.browser.test_playground import address, lane, n_tokens, run, state
from tests.browser.test_shell import forget_probes
from tests.browser.tiny_server import prepare

FULL = os.environ.get("RETRACE_FULL") == "1"
ROUNDS = 20 if FULL else 2
PATIENCE = 120_000


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    root = tmp_path_factory.mktemp("views")
    with running("app.py", root / "cache", prepare(root)) as started:
        yield started


@pytest.fixture(autouse=True)
def patient(request):
    """These pages do much at once: on a busy machine a click may wait for a whole redraw."""
    if "page" in request.fixturenames:
        request.getfixturevalue("page").set_default_timeout(PATIENCE)


def open_playground(page, server, **settings):
    page.goto(address(server, **settings))
    expect(page.get_by_label("Question", exact=True)).to_be_visible(timeout=2 * PATIENCE)


def doses(page):
    return page.locator(".strip .dose")


def test_a_dose_of_the_strip_becomes_a_lane_by_mouse_and_by_keyboard(server, page, faults):
    open_playground(page, server, prompt="Strip?", tokens=32, view="strip", doses="-6, 0, 3, 6", scale="unit")
    page.get_by_role("button", name="Run the strip").click()
    expect(page.get_by_text("Coherent:")).to_be_visible(timeout=PATIENCE)
    expect(doses(page)).to_have_count(4)
    settled(page)
    doses(page).nth(3).click()
    expect(lane(page, 1)).to_contain_text("6 × unit vector", timeout=PATIENCE)
    expect(lane(page, 1)).to_contain_text("CACHED")
    page.locator(".strip").focus()
    for key in ("Home", "ArrowRight", "ArrowRight", "Enter"):
        page.keyboard.press(key)
    expect(lane(page, 1)).to_contain_text("3 × unit vector", timeout=PATIENCE)
    expect(doses(page).nth(2)).to_have_attribute("aria-selected", "true")
    forget_probes(faults)


def test_a_click_on_a_token_forks_there_and_the_fork_survives_a_reload(server, page, faults):
    open_playground(page, server, prompt="Fork?", tokens=48, temperature=1.0)
    run(page)
    expect(state(page, 1)).to_contain_text("done", timeout=PATIENCE)
    words = lane(page, 1).locator("[role=option]").all_inner_texts()
    at = next(i for i in range(8, len(words)) if words[i].strip())
    settled(page)
    lane(page, 1).locator("[role=option]").nth(at).click()
    page.get_by_text("none from here on").click()
    page.get_by_role("button", name="Continue from here").click()
    expect(lane(page, 1)).to_contain_text(f"forked at token {at}", timeout=PATIENCE)
    expect(state(page, 1)).to_contain_text("done", timeout=PATIENCE)
    assert lane(page, 1).locator("[role=option]").all_inner_texts()[:at] == words[:at]
    expect(page.get_by_text("Tree of forks: 2 runs")).to_be_visible()
    page.reload()
    expect(lane(page, 1)).to_contain_text(f"forked at token {at}", timeout=PATIENCE)
    forget_probes(faults)


def test_the_lanes_are_saved_as_a_picture_that_the_browser_draws(server, page, faults):
    open_playground(page, server, prompt="Picture?", tokens=32)
    run(page)
    expect(state(page, 1)).to_contain_text("done", timeout=PATIENCE)
    with page.expect_download() as caught:
        page.get_by_role("button", name="Save as picture").click()
    data = caught.value.path().read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    assert int.from_bytes(data[16:20], "big") >= 1440
    forget_probes(faults)


def run_by_key(page):
    """Press the shortcut of Run until there are lanes: a busy machine may draw the button anew just then."""
    for _ in range(3):
        settled(page)
        page.keyboard.press("Control+Enter")
        with contextlib.suppress(PlaywrightTimeout):
            lane(page, 1).wait_for(timeout=PATIENCE / 6)
            return


def test_with_the_keyboard_alone_a_question_is_run_and_forked(server, page, faults):
    open_playground(page, server, prompt="Keys?", tokens=32)
    page.get_by_label("Question", exact=True).focus()
    page.keyboard.press("End")
    page.keyboard.type(" Now")
    page.keyboard.press("Control+Enter")
    page.wait_for_url("**prompt=Keys%3F+Now**")
    page.keyboard.press("Tab")
    run_by_key(page)
    expect(state(page, 1)).to_contain_text("done", timeout=PATIENCE)
    settled(page)
    lane(page, 1).locator(".tokens").focus()
    for key in ("Home", "ArrowRight", "ArrowRight", "ArrowRight", "Enter"):
        page.keyboard.press(key)
    expect(page.get_by_role("heading", name="Continue from token 3")).to_be_visible(timeout=PATIENCE)
    page.get_by_role("button", name="Continue from here").focus()
    page.keyboard.press("Enter")
    expect(lane(page, 1)).to_contain_text("forked at token 3", timeout=PATIENCE)
    forget_probes(faults)


def texts_of(page):
    expect(state(page, 1)).to_contain_text("done", timeout=PATIENCE)
    return [lane(page, i).locator(".tokens").inner_text() for i in (0, 1)]


def ask(page, server, person, n):
    settings = {"prompt": f"Person {person}, round {n}?", "seed": 100 * person + n, "temperature": 0.8, "tokens": 96}
    open_playground(page, server, coefficient=2.0 + 2 * person, **settings)


def memory(server):
    return psutil.Process(server.process.pid).memory_info().rss


def test_three_people_at_once_get_what_each_gets_alone(server, tmp_path, new_page, faults):
    """Sampled runs of three sessions that are written at the same time, against a server of one's own afterwards."""
    pages = [new_page() for _ in range(3)]
    for person, page in enumerate(pages):
        ask(page, server, person, 0)
        run(page)
    for page in pages:
        texts_of(page)
    before, seen = memory(server), {}
    for n in range(1, ROUNDS + 1):
        for person, page in enumerate(pages):
            ask(page, server, person, n)
        for page in pages:
            run(page)
        for person, page in enumerate(pages):
            seen[person, n] = texts_of(page)
    for page in pages:
        page.context.close()
    until = time.monotonic() + 30
    while memory(server) > 1.1 * before:
        assert time.monotonic() < until, f"{memory(server)} bytes after {before}"
        time.sleep(0.2)
    with running("app.py", tmp_path / "cache", prepare(tmp_path)) as alone:
        page = new_page()
        for (person, round_), texts in list(seen.items())[:: max(2, len(seen) // 9)]:
            ask(page, alone, person, round_)
            run(page)
            assert texts_of(page) == texts
        assert n_tokens(page, 1) > 0
        page.context.close()
    forget_probes(faults)
