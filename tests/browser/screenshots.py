"""Make the README's pictures of every page, light and dark, on the embedded pair."""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

from tests.browser.conftest import FLAGS, ROOT, Server, find_chromium, running, settled

OUT = ROOT / "docs" / "screenshots"
WAIT = 180_000


def home(page: Page, server: Server) -> None:
    page.goto(server.url)
    expect(page.get_by_text("One text is an anecdote")).to_be_visible(timeout=WAIT)
    expect(page.get_by_test_id("stVegaLiteChart").first).to_be_visible(timeout=WAIT)
    expect(page.locator("section.lane[data-state=done]")).to_have_count(3, timeout=WAIT)


def traces(page: Page, server: Server) -> None:
    page.goto(f"{server.url}/traces")
    expect(page.get_by_role("cell", name="whole set")).to_be_visible(timeout=WAIT)
    expect(page.locator(".t").first).to_be_visible(timeout=WAIT)


def labelling(page: Page, server: Server) -> None:
    page.goto(f"{server.url}/labelling")
    expect(page.get_by_test_id("stMetric").first).to_be_visible(timeout=WAIT)


def directions(page: Page, server: Server) -> None:
    page.goto(f"{server.url}/directions")
    page.get_by_role("radio", name="Cosines").click(timeout=WAIT)
    expect(page.get_by_test_id("stVegaLiteChart").first).to_be_visible(timeout=WAIT)


def extraction(page: Page, server: Server) -> None:
    page.goto(f"{server.url}/extraction")
    button = page.get_by_role("button", name="Extract").first
    expect(button).to_be_visible(timeout=WAIT)
    button.click()
    expect(page.get_by_test_id("stVegaLiteChart").first).to_be_visible(timeout=WAIT)


def playground(page: Page, server: Server) -> None:
    page.goto(f"{server.url}/playground")
    button = page.get_by_role("button", name="Run").first
    expect(button).to_be_visible(timeout=WAIT)
    if page.locator("section.lane").count() == 0:
        button.click()
    expect(page.get_by_role("button", name="Read it token by token")).to_be_visible(timeout=WAIT)


def experiments(page: Page, server: Server) -> None:
    page.goto(f"{server.url}/experiments")
    expect(page.get_by_role("button", name="Run", exact=True)).to_be_enabled(timeout=WAIT)


def attribution(page: Page, server: Server) -> None:
    page.goto(f"{server.url}/attribution")
    token = page.locator("[role=option]").nth(60)
    expect(token).to_be_visible(timeout=WAIT)
    token.click()


def finetuning(page: Page, server: Server) -> None:
    page.goto(f"{server.url}/finetuning")
    expect(page.get_by_role("button", name="Finetune", exact=True)).to_be_visible(timeout=WAIT)
    expect(page.get_by_test_id("stVegaLiteChart").first).to_be_visible(timeout=WAIT)


def talk(page: Page, server: Server) -> None:
    playground(page, server)
    page.get_by_role("radio", name="Add to the talk").click()
    page.get_by_role("button", name="Add to the talk").click()
    expect(page.get_by_text(re.compile("Added to the talk|in the talk already"))).to_be_visible(timeout=WAIT)
    page.goto(f"{server.url}/talk")
    expect(page.get_by_role("button", name="Rename")).to_be_visible(timeout=WAIT)


PAGES: dict[str, Callable[[Page, Server], None]] = {
    "home": home,
    "traces": traces,
    "labelling": labelling,
    "extraction": extraction,
    "directions": directions,
    "playground": playground,
    "experiments": experiments,
    "attribution": attribution,
    "finetuning": finetuning,
    "talk": talk,
}


def main(names: Sequence[str]) -> None:
    """One server, one browser, a picture per page and theme; of the named pages, where some are."""
    path = find_chromium()
    if path is None:
        raise SystemExit("No Chromium was found: install the package chromium, or set CHROMIUM.")
    OUT.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        running("app.py", Path(folder) / "cache", anew=True) as server,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        for theme in ("light", "dark"):
            for name, show in ((name, PAGES[name]) for name in names or PAGES):
                page = browser.new_page(viewport={"width": 1360, "height": 1020}, color_scheme=theme)
                show(page, server)
                page.mouse.move(0, 0)
                settled(page)
                page.wait_for_timeout(2500)
                page.screenshot(path=OUT / f"{name}-{theme}.png")
                page.close()
                print(f"{name}, {theme}")
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1:])
