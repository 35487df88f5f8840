"""Many visitors at once, each with runs of their own, on the embedded pair: python -m benchmarks.sessions [SESSIONS]

Every session asks another question at another seed and coefficient, so that nothing comes from the store, for two
minutes. Then: are the texts on screen those that the same specs give alone, how long did the server's health check
take meanwhile, and how much memory is left in use when all have closed. One of them is a real browser, the others are
pages without a screen: thirty browsers on one machine would measure themselves.
"""

from __future__ import annotations

import contextlib
import os
import re
import statistics
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.pages import ask, open_playground
from benchmarks.visitors import PATIENCE, RETRY_SECONDS, TOKENS, Visitors, question, settings, visitors
from core.extraction.controls import CONTROL
from core.models.pair import DEMO_PAIR
from core.runs.values import Generation, GenerationSpec
from core.workbench import Workbench
from tests.browser.conftest import FLAGS, find_chromium, running, settled
from ui.playground.plan import DEFAULT_LANES

SESSIONS, SECONDS = 30, 120.0
LANES = len(DEFAULT_LANES)
CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
"""Of this process as it began, whatever it is bound to now."""
STATES_AND_TEXTS = "lanes => lanes.map(lane => ['.state', '.tokens'].map(part => lane.querySelector(part).innerText))"
"""Read at one moment: asked for one after the other, they may be of two questions."""
PROBE_SECONDS, SETTLING_SECONDS, CLOSING_SECONDS = 0.2, 20.0, 130.0
"""Streamlit keeps a session for two minutes after its page has gone, for one that comes back."""


class Health(threading.Thread):
    """Asks the server for its health, again and again, and keeps how long each answer took."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self.url, self.seconds, self.ended = f"{url}/_stcore/health", list[float](), threading.Event()

    def run(self) -> None:
        while not self.ended.wait(PROBE_SECONDS):
            began = time.monotonic()
            with contextlib.suppress(OSError), urllib.request.urlopen(self.url, timeout=30) as reply:
                reply.read()
            self.seconds.append(time.monotonic() - began)


def open_session(browser: Browser, url: str, person: int, *, enter: Callable[[Page], None] = lambda _: None) -> Page:
    """A visitor's playground on a screen, in a browser context of its own; `enter` opens a locked door."""
    page = browser.new_context(viewport={"width": 1280, "height": 720}).new_page()
    page.set_default_timeout(1000 * PATIENCE)
    page.goto(f"{url}/playground?{urllib.parse.urlencode(settings(person))}")
    enter(page)
    page.get_by_role("button", name="Run").first.wait_for()
    settled(page)
    return page


@dataclass
class Visitor:
    """One session on a screen: its page, the question that it waits for, and what its lanes showed before."""

    person: int
    page: Page
    asked: int = -1
    before: list[str] = field(default_factory=list)
    refused: int = 0
    again: float = 0.0
    """When it presses Run again after it was told that the engine is busy."""

    def ask_next(self) -> None:
        self.before, self.asked = self.texts(), self.asked + 1
        ask(self.page, question(self.person, self.asked)).click()

    def texts(self) -> list[str]:
        """What the lanes show."""
        return self.page.locator("section.lane .tokens").all_inner_texts()

    def answer(self) -> list[str] | None:
        """The texts of all lanes once they are done and not those of before; a refused question is asked again.

        Some of them may be: a small model answers two questions alike.
        """
        if self.page.get_by_text("The engine is busy").count():
            if time.monotonic() < self.again:
                return None
            self.refused, self.again = self.refused + 1, time.monotonic() + RETRY_SECONDS
            self.page.get_by_role("button", name="Run", exact=False).first.click()
            return None
        lanes = self.page.locator("section.lane").evaluate_all(STATES_AND_TEXTS)
        found = [text for state, text in lanes if "done" in state]
        is_new = len(found) == LANES and list(map(letters, found)) != list(map(letters, self.before))
        return found if is_new else None


def visit(visitor: Visitor) -> dict[str, list[str]]:
    """Questions until the time is over: by question, the texts of its lanes as they are on screen."""
    seen: dict[str, list[str]] = {}
    until = time.monotonic() + SECONDS
    while not seen or time.monotonic() < until:
        visitor.ask_next()
        while (found := visitor.answer()) is None:
            time.sleep(0.02)
        seen[question(visitor.person, visitor.asked)] = found
    return seen


def visit_together(room: Visitors, visitor: Visitor) -> dict[str, list[str]]:
    """All of them for as long as that, and printed how it went."""
    room.ask(SECONDS)
    on_screen, others = visit(visitor), room.answers()
    print(f"told that the engine is busy, and asked again: {visitor.refused + others.refused} times")
    print(f"drawn for those without a screen {others.drawn} times, pages and parts of them")
    print(f"another question written, {len(others.changed)} times: {summary(others.changed)}")
    print(f"Run pressed, {len(others.pressed)} times: {summary(others.pressed)}", flush=True)
    return on_screen | others.texts


def summary(seconds: Sequence[float]) -> str:
    """Median, p95 and slowest."""
    times = sorted(seconds)
    p95 = times[int(0.95 * len(times))]
    return f"median {statistics.median(times):.2f} s, p95 {p95:.2f} s, slowest {times[-1]:.2f} s"


def letters(text: str) -> str:
    """The text without white space and the marks that stand for it."""
    return re.sub(r"[\s↵␣·]+", "", text)


def wrong_texts(seen: dict[str, list[str]], cache: Path, alone: Path) -> tuple[int, int]:
    """(wrong, all): lanes whose text is not what was stored, or whose spec gives other tokens when it runs alone."""
    kept, bench, wrong, n = Workbench(cache), Workbench(alone), 0, 0
    bench.engine.wait(bench.load_pair(DEMO_PAIR), 120)
    found: dict[str, list[Generation]] = {}
    for run in kept.history.entries(10_000):
        found.setdefault(run.record.generation.spec.prompt.question, []).append(run.record.generation)
    for asked, shown in seen.items():
        stored = sorted(found.get(asked, []), key=lambda run: _place(run.spec))
        again = bench.engine.wait(bench.generate([run.spec for run in stored]), 120).result or ()
        told = [i for i, text in enumerate(shown) if i >= len(stored) or not _same(stored[i], again[i], text)]
        if told:
            print(f"wrong: {asked!r}, lanes {told} of {len(shown)}, {len(stored)} stored: {shown}")
        wrong += len(told)
        n += len(shown)
    kept.store.close()
    bench.store.close()
    return wrong, n


def _place(spec: GenerationSpec) -> int:
    """Of a lane among those of its question: unsteered, steered, control."""
    return sum(1 + (CONTROL in dict(edit.direction.provenance)) for edit in spec.steering)


def _same(stored: Generation, again: Generation, shown: str) -> bool:
    return stored.token_ids == again.token_ids and letters(stored.text) == letters(shown)


@contextlib.contextmanager
def on_core(index: int) -> Iterator[None]:
    """What is started here runs on one core: visitors' browsers are on other machines, so they take none of ours."""
    if not CORES:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {CORES[index]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def main() -> None:
    """Run it, and print what came out."""
    n = int(sys.argv[1]) if len(sys.argv) > 1 else SESSIONS
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        root = Path(folder)
        with on_core(-1):
            browser = playwright.chromium.launch(executable_path=find_chromium(), args=list(FLAGS))
        with on_core(0), running("app.py", root / "cache") as server:
            process = psutil.Process(server.process.pid)
            first = browser.new_page()
            open_playground(first, server, tokens=TOKENS)
            first.close()
            time.sleep(SETTLING_SECONDS)
            before = process.memory_info().rss
            health = Health(server.url)
            health.start()
            with on_core(-1), visitors(server.url, [""] * (n - 1)) as room:
                page = open_session(browser, server.url, n - 1)
                seen = visit_together(room, Visitor(n - 1, page))
                most = process.memory_info().rss
                health.ended.set()
                page.context.close()
                room.leave()
            time.sleep(CLOSING_SECONDS)
            after = process.memory_info().rss
        wrong, checked = wrong_texts(seen, root / "cache", root / "alone")
        browser.close()
    print(f"{n} sessions, {len(seen)} questions: {wrong} of {checked} texts wrong")
    print(f"health, asked {len(health.seconds)} times: {summary(health.seconds)}")
    print(f"memory in MB: {before / 1e6:.0f} before, {most / 1e6:.0f} with them, {after / 1e6:.0f} after", end="")
    print(f" ({after / before - 1:+.0%})")


if __name__ == "__main__":
    main()
