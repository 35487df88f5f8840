"""The labelling page in a real browser: from two labellings to a sentence, and a judge's labels saved."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from core.settings import JUDGE_KEY, JUDGE_MODEL, JUDGE_URL
from core.traces.sets import TraceFolder
from core.values import Trace
from tests.browser.conftest import Server
from tests.browser.tiny_server import prepare
from tests.judge_stub import KEY, Stub, running, well

TEXTS = [
    "We add two. Wait, that is wrong. It is 4.",
    "We add <img src=x onerror='window.hacked=1'> three. Hmm, is it? It is 5.",
]


@pytest.fixture
def stub() -> Iterator[Stub]:
    with running(well) as stub:
        yield stub


@pytest.fixture
def server(tmp_path: Path, fresh_server: Callable[..., AbstractContextManager[Server]], stub: Stub) -> Iterator[Server]:
    env = prepare(tmp_path) | {JUDGE_URL: stub.url, JUDGE_MODEL: "judge-1", JUDGE_KEY: KEY}
    folder = TraceFolder(tmp_path / "cache")
    folder.save([Trace(trace_id=f"t{i}", prompt="p", text=text) for i, text in enumerate(TEXTS)], name="mine")
    with fresh_server("app.py", **env) as running_server:
        yield running_server


def choose(page: Page, label: str, option: str) -> None:
    page.get_by_role("combobox", name=label).click()
    page.get_by_role("option", name=option).click()


def test_a_judges_labels_are_compared_down_to_the_sentence(server: Server, stub: Stub, page: Page) -> None:
    page.set_default_timeout(90_000)
    page.goto(server.url)
    page.get_by_test_id("stSidebarNav").get_by_text("Labelling").click(timeout=60_000)
    page.get_by_role("radio", name="Judge").click(timeout=180_000)
    choose(page, "Trace set", "mine · 2 traces")
    expect(page.get_by_text("a key is set")).to_be_visible(timeout=180_000)
    page.get_by_role("button", name="Ask the judge").click()
    expect(page.get_by_text("6 of 6 sentences have a label")).to_be_visible(timeout=180_000)
    page.get_by_role("button", name="Save the labelling").click()
    expect(page.get_by_text("The judge's labelling is saved")).to_be_visible(timeout=180_000)
    assert len(stub.asked) == 2
    assert KEY not in page.content()
    assert KEY not in page.url

    page.get_by_role("radio", name="Agreement").click()
    cells = page.get_by_test_id("stVegaLiteChart").locator("svg.marks .mark-rect path[aria-label]")
    cells.and_(page.locator("[aria-label*='reference: deduction;'][aria-label*='other: no label;']")).first.click()
    expect(page.get_by_text(": deduction in the reference, no label in the other")).to_be_visible(timeout=180_000)
    cells.and_(page.locator("[aria-label*='reference: deduction;'][aria-label*='other: backtracking;']")).first.click()
    expect(page.get_by_text("1 sentence: deduction in the reference, backtracking in the other")).to_be_visible()
    page.get_by_test_id("stDataFrame").first.click(position={"x": 18, "y": 54})
    expect(page.get_by_text(TEXTS[1].split("Hmm")[0].strip(), exact=True)).to_be_visible(timeout=30_000)
    assert page.evaluate("window.hacked") is None
    page.get_by_role("button", name="Read it in its trace").click()
    expect(page).to_have_url(re.compile("/traces"))
    log = server.log.read_bytes()
    assert KEY.encode() not in log
    assert all(KEY.encode() not in path.read_bytes() for path in server.cache.rglob("*") if path.is_file())
