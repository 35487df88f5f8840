"""The traces page in a real browser, on a tiny pair: hostile files by path, the window, a correction, a stop."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from core.settings import DATA_ROOTS, MODEL_ROOTS
from core.traces.sets import TraceFolder
from tests.browser.conftest import Server, scrolled_to
from tests.page_helpers import save_tiny_pair

HOSTILE = "![x](https://beacon.example/x.png)<img src=x onerror='window.hacked=1'>\u202e\x00"
TEXT = f"Okay, so {HOSTILE} I think that it is five, as it seems to me at first. Wait, that is wrong. It is four."
ANNOTATED = (
    f'["initializing"]Okay, so {HOSTILE}["end-section"]'
    '["<b>odd</b>"]I think that it is five, as it seems to me at first.["end-section"]'
    '["backtracking"]Wait, that is wrong.["end-section"]["deduction"]Gone.["end-section"]'
)
CHAIN = {
    "task_id": HOSTILE,
    "problem": f"What is two plus two? {HOSTILE}",
    "reasoning_chain": TEXT,
    "annotated_chain": ANNOTATED,
}


@pytest.fixture
def server(
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    fresh_server: Callable[..., AbstractContextManager[Server]],
) -> Iterator[Server]:
    root = tmp_path_factory.mktemp("pair")
    pair = save_tiny_pair(root)
    data = tmp_path / "data"
    data.mkdir()
    (data / "hostile.json").write_text(json.dumps([CHAIN, CHAIN, {"problem": "no text"}]), "utf-8")
    with (data / "large.jsonl").open("w") as file:
        file.writelines(json.dumps({"prompt": f"{i}?", "text": f"Text {i}. " * 40}) + "\n" for i in range(120_000))
    env = {
        "RETRACE_PAIR": f"{pair.base.repo_id},{pair.reasoner.repo_id}",
        "RETRACE_PRECISION": "fp32",
        MODEL_ROOTS: str(root),
        DATA_ROOTS: str(data),
    }
    with fresh_server("app.py", **env) as running:
        yield running


def import_file(page: Page, name: str) -> None:
    page.get_by_role("button", name="Import").click()
    page.get_by_text("From a data folder", exact=True).click()
    field = page.get_by_role("combobox", name="A file below a data folder")
    field.click()
    page.get_by_role("option", name=name).click()
    expect(page.get_by_placeholder(name.split(".")[0])).to_be_visible(timeout=90_000)
    page.get_by_role("button", name="Import", exact=True).last.click()


def open_page(page: Page, server: Server) -> None:
    page.set_default_timeout(90_000)
    page.goto(server.url)
    page.get_by_role("link", name="Traces").click()
    expect(page.get_by_role("cell", name="whole set")).to_be_visible(timeout=180_000)


def test_a_stopped_import_and_then_from_a_messy_file_to_a_corrected_part(server: Server, page: Page) -> None:
    open_page(page, server)
    import_file(page, "large.jsonl")
    page.get_by_role("button", name="Stop", exact=True).last.click(timeout=90_000)
    expect(page.get_by_text("Nothing of it was kept")).to_be_visible(timeout=90_000)
    assert TraceFolder(server.cache).list() == []
    assert [path.name for path in (server.cache / "traces").iterdir() if not path.name.startswith("embedded")] == []

    import_file(page, "hostile.json")
    expect(page.get_by_text("1 trace from 3 records, 3 of 4 parts placed")).to_be_visible(timeout=90_000)
    tokens = page.locator(".t")
    expect(page.locator("[data-mark=event]").first).to_be_visible(timeout=90_000)
    expect(page.locator(".t[data-window]")).to_have_count(6)
    expect(page.get_by_test_id("stText").filter(has_text="<img src=x onerror")).to_be_visible()
    expect(page.locator(".chip", has_text="RLO")).to_have_count(1)
    expect(page.locator(".chip", has_text="NUL")).to_have_count(1)
    assert page.evaluate("window.hacked") is None
    assert page.locator("a[href*='beacon']").count() == 0

    page.get_by_role("spinbutton", name="Last", exact=True).fill("-10")
    page.get_by_role("spinbutton", name="Last", exact=True).press("Enter")
    expect(page.locator(".t[data-window]")).to_have_count(4, timeout=90_000)
    event = page.locator(".t[data-mark=event]").first
    label = page.get_by_role("combobox", name="Label of the part")
    expect(label).to_have_value("backtracking")
    scrolled_to(label)
    label.click()
    page.get_by_role("option", name="deduction").click()
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("backtracking → deduction", exact=False).first).to_be_visible(timeout=90_000)
    expect(event).to_have_count(0)
    (saved,) = TraceFolder(server.cache).list()
    assert saved.counts == {"<b>odd</b>": 1, "deduction": 1, "initializing": 1}
    page.get_by_role("button", name="Undo").click()
    expect(event).to_be_visible(timeout=90_000)
    expect(tokens.first).to_be_visible()
    expect(page).to_have_url(re.compile("last=-10"))
