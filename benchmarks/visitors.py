"""Many visitors without screens, each with questions of their own, in a process beside the one that measures.

with visitors(url, cookies) as room:  # all of them are in
    room.ask(120.0)
    seen = room.answers()  # by question, the texts of its lanes as they are on the page
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Awaitable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import IO

from benchmarks.light_page import LightPage, open_line

TOKENS, PATIENCE, RETRY_SECONDS = 96, 600.0, 3.0
QUESTION, RUN, STOP, LANES, BUSY = "Question", "Run", "Stop", "retrace_lanes", "The engine is busy"


def question(person: int, n: int) -> str:
    """A question that nobody else asks."""
    return f"Visitor {person} asks question {n}: what is {person + 2} times {n + 3}?"


def settings(person: int) -> dict[str, object]:
    """Of a visitor's playground, no two alike."""
    prompt, seed, dose = f"Visitor {person}", 1000 + person, 5.0 + person
    return {"prompt": prompt, "tokens": TOKENS, "temperature": 0.8, "seed": seed, "coefficient": dose}


@dataclass
class Seen:
    """What visitors got: texts by question, seconds from each change of the question, and from each press on Run, to
    the page, and how often they were told that the engine is busy, and asked again."""

    texts: dict[str, list[str]] = field(default_factory=dict)
    changed: list[float] = field(default_factory=list)
    pressed: list[float] = field(default_factory=list)
    refused: int = 0
    drawn: int = 0
    """How often the server drew for them, a page or a part of one."""


@dataclass
class Visitors:
    """A process with a page for each visitor, all of them open."""

    process: subprocess.Popen[str]

    def ask(self, seconds: float) -> None:
        """Let them begin to ask, each one question after the other until the time is over."""
        _tell(self.process.stdin, seconds)

    def answers(self) -> Seen:
        """What they got, once the last is answered; their pages stay open."""
        assert self.process.stdout is not None
        return Seen(**json.loads(self.process.stdout.readline()))

    def leave(self) -> None:
        """Close their pages."""
        self.process.communicate(timeout=30)


@contextlib.contextmanager
def visitors(url: str, cookies: Sequence[str]) -> Iterator[Visitors]:
    """One visitor for each session of the server's door; "" where it has none."""
    command = [sys.executable, "-m", "benchmarks.visitors"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        _tell(process.stdin, {"url": url, "cookies": list(cookies)})
        assert process.stdout is not None
        assert process.stdout.readline(), "the process of the visitors has ended"
        yield Visitors(process)
    finally:
        process.kill()
        process.wait()


def _tell(to: IO[str] | None, what: object) -> None:
    assert to is not None
    to.write(json.dumps(what) + "\n")
    to.flush()


async def _live(url: str, cookies: Sequence[str]) -> None:
    """Open all pages, then ask for as long as standard input says, and stay until it ends."""
    async with contextlib.AsyncExitStack() as stack, asyncio.TaskGroup() as tasks:
        pages, listening = [], []
        for person, cookie in enumerate(cookies):
            line = await stack.enter_async_context(open_line(url, cookie))
            page = LightPage(line, "playground", settings(person))
            listening.append(tasks.create_task(page.listen()))
            await page.until(partial(_is_open, page), PATIENCE)
            pages.append(page)
        _tell(sys.stdout, "all are in")
        until, seen = float(await asyncio.to_thread(sys.stdin.readline)) + time.monotonic(), Seen()
        await asyncio.gather(*(_visit(person, page, until, seen) for person, page in enumerate(pages)))
        seen.drawn = sum(page.n_begun for page in pages)
        _tell(sys.stdout, vars(seen))
        await asyncio.to_thread(sys.stdin.read)
        for task in listening:
            task.cancel()


def _is_open(page: LightPage) -> bool | None:
    return (page.n_drawn > 0 and page.has_button(RUN)) or None


async def _visit(person: int, page: LightPage, until: float, seen: Seen) -> None:
    """One question after the other."""
    n, lanes = 0, list[str]()
    while n == 0 or time.monotonic() < until:
        await _timed(page.write(QUESTION, question(person, n), PATIENCE), seen.changed)
        await _timed(page.press(RUN, PATIENCE), seen.pressed)
        while (found := await page.until(partial(_outcome, page, lanes), PATIENCE)) == BUSY:
            seen.refused += 1
            await asyncio.sleep(RETRY_SECONDS)
            await _timed(page.press(RUN, PATIENCE), seen.pressed)
        lanes = seen.texts[question(person, n)] = list(found)
        n += 1


async def _timed(drawing: Awaitable[None], seconds: list[float]) -> None:
    began = time.monotonic()
    await drawing
    seconds.append(time.monotonic() - began)


def _outcome(page: LightPage, before: Sequence[str]) -> Sequence[str] | None:
    """BUSY, or the texts of the lanes once nothing runs and all are done, which are others than before.

    What is drawn after a press may have been on its way already, and shows the lanes of the question before.
    """
    if page.says(BUSY):
        return BUSY
    for drawn in () if page.has_button(STOP) else page.drawn_by(LANES):
        lanes = drawn["lanes"]
        assert isinstance(lanes, list)
        texts = ["".join(lane["pieces"]) for lane in lanes]
        if texts != before and all(lane["state"] == "done" for lane in lanes):
            return texts
    return None


if __name__ == "__main__":
    asyncio.run(_live(**json.loads(sys.stdin.readline())))
