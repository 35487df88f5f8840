"""The presenter in a real browser: in the app, with the server stopped, and as the file that the app hands out."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Screen, Server, running, settled
from tests.browser.test_shell import forget_probes
from tests.browser.test_strip_export import watch_files
from tests.browser.tiny_server import QUESTION, prepare
from tests.talk.filled import FIRST, HOSTILE, WORDS, fill_talk

WAIT = 90_000
HALL = Screen(width=1920, height=1080)
LOST = re.compile("ERR_CONNECTION_|ERR_EMPTY_RESPONSE|ERR_SOCKET_|disconnected from server")
PLACES = pytest.mark.parametrize("place", ["app", "server stopped", "file"])
in_a_hall = pytest.mark.parametrize("screen", [HALL], ids=["1920×1080"])


@pytest.fixture(scope="module")
def env(tmp_path_factory):
    return prepare(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def server(tmp_path, env):
    """For a test that stops it, or loads another pair."""
    fill_talk(tmp_path / "cache")
    with running("app.py", tmp_path / "cache", env) as started:
        yield started


@pytest.fixture(scope="module")
def lasting(tmp_path_factory, env):
    """A server for all tests that only look."""
    root = tmp_path_factory.mktemp("lasting")
    fill_talk(root / "cache")
    with running("app.py", root / "cache", env) as started:
        yield started


@pytest.fixture(scope="module")
def file(lasting: Server, browser: Browser) -> str:
    """The address of the file that the Talk page hands out."""
    page = browser.new_page()
    page.goto(f"{lasting.url}/talk")
    settled(page)
    with page.expect_download(timeout=WAIT) as download:
        page.get_by_role("button", name="One offline file").click(timeout=WAIT)
    path = lasting.cache.parent / "talk.html"
    download.value.save_as(path)
    page.close()
    return path.as_uri()


def open_talk(page: Page, server: Server) -> None:
    page.goto(f"{server.url}/talk?present=1")
    expect(page.locator("dialog.stage")).to_be_visible(timeout=WAIT)


@pytest.fixture
def shown(request: pytest.FixtureRequest, page: Page, place: str, faults: list[str]):
    """The first slide, wherever it is shown; without a server nothing may be asked of one."""
    if place == "file":
        page.context.set_offline(True)
        page.goto(request.getfixturevalue("file"))
        expect(page.locator("dialog.stage")).to_be_visible()
    else:
        server = request.getfixturevalue("lasting" if place == "app" else "server")
        open_talk(page, server)
        settled(page)
    if place == "server stopped":
        server.process.kill()
        server.process.wait(10)
    yield page
    leave(page, faults)
    faults[:] = [fault for fault in watch_files(faults) if place == "app" or "127.0.0.1" not in fault]
    faults[:] = [fault for fault in faults if place == "app" or not LOST.search(fault)]


def tokens(page: Page, lane: int = 1) -> int:
    """How many tokens of a lane are written on the slide."""
    return page.locator("dialog .lane").nth(lane).locator(".t:not([hidden])").count()


def title(page: Page) -> str:
    return page.locator("dialog .title").inner_text() or page.locator("dialog .question").inner_text()


def theme(page: Page) -> str | None:
    return page.locator("dialog.stage").get_attribute("data-theme")


def leave(page: Page, faults: list[str]) -> None:
    """Before the server ends: a page that lost it says so on the console."""
    page.goto("about:blank")
    forget_probes(faults)


def until(question: Callable[[], bool], seconds: float = 15) -> None:
    end = time.monotonic() + seconds
    while not question():
        assert time.monotonic() < end
        time.sleep(0.05)


MEASURE = """() => {
  const find = (selector) => [...document.querySelectorAll("*")].map((n) => n.shadowRoot ?? n).concat([document])
    .flatMap((root) => [...(root.querySelectorAll?.(selector) ?? [])]);
  const dialog = find("dialog.stage")[0];
  const box = (node) => node.getBoundingClientRect();
  const lanes = [...dialog.querySelectorAll(".lane")];
  const sizes = [...dialog.querySelectorAll("*")].filter((n) => n.checkVisibility() && box(n).width &&
    [...n.childNodes].some((c) => c.nodeType === 3 && c.textContent.trim()))
    .map((n) => [parseFloat(getComputedStyle(n).fontSize), n.textContent.slice(0, 30)]);
  return {
    window: [innerWidth, innerHeight],
    dialog: [box(dialog).x, box(dialog).y, box(dialog).width, box(dialog).height],
    lanes: lanes.map((lane) => [box(lane).y, box(lane).height]),
    top: box(dialog.querySelector(".question")).y,
    bottom: Math.max(...lanes.map((lane) => box(lane).bottom)),
    smallest: sizes.sort((a, b) => a[0] - b[0])[0],
    text: parseFloat(getComputedStyle(dialog.querySelector(".text")).fontSize),
    wide: dialog.scrollWidth,
  };
}"""


@in_a_hall
@pytest.mark.parametrize("place", ["app", "file"])
def test_question_and_lanes_fill_the_window_in_large_letters_and_nothing_else_is_there(shown):
    found = shown.evaluate(MEASURE)
    assert found["dialog"] == [0, 0, 1920, 1080]
    assert found["bottom"] - found["top"] >= 0.85 * 1080
    assert all(height >= 0.7 * 1080 for _, height in found["lanes"])
    assert found["smallest"][0] >= 32, found["smallest"]
    assert found["text"] >= 39, "a text that fits is in the larger letters"
    assert found["wide"] <= 1920
    for place in ([40, 300], [960, 20], [1880, 20], [300, 1060]):
        chrome = "([x, y]) => document.elementFromPoint(x, y).closest('[data-testid=stSidebar], header, button')"
        assert shown.evaluate(chrome, place) is None, place
    expect(shown.locator("dialog .badge")).to_have_text("recorded 13 Sep 2020")


@PLACES
@in_a_hall
def test_all_keys_work(shown, place):
    page, keys = shown, shown.keyboard
    assert title(page) == "First, the answer"
    expect(page.locator("dialog .question")).to_have_text(FIRST)
    assert tokens(page) == WORDS + 8

    keys.press("Space")
    until(lambda: 0 < tokens(page) < WORDS)
    keys.press("Space")
    paused = tokens(page)
    time.sleep(0.4)
    assert tokens(page) == paused
    keys.press("Minus")
    expect(page.locator("dialog .toast")).to_have_text("10 tokens per second")
    for _ in range(9):
        keys.press("+")
    expect(page.locator("dialog .toast")).to_have_text("160 tokens per second")
    keys.press("Space")
    until(lambda: tokens(page) == WORDS + 8)
    keys.press("Home")
    assert tokens(page) == 0
    keys.press("End")
    assert tokens(page) == WORDS + 8

    keys.press("ArrowRight")
    expect(page.locator("dialog .lane .t").first).to_have_text(HOSTILE)
    keys.press("PageDown")
    expect(page.locator("dialog img")).to_have_count(2)
    for picture in page.locator("dialog img").all():
        until(lambda: picture.evaluate("(n) => n.complete && n.naturalWidth > 0"))  # noqa: B023
    light = page.locator("dialog img").first.get_attribute("src")
    was = theme(page)
    keys.press("d")
    assert {was, theme(page)} == {"light", "dark"}
    assert page.locator("dialog img").first.get_attribute("src") != light
    keys.press("ArrowRight")
    assert title(page).startswith("Fig. 3")
    keys.press("ArrowLeft")
    keys.press("PageUp")
    assert title(page) == "First, the answer"

    keys.press("b")
    expect(page.locator("dialog .blank")).to_be_visible()
    assert page.locator("dialog .blank").bounding_box() == {"x": 0, "y": 0, "width": 1920, "height": 1080}
    keys.press("b")
    expect(page.locator("dialog .blank")).to_be_hidden()
    keys.press("f")
    until(lambda: page.evaluate("document.fullscreenElement !== null"))
    expect(page.locator("dialog .question")).to_be_visible()
    keys.press("f")
    until(lambda: page.evaluate("document.fullscreenElement === null"))
    keys.press("?")
    expect(page.locator("dialog .help")).to_contain_text("full screen")
    keys.press("Escape")
    expect(page.locator("dialog .help")).to_be_hidden()
    keys.press("Escape")
    expect(page.locator("dialog.stage")).to_be_hidden()
    assert page.evaluate("window.hacked") is None
    if place == "app":
        expect(page.get_by_role("heading", name="Talk", exact=True)).to_be_visible()
        until(lambda: "present" not in page.url)
        page.keyboard.press("p")
        expect(page.locator("dialog.stage")).to_be_visible(timeout=WAIT)
    if place == "file":
        expect(page.locator("ol button")).to_have_count(3)
        page.locator("ol button").nth(2).click()
        assert title(page).startswith("Fig. 3")


@pytest.mark.parametrize("place", ["app", "file"])
def test_where_motion_is_not_wanted_the_text_is_there_at_once(shown):
    shown.emulate_media(reduced_motion="reduce")
    shown.keyboard.press("Home")
    assert tokens(shown) == 0
    shown.keyboard.press("Space")
    assert tokens(shown) == WORDS + 8


CONTRAST = """() => {
  const rgb = (text) => (text.match(/[\\d.]+/g) ?? []).map(Number);
  const linear = (v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  const light = ([r, g, b]) => 0.2126 * linear(r / 255) + 0.7152 * linear(g / 255) + 0.0722 * linear(b / 255);
  const roots = [...document.querySelectorAll("*")].map((n) => n.shadowRoot).filter(Boolean).concat([document]);
  const dialog = roots.map((root) => root.querySelector("dialog.stage")).find(Boolean);
  const behind = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const colour = rgb(getComputedStyle(at).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour.slice(0, 3);
    }
  };
  const says = (node) => [...node.childNodes].some((child) => child.nodeType === 3 && child.textContent.trim());
  const texts = [...dialog.querySelectorAll("*")].filter((node) => node.checkVisibility() && says(node));
  const of = (node) => {
    const [a, b] = [rgb(getComputedStyle(node).color), behind(node)].map(light).sort((x, y) => y - x);
    return [(a + 0.05) / (b + 0.05), node.className, node.textContent.slice(0, 20)];
  };
  return texts.map(of).sort((x, y) => x[0] - y[0])[0];
}"""


@in_a_hall
@pytest.mark.parametrize("place", ["file"])
def test_every_text_can_be_read_in_both_themes(shown):
    for _ in range(2):
        shown.keyboard.press("?")
        for _ in range(2):
            assert shown.evaluate(CONTRAST)[0] >= 4.5, shown.evaluate(CONTRAST)
            shown.keyboard.press("ArrowRight")
        shown.keyboard.press("ArrowLeft")
        shown.keyboard.press("ArrowLeft")
        shown.keyboard.press("?")
        shown.keyboard.press("d")


@pytest.mark.parametrize("screen", [Screen(width=390, height=844, touch=True), Screen(width=1280, height=720)], ids=str)
def test_no_slide_is_wider_than_its_window(page, lasting, screen, faults):
    open_talk(page, lasting)
    settled(page)
    for _ in range(3):
        width = page.locator("dialog.stage").evaluate("(n) => n.scrollWidth")
        assert width <= screen.width
        page.keyboard.press("ArrowRight")
    leave(page, faults)


def test_an_old_link_to_the_stage_presents_what_the_page_shows_as_it_is_written(page, tmp_path, env, faults):
    """Without a talk: the lanes of the link, live, then stored."""
    with running("app.py", tmp_path / "cache", env) as server:
        page.goto(f"{server.url}/playground?stage=1&tokens=400&prompt={QUESTION.replace(' ', '+')}")
        expect(page.locator("dialog .said")).to_be_visible(timeout=WAIT)
        expect(page.locator("dialog .said")).to_contain_text("There is nothing to present yet", timeout=WAIT)
        until(lambda: "present=1" in page.url and "stage" not in page.url)
        page.keyboard.press("Escape")
        expect(page.locator("dialog.stage")).to_be_hidden()
        settled(page)
        page.get_by_role("button", name=re.compile("^Run")).first.click()
        expect(page.locator("section.lane .state").first).to_be_visible(timeout=WAIT)
        page.keyboard.press("p")
        expect(page.locator("dialog .badge")).to_have_text("LIVE", timeout=WAIT)
        seen = tokens(page, 0)
        until(lambda: tokens(page, 0) > seen + 20, 60)
        until(lambda: tokens(page, 0) == tokens(page, 1) == 400, 120)
        page.reload()
        expect(page.locator("dialog .badge")).to_have_text("CACHED", timeout=WAIT)
        expect(page.locator("dialog .question")).to_have_text(QUESTION)
        page.goto("about:blank")
    forget_probes(faults)


def test_while_one_presents_another_cannot_load_a_pair(new_page, server, env, faults):
    speaker, other = new_page(), new_page()
    open_talk(speaker, server)
    settled(speaker)
    other.goto(f"{server.url}/talk?pair=demo/base,demo/reasoner,fp32")
    button = other.get_by_role("button", name="Load the pair of the link")
    expect(button).to_be_visible(timeout=WAIT)
    button.click()
    refusal = other.get_by_text("Another visitor shows this pair in a talk since")
    expect(refusal.first).to_be_visible(timeout=WAIT)
    speaker.close()
    deadline = time.monotonic() + 60
    while refusal.count():
        assert time.monotonic() < deadline
        button.click()
        settled(other)
    expect(button).to_have_count(0, timeout=WAIT)
    leave(other, faults)


@in_a_hall
def test_a_link_to_slides_of_another_pair_says_so_and_loads_it(page, server, faults):
    page.goto(f"{server.url}/talk?present=1&pair=demo/base,demo/reasoner,fp32")
    expect(page.locator("dialog .said")).to_contain_text("made with reasoner finetuned from base", timeout=WAIT)
    page.locator("dialog").get_by_role("button", name="Load the pair of the link").click()
    expect(page.locator("dialog .title")).to_have_text("First, the answer", timeout=WAIT)
    leave(page, faults)
