"""The playground's first screen in a real browser: what is in sight, what stays, and how soon a click is answered."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Screen, running, settled
from tests.browser.test_shell import forget_probes
from tests.browser.tiny_server import prepare

WAIT = 120_000
LINES = """(box) => {
  const end = Math.min(box.getBoundingClientRect().bottom, window.innerHeight);
  const tops = [...box.querySelectorAll("[role=option]")].flatMap((token) => [...token.getClientRects()])
    .filter((rect) => rect.bottom <= end + 1).map((rect) => Math.round(rect.top / 8));
  return { first: box.scrollTop, lines: new Set(tops).size };
}"""
MAIN = "document.querySelector('[data-testid=stMain]')"


def open_example(page, server):
    page.goto(f"{server.url}/playground")
    expect(page.locator("section.lane[data-state=done]")).to_have_count(3, timeout=WAIT)
    settled(page)


def run_button(page):
    return page.get_by_role("button", name="Run").first


def box(locator):
    found = locator.bounding_box()
    assert found is not None
    return found


def is_in_sight(page, locator):
    found, size = box(locator), page.viewport_size
    return found["y"] >= 0 and found["y"] + found["height"] <= size["height"] and found["x"] >= 0


def scrolls(page):
    return page.evaluate(f"{MAIN}.scrollHeight - {MAIN}.clientHeight")


@pytest.mark.parametrize("screen", [Screen(), Screen(theme="dark"), Screen(width=1920, height=1080)])
def test_question_run_sentence_and_ten_lines_of_all_three_lanes_are_in_sight(serve, page, screen, faults):
    open_example(page, serve("app.py"))
    for control in (page.get_by_label("Question", exact=True), run_button(page), page.get_by_label("Direction").first):
        assert is_in_sight(page, control)
    for lane in page.locator("section.lane").all():
        seen = lane.locator(".tokens").evaluate(LINES)
        assert seen["first"] == 0
        assert seen["lines"] >= 10 or lane.locator(".tokens").evaluate("(box) => box.scrollHeight <= box.clientHeight")
    said = page.get_by_text("One text proves nothing")
    assert is_in_sight(page, said)
    counted = re.findall(r"(unsteered|steered|random control) (\d+) in (\d+)", said.inner_text())
    for lane, (_, hits, tokens) in zip(page.locator("section.lane").all(), counted, strict=True):
        assert lane.locator(".keyword").count() >= int(hits)
        assert f"{tokens} tokens" in lane.locator(".state").inner_text()
    tops = {round(box(lane)["y"]) for lane in page.locator("section.lane").all()}
    assert len(tops) == 1
    expect(page.locator("section.lane").nth(0).locator(".keyword")).to_have_count(0)
    expect(page.locator("section.lane").nth(1).locator(".keyword").first).to_be_attached()
    assert scrolls(page) <= 1
    lanes = box(page.locator(".lanes"))
    assert screen.height - 90 <= lanes["y"] + lanes["height"] <= screen.height
    assert lanes["height"] >= (0.5 if screen.height < 800 else 0.65) * screen.height
    forget_probes(faults)


def test_the_lanes_follow_the_window_and_stay_where_they_are_when_run_is_pressed(serve, page, faults):
    open_example(page, serve("app.py"))
    page.set_viewport_size({"width": 1280, "height": 900})
    page.wait_for_timeout(300)
    lanes = page.locator(".lanes")
    assert box(lanes)["y"] + box(lanes)["height"] >= 810
    page.get_by_label("Question", exact=True).fill("What is 12 plus 31?")
    page.get_by_label("Question", exact=True).press("Control+Enter")
    settled(page)
    run_button(page).click()
    expect(page.locator("section.lane[data-state=running]")).to_have_count(3)
    before = box(lanes)
    expect(page.get_by_role("button", name="Stop").first).to_be_visible()
    expect(page.locator("section.lane[data-state=done]")).to_have_count(3, timeout=WAIT)
    settled(page)
    after = box(lanes)
    assert abs(before["y"] - after["y"]) <= 2
    assert abs(before["height"] - after["height"]) <= 2
    assert all(lane.evaluate(LINES)["first"] == 0 for lane in page.locator("section.lane .tokens").all())
    forget_probes(faults)


def test_what_is_opened_below_the_lanes_is_in_sight_and_takes_of_their_room(serve, page, faults):
    open_example(page, serve("app.py"))
    before = box(page.locator(".lanes"))
    page.get_by_text("Numbers", exact=True).click()
    expect(page.get_by_test_id("stDataFrame")).to_be_visible()
    settled(page)
    page.wait_for_timeout(300)
    assert box(page.locator(".lanes"))["height"] < before["height"]
    assert is_in_sight(page, page.get_by_test_id("stDataFrame"))
    page.get_by_text("Numbers", exact=True).click()
    expect(page.get_by_test_id("stDataFrame")).to_have_count(0)
    page.locator("section.lane").nth(1).locator("[role=option]").nth(20).click()
    expect(page.get_by_role("heading", name="Continue from token 20")).to_be_visible()
    settled(page)
    page.wait_for_timeout(300)
    assert is_in_sight(page, page.get_by_role("button", name="Continue from here"))
    forget_probes(faults)


def test_run_is_six_tabs_from_the_top_and_pressed_by_the_keyboard(serve, page, faults):
    open_example(page, serve("app.py"))
    focused = "document.activeElement.innerText || document.activeElement.getAttribute('aria-label') || ''"
    page.keyboard.press("Tab")
    assert "Skip to main content" in page.evaluate(focused)
    page.keyboard.press("Enter")
    page.wait_for_function(f"!({focused}).includes('Skip to main content')")
    passed = [page.evaluate(focused)]
    while "Run" not in passed[-1] or page.evaluate("document.activeElement.tagName") != "BUTTON":
        page.keyboard.press("Tab")
        passed.append(page.evaluate(focused))
        assert len(passed) <= 6, passed
    page.keyboard.press("Enter")
    expect(page.get_by_text("These lanes were stored")).to_be_visible()
    forget_probes(faults)


@pytest.mark.parametrize("screen", [Screen(width=853, height=480), Screen(width=390, height=844), Screen()])
def test_nothing_is_clipped_and_run_stays_while_the_page_scrolls(serve, page, screen, faults):
    open_example(page, serve("app.py"))
    assert page.evaluate(f"{MAIN}.scrollWidth <= {MAIN}.clientWidth")
    for button in page.get_by_test_id("stMain").get_by_role("button").all():
        if button.is_visible():
            found = box(button)
            assert found["x"] + found["width"] <= screen.width
            assert button.evaluate("(node) => node.scrollWidth <= node.clientWidth + 1")
    page.evaluate(f"{MAIN}.scrollTop = 10000")
    page.wait_for_timeout(300)
    assert is_in_sight(page, run_button(page))
    assert is_in_sight(page, page.get_by_label("Question", exact=True))
    run_button(page).click()
    expect(page.get_by_text("These lanes were stored")).to_be_attached()
    page.get_by_role("button", name="Settings").click()
    expect(page.get_by_role("slider", name="Layer")).to_be_visible()
    page.wait_for_timeout(300)
    settings = box(page.get_by_test_id("stPopoverBody"))
    assert settings["x"] >= 0
    assert settings["x"] + settings["width"] <= screen.width
    forget_probes(faults)


FEEDBACK = """() => new Promise((done) => {
  const app = document.querySelector(".stApp");
  let pressed = 0;
  document.addEventListener("click", () => { pressed = performance.now(); }, { capture: true, once: true });
  const look = () => {
    if (pressed && getComputedStyle(app, "::before").opacity === "1") done(performance.now() - pressed);
    else requestAnimationFrame(look);
  };
  look();
})"""


def test_a_press_on_run_is_answered_within_a_tenth_of_a_second(serve, page, faults):
    open_example(page, serve("app.py"))
    seen = []
    for _ in range(3):
        page.wait_for_timeout(1200)
        page.evaluate(f"window.answered = ({FEEDBACK})(); 0")
        run_button(page).click()
        seen.append(page.evaluate("window.answered"))
    assert min(seen) <= 100, seen
    forget_probes(faults)


def test_a_comparison_of_the_history_is_opened_side_by_side_by_one_click(serve, page, faults):
    open_example(page, serve("app.py"))
    run_button(page).click()
    settled(page)
    page.get_by_text("History", exact=True).click()
    settled(page)
    page.locator("[class*=st-key-pg_compare]").get_by_role("button").first.click()
    expect(page.locator("section.lane[data-state=done]")).to_have_count(3)
    expect(page.get_by_text("From the history")).to_be_visible()
    settled(page)
    page.wait_for_timeout(300)
    assert scrolls(page) <= 1
    page.get_by_role("button", name="Back to the lanes of the settings").click()
    expect(page.get_by_text("From the history")).to_have_count(0)
    forget_probes(faults)


def test_a_pair_without_a_direction_answers_and_is_led_to_its_first_one(tmp_path, page, faults):
    env = prepare(tmp_path, direction=False)
    with running("app.py", tmp_path / "cache", env) as server:
        page.goto(f"{server.url}/playground")
        expect(page.locator("section.lane h4")).to_have_text(
            ["Reasoning model, unsteered", "Base model, unsteered"], timeout=WAIT
        )
        for control in (run_button(page), page.get_by_role("button", name="Measure a first direction")):
            assert is_in_sight(page, control)
        for lane in page.locator("section.lane").all():
            assert is_in_sight(page, lane)
        assert (
            page.get_by_label("Question", exact=True).input_value()
            == "Three friends share 45 coins so that each has 5 more than the next. How many has each?"
        )
        assert is_in_sight(page, page.get_by_text("against controls: about"))
        page.get_by_role("button", name="Measure a first direction").click()
        expect(page.get_by_role("heading", name="Experiments", exact=True)).to_be_visible(timeout=WAIT)
        expect(page.get_by_test_id("stProgress").first).to_be_visible(timeout=WAIT)
        expect(page.get_by_text("LIVE", exact=True)).to_be_visible()
        page.context.close()
    forget_probes(faults)
