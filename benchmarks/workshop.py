"""Visitors on a shared server, each with runs of their own: python -m benchmarks.workshop [VISITORS] [SECONDS]

Every visitor logs in with the password and asks other questions, so that nothing comes from the store. Meanwhile the
speaker runs too, and one more visitor clicks on what needs no model. Then: are the texts on screen those that the same
specs give alone, how long did a click take, and how long the speaker's run beside the room and without it.

Speaker, clicker and one of the visitors are real browsers; the others have no screen, as phones draw for themselves.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks import sessions
from benchmarks.sessions import Visitor, on_core, open_session, summary, visit_together, wrong_texts
from benchmarks.visitors import PATIENCE, TOKENS, visitors
from tests.browser.conftest import FLAGS, find_chromium, settled
from tests.retrace.room_server import WORD, Room, room
from tests.retrace.room_server import log_in as session_of

VISITORS, CLICK_EVERY, RUN_EVERY = 30, 1.0, 10.0
SPEAKER = 10_000
"""The speaker's number among those who ask."""


def log_in(page: Page) -> None:
    """Through the form that stands before every page."""
    page.get_by_label("Password").fill(WORD)
    page.get_by_role("button", name="Log in").click()


class Beside(threading.Thread):
    """Somebody who does one thing again and again in a browser of their own, and keeps how long each time took."""

    def __init__(self, running: Room, *, is_speaker: bool) -> None:
        super().__init__(daemon=True)
        self.running, self.is_speaker = running, is_speaker
        self.seconds, self.ended, self.ready = list[float](), threading.Event(), threading.Event()

    def begin(self) -> None:
        """Start, and return once the page is there or could not be."""
        self.start()
        while self.is_alive() and not self.ready.wait(1.0):
            pass

    def run(self) -> None:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=find_chromium(), args=list(FLAGS))
            page = browser.new_page()
            page.set_default_timeout(1000 * PATIENCE)
            self._begin(page)
            self.ready.set()
            speaker, turn = Visitor(SPEAKER, page), 0
            while not self.ended.wait(RUN_EVERY if self.is_speaker else CLICK_EVERY):
                began = time.monotonic()
                speak(speaker) if self.is_speaker else click(page, turn)
                self.seconds.append(time.monotonic() - began)
                turn += 1
            browser.close()

    def _begin(self, page: Page) -> None:
        url = self.running.url
        if self.is_speaker:
            page.goto(f"{url}/login?key={self.running.keys()[-1]}")
            page.get_by_role("button", name="Run").first.wait_for()
        page.goto(f"{url}/playground?tokens={TOKENS}&temperature=0.8&seed=7")
        if not self.is_speaker:
            log_in(page)
        page.get_by_role("button", name="Run").first.wait_for()
        settled(page)


def speak(speaker: Visitor) -> None:
    """The next question, until all of its lanes are on screen."""
    speaker.ask_next()
    while speaker.answer() is None:
        time.sleep(0.02)


def click(page: Page, turn: int) -> None:
    """Another view, until what it alone has is there, or gone."""
    opens = turn % 2 == 0
    name = "Dose strip" if opens else "Lanes"
    page.get_by_role("radio", name=name).or_(page.get_by_role("button", name=name)).first.click()
    page.get_by_label("Doses of your own").wait_for(state="visible" if opens else "detached")


def measure(running: Room, browser: Browser, root: Path, n: int) -> None:
    """Print what came out."""
    speaker, clicker = Beside(running, is_speaker=True), Beside(running, is_speaker=False)
    speaker.begin()
    while speaker.is_alive() and len(speaker.seconds) < 3:
        time.sleep(0.1)
    alone = len(speaker.seconds)
    print(f"the speaker alone: {alone} runs", flush=True)
    with visitors(running.url, [session_of(running).cookie for _ in range(n - 1)]) as others:
        page = open_session(browser, running.url, n - 1, enter=log_in)
        clicker.begin()
        print(f"{n} visitors are in", flush=True)
        seen = visit_together(others, Visitor(n - 1, page))
        for one in (speaker, clicker):
            one.ended.set()
            one.join(60)
    runs = speaker.seconds
    print(f"{n} visitors, {len(seen)} questions answered")
    print(f"a click that needs no model, {len(clicker.seconds)} times: {summary(clicker.seconds)}")
    print(f"the speaker's run: median {statistics.median(runs[:alone]):.1f} s alone", end="")
    print(f", {statistics.median(runs[alone:]):.1f} s beside the room ({len(runs) - alone} times)", flush=True)
    wrong, checked = wrong_texts(seen, root / "cache", root / "alone")
    print(f"{wrong} of {checked} texts wrong")


def main() -> None:
    """Run it, for two minutes where nothing else is said."""
    n = int(sys.argv[1]) if len(sys.argv) > 1 else VISITORS
    sessions.SECONDS = float(sys.argv[2]) if len(sys.argv) > 2 else sessions.SECONDS
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        with on_core(-1):
            browser = playwright.chromium.launch(executable_path=find_chromium(), args=list(FLAGS))
        with on_core(0), room(Path(folder)) as running, on_core(-1):
            measure(running, browser, Path(folder), n)
        browser.close()


if __name__ == "__main__":
    main()
