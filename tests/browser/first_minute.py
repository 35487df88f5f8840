"""A stranger's first minute, as a list of pictures: python -m tests.browser.first_minute FOLDER

From the command that starts the server to the sentence that says what the reasoning model, the base model and the
random push did. Nothing is read but the page, and nothing is pressed but what is counted.
"""

from __future__ import annotations

import re
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, expect, sync_playwright

from tests.browser.conftest import FLAGS, find_chromium, running, settled

WAIT = 60_000
SAID = re.compile("^Here (a random push does it too: )?the reasoning model turns back .* random one.* base model")


@dataclass(frozen=True)
class Step:
    """What was seen, after how long, and after how many clicks."""

    name: str
    seconds: float
    clicks: int
    said: str


def first_minute(browser: Browser, folder: Path) -> list[Step]:
    """The steps, with a picture of each in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    steps: list[Step] = []
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as cache, running("app.py", Path(cache) / "cache") as server:
        page = browser.new_page(viewport={"width": 1280, "height": 720})
        page.set_default_timeout(WAIT)

        def step(name: str, clicks: int) -> None:
            said = page.get_by_text(SAID)
            expect(said).to_be_visible(timeout=WAIT)
            expect(said).to_be_in_viewport(ratio=1)
            steps.append(Step(name, time.monotonic() - begun, clicks, said.inner_text()))
            page.screenshot(path=folder / f"{len(steps)}-{name.replace(' ', '-')}.png")

        page.goto(server.url)
        step("recorded while the models load", 0)
        expect(page.get_by_role("button", name="Run")).to_be_visible(timeout=WAIT)
        expect(page.locator("section.lane[data-state=done]")).to_have_count(3, timeout=WAIT)
        settled(page)
        step("written here", 0)
        page.get_by_text("gentle", exact=True).click()
        settled(page)
        expect(page.locator("section.lane[data-state=done]")).to_have_count(3, timeout=WAIT)
        step("with another strength", 1)
        page.close()
    return steps


def main(folder: str) -> None:
    """Print the steps."""
    path = find_chromium()
    if path is None:
        raise SystemExit("No Chromium was found: install the package chromium, or set CHROMIUM.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        for step in first_minute(browser, Path(folder)):
            print(f"{step.seconds:5.1f} s, {step.clicks} clicks, {step.name}: {step.said}")
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:2])
