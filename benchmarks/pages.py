"""What a person waits for in a real browser, on the embedded pair: python -m benchmarks.pages

Each figure runs from the click to what it asked for on screen, drawing and polling included; medians over rounds.
"""

from __future__ import annotations

import re
import statistics
import tempfile
import urllib.parse
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Locator, Page, expect, sync_playwright

from core.embedded import example_questions
from tests.browser.conftest import FLAGS, Server, find_chromium, running, settled
from tests.browser.presses import CONTROLS, answered

ROUNDS, WAIT, LONG = 6, 30_000, 2_000


_LISTEN = """() => {
  for (const kind of ["click", "keydown"])
    addEventListener(kind, () => { window.pressedAt = performance.now(); }, { capture: true, once: true });
}"""


def timed(act: Callable[[], object], shown: Locator) -> float:
    """Seconds from the moment the page hears a click or a key to the moment its result is on screen."""
    shown.page.evaluate(_LISTEN)
    act()
    shown.wait_for(state="visible", timeout=WAIT)
    found: float = shown.page.evaluate("() => performance.now() - window.pressedAt")
    return found / 1000


def report(name: str, found: list[float]) -> None:
    """Print the median and the slowest."""
    print(f"  {name}: {statistics.median(found):.2f} s, slowest {max(found):.2f} s", flush=True)


def open_playground(page: Page, server: Server, **settings: object) -> None:
    """The playground with these settings, run once, nothing running any more."""
    query = {"prompt": example_questions()[1].prompt} | settings
    page.goto(f"{server.url}/playground?{urllib.parse.urlencode(query)}")
    expect(page.get_by_role("button", name="Run", exact=False).first).to_be_visible(timeout=WAIT)
    settled(page)
    if settings.get("view") != "strip":
        if not lane_state(page, "done").count():
            page.get_by_role("button", name="Run", exact=False).first.click()
        expect(lane_state(page, "done")).to_be_visible(timeout=WAIT)
        settled(page)


def lane_state(page: Page, words: str | re.Pattern[str]) -> Locator:
    """The second lane's state when it holds these words."""
    return page.locator("section.lane").nth(1).locator(".state", has_text=words)


def ask(page: Page, question: str) -> Locator:
    """Write another question, and the button that runs it once nothing is being drawn."""
    page.get_by_label("Question").first.fill(question)
    page.keyboard.press("Tab")
    settled(page)
    return page.get_by_role("button", name="Run", exact=False).first


def time_runs(page: Page, server: Server) -> None:
    """First token and Stop of runs that are new, then the same runs out of the store."""
    open_playground(page, server, tokens=900, coefficient=80)
    text = page.locator("section.lane").nth(1).locator(".tokens")
    started, stopped, stored, texts = [], [], [], []
    questions = [example.prompt for example in example_questions()[2 : 2 + ROUNDS]]
    for question in questions:
        started.append(timed(ask(page, question).click, lane_state(page, re.compile(r"running · [1-9]"))))
        halted = page.locator("section.lane .state", has_text="stopped").first
        stopped.append(timed(page.get_by_role("button", name="Stop").first.click, halted))
    report("first token of a new run, both lanes", started)
    report("Stop", stopped)
    open_playground(page, server, tokens=400, coefficient=80)
    for question in questions:
        ask(page, question).click()
        lane_state(page, "running").wait_for(timeout=WAIT)
        lane_state(page, "done").wait_for(timeout=WAIT)
        settled(page)
        texts.append(text.inner_text())
    for question, written in zip(questions, texts, strict=True):
        page.get_by_label("Question").first.fill(question)
        stored.append(timed(lambda: page.keyboard.press("Tab"), text.filter(has_text=written)))
        settled(page)
    report("a stored run, from leaving the question", stored)


def time_strip(page: Page, server: Server) -> None:
    """A dose of the strip as a lane."""
    open_playground(page, server, tokens=64, view="strip")
    page.get_by_role("button", name="Run the strip").click()
    expect(page.get_by_text("Coherent:")).to_be_visible(timeout=WAIT)
    settled(page)
    doses, found = page.locator(".strip .dose"), []
    for index in (2, 7, 3, 8, 9, 1):
        shown = page.locator("section.lane").nth(1).locator(".subtitle")
        before = shown.inner_text() if shown.count() else ""
        found.append(timed(doses.nth(index).click, shown.filter(has_not_text=before or "?")))
        settled(page)
    report("a stored dose of the strip as a lane", found)


def time_readings(page: Page, server: Server) -> None:
    """Another reading and another layer, of the embedded trace and of a text of 2,000 tokens."""
    page.goto(f"{server.url}/attribution")
    switch_readings(page, "a trace")
    page.get_by_role("combobox", name="Text", exact=True).click()
    page.get_by_role("option", name="Your own text").click()
    page.get_by_label("Question that it answers").fill("What is 3 plus 4?")
    page.get_by_label("Your text").fill("Wait, that is not right. " * (LONG // 7))
    page.get_by_role("button", name="Read this text").click()
    page.locator(".t").nth(LONG * 9 // 10).wait_for(timeout=WAIT)
    switch_readings(page, f"{LONG:,} tokens")


_WATCH = """(strip, before) => {
  window.shownAt = null;
  const look = () => {
    if (strip.querySelector(".scale strong").textContent === before) requestAnimationFrame(look);
    else requestAnimationFrame(() => { window.shownAt = performance.now(); });
  };
  look();
}"""


def timed_switch(page: Page, act: Callable[[], object]) -> float:
    """Seconds from the click or key to the frame after the one in which the strip's legend tells the new reading."""
    page.evaluate(_LISTEN)
    page.locator(".strip").evaluate(_WATCH, page.locator(".scale strong").inner_text())
    act()
    page.wait_for_function("() => window.shownAt", timeout=WAIT)
    found: float = page.evaluate("() => window.shownAt - window.pressedAt")
    return found / 1000


def switch_readings(page: Page, text: str) -> None:
    """Switch to and fro on the text that is shown."""
    scale = page.locator(".scale strong")
    expect(scale).to_be_visible(timeout=WAIT)
    settled(page)
    readings, layers = [], []
    slider = page.get_by_role("slider", name="Layer that is read")
    for round_ in range(ROUNDS):
        for name in ("Cosine", "Projection"):
            readings.append(timed_switch(page, page.get_by_role("radio", name=name).click))
            settled(page)
        key = "ArrowLeft" if round_ % 2 else "ArrowRight"
        slider.focus()
        layers.append(timed_switch(page, lambda key=key: page.keyboard.press(key)))  # type: ignore[misc]
        settled(page)
    report(f"another reading of {text}", readings)
    report(f"another layer of {text}", layers)


def time_presses(page: Page, server: Server) -> None:
    """How soon a press is seen: the control looks pressed, and the bar says that work goes on."""
    for name, come_to in CONTROLS.items():
        found = []
        for _ in range(ROUNDS):
            press = come_to(page, server)
            found.append(answered(page, press) / 1000)
        report(f"a press is seen: {name}", found)


def main() -> None:
    """Print the table."""
    path = find_chromium()
    if path is None:
        raise SystemExit("No Chromium was found: install the package chromium, or set CHROMIUM.")
    print("embedded pair, headless Chromium, from the click to the screen; medians")
    with (
        tempfile.TemporaryDirectory() as folder,
        running("app.py", Path(folder) / "cache") as server,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        page = browser.new_page(viewport={"width": 1280, "height": 720})
        page.set_default_timeout(WAIT)
        for part in (time_presses, time_runs, time_strip, time_readings):
            part(page, server)
        browser.close()


if __name__ == "__main__":
    main()
