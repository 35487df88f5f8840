"""The extraction page in a real browser, on a tiny pair: from an uploaded file to a saved direction."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from core.directions.folder import DirectionFolder
from core.settings import MODEL_ROOTS
from tests.browser.conftest import HOME, Screen, Server, running, settled
from tests.extraction.test_passes import make_traces
from tests.page_helpers import save_tiny_pair

BOTH_THEMES = pytest.mark.parametrize("screen", [Screen(), Screen(theme="dark")], ids=["light", "dark"])
PRESS = """() => new Promise((done) => {
  const button = [...document.querySelectorAll('button')].find((one) => one.textContent.trim() === 'Extract');
  const begun = performance.now();
  const look = () => {
    const bar = document.querySelector('[data-testid=stMain] [data-testid=stProgress]');
    if (bar) done([performance.now() - begun, bar.getBoundingClientRect().bottom]);
    else requestAnimationFrame(look);
  };
  button.click();
  look();
})"""
"""Milliseconds from a click on Extract to its progress, and where that ends on the screen."""
HOSTILE = "![x](https://beacon.example/x.png)<img src=x onerror='window.hacked=1'>"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    root = tmp_path_factory.mktemp("pair")
    pair = save_tiny_pair(root)
    env = {
        "RETRACE_PAIR": f"{pair.base.repo_id},{pair.reasoner.repo_id}",
        "RETRACE_PRECISION": "fp32",
        MODEL_ROOTS: str(root),
    }
    with running("app.py", root / "cache", env) as started:
        yield started


@pytest.fixture
def trace_file(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Traces that no other test has extracted from."""
    rows = [
        {
            "prompt": f"{trace.prompt} {request.node.name}",
            "text": trace.text,
            "parts": [asdict(part) for part in trace.parts],
        }
        for trace in make_traces()
    ]
    path = tmp_path / "own.jsonl"
    path.write_text("\n".join([*map(json.dumps, rows), HOSTILE]), "utf-8")
    return path


@pytest.fixture
def chart(server: Server, trace_file: Path, page: Page) -> Locator:
    """The page with its map, from traces that were uploaded; the cells of the map."""
    page.goto(server.url)
    page.get_by_role("link", name="Extraction").click()
    expect(page.get_by_text("Upload a file", exact=True)).to_be_visible(timeout=180_000)
    page.get_by_text("Upload a file", exact=True).click()
    uploader = page.get_by_test_id("stFileUploader").filter(has_text="Traces as JSON Lines")
    uploader.locator("input[type=file]").set_input_files(trace_file)
    expect(page.get_by_text("5 traces of own.jsonl are in use")).to_be_visible(timeout=30_000)
    page.get_by_role("button", name=re.compile("Layers 0–2, offsets")).click()
    expect(page.get_by_role("spinbutton", name="First offset")).to_have_value("-40")
    for label, value in (("First offset", "-16"), ("Last offset", "2")):
        page.get_by_role("spinbutton", name=label).fill(value)
        page.get_by_role("spinbutton", name=label).press("Enter")
    expect(page.get_by_text("3 layers × 20 windows")).to_be_visible(timeout=30_000)
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Extract", exact=True).click()
    expect(page.get_by_text("LIVE", exact=True)).to_be_visible(timeout=60_000)
    return page.get_by_test_id("stVegaLiteChart").locator("svg.marks .mark-rect path[aria-label]")


def name(page: Page) -> Locator:
    """The name of the chosen direction; while the page changes, its old field stays behind the new one for a moment."""
    return page.get_by_label("Name", exact=True).first


def test_the_window_moves_by_keyboard_and_the_card_follows(chart: Locator, page: Page) -> None:
    expect(name(page)).to_have_value("backtracking · base · layer 1 · -13..-8")
    page.get_by_role("slider", name="Window: offsets").last.focus()
    page.keyboard.press("ArrowRight")
    expect(name(page)).to_have_value("backtracking · base · layer 1 · -13..-7", timeout=30_000)
    page.get_by_role("button", name="The paper's").click()
    expect(name(page)).to_have_value("backtracking · base · layer 1 · -13..-8", timeout=30_000)


def test_the_map_survives_a_page_switch_and_comes_back_from_the_store(chart: Locator, page: Page) -> None:
    expect(chart.first).to_be_visible()
    page.get_by_role("link", name="Home").click()
    expect(page.get_by_role("heading", name=HOME, exact=True)).to_be_visible()
    page.get_by_role("link", name="Extraction").click()
    expect(name(page)).to_have_value("backtracking · base · layer 1 · -13..-8", timeout=30_000)
    page.get_by_role("button", name="Extract", exact=True).click()
    expect(page.get_by_text("CACHED", exact=True)).to_be_visible(timeout=30_000)


@BOTH_THEMES
def test_extract_answers_in_sight_and_the_map_is_on_the_first_screen(
    fresh_server: Callable[..., AbstractContextManager[Server]], page: Page, screen: Screen
) -> None:
    with fresh_server("app.py") as server:
        page.goto(server.url)
        page.get_by_role("link", name="Extraction").click()
        expect(page.get_by_role("button", name="Extract", exact=True)).to_be_visible(timeout=180_000)
        settled(page)
        seconds, bottom = page.evaluate(PRESS)
        sys.stdout.write(f"{screen.theme}: progress after {seconds:.0f} ms\n")
        assert seconds < 400  # 0.1 s on a machine that does nothing else
        assert bottom < screen.height
        chart = page.get_by_test_id("stVegaLiteChart").first
        expect(chart).to_be_visible(timeout=180_000)
        settled(page)
        box = chart.bounding_box()
        assert box is not None
        assert 0 < box["y"] < box["y"] + box["height"] < screen.height
        expect(page.get_by_text("which the recorded experiment on this pair found to steer best")).to_be_attached()
        page.goto("about:blank")


def window_of(page: Page) -> list[int]:
    """The ends of the ruler's window."""
    ends = page.get_by_role("slider", name=re.compile("^(First|Last) offset of the window"))
    return [int(end.get_attribute("aria-valuenow") or 0) for end in ends.all()]


def test_the_ruler_is_dragged_and_moved_by_keys_and_hands_its_window_over(chart: Locator, page: Page) -> None:
    cells = page.locator(".ruler .cell")
    expect(cells.first).to_be_visible()
    settled(page)
    cells.first.scroll_into_view_if_needed()
    assert window_of(page) == [-13, -8]

    def centre(offset: int) -> tuple[float, float]:
        box = page.locator(f".cell[data-offset='{offset}']").bounding_box()
        assert box is not None
        return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    page.mouse.move(*centre(-8))
    page.mouse.down()
    page.mouse.move(*centre(-5), steps=4)
    assert window_of(page) == [-13, -5]
    page.mouse.up()
    expect(page.get_by_text(re.compile(r"^Window -13\.\.-5 at layer 1: separation"))).to_be_visible()
    first = page.get_by_role("slider", name="First offset of the window")
    first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(page.get_by_text(re.compile(r"^Window -11\.\.-5 at layer 1: separation"))).to_be_visible()
    expect(page.get_by_text("Steering with it: not measured")).to_be_visible()
    expect(first).to_be_focused()
    expect(name(page)).to_have_value("backtracking · base · layer 1 · -13..-8")
    page.get_by_role("button", name="Use this window").click()
    expect(name(page)).to_have_value("backtracking · base · layer 1 · -11..-5", timeout=30_000)
    page.get_by_role("button", name="Extract", exact=True).click()
    expect(page.get_by_text("3 layers × 21 windows")).to_be_visible(timeout=60_000)


@pytest.mark.parametrize("screen", [Screen(touch=True)])
def test_the_ruler_is_tapped(chart: Locator, page: Page) -> None:
    cell = page.locator(".cell[data-offset='-4']")
    expect(cell).to_be_visible()
    settled(page)
    cell.tap()
    expect(page.get_by_text(re.compile(r"^Window -13\.\.-4 at layer 1"))).to_be_visible()


def test_from_form_to_saved_direction(chart: Locator, server: Server, page: Page) -> None:
    expect(name(page)).to_have_value("backtracking · base · layer 1 · -13..-8")
    cell = chart.and_(page.locator("[aria-label*='layer: 2;'][aria-label*='window: -3;']")).first
    cell.click()
    expect(name(page)).to_have_value("backtracking · base · layer 2 · -3", timeout=30_000)
    page.get_by_role("combobox", name="Layer").click()
    page.get_by_role("option", name="0", exact=True).click()
    expect(name(page)).to_have_value("backtracking · base · layer 0 · -3", timeout=30_000)
    cell.click()
    expect(name(page)).to_have_value("backtracking · base · layer 2 · -3", timeout=30_000)

    name(page).fill(HOSTILE)
    name(page).press("Enter")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("It is kept until you delete it")).to_be_visible()
    (saved,) = DirectionFolder(server.cache).list()
    assert (saved.direction.layer, saved.direction.name) == (2, HOSTILE)
    assert page.evaluate("window.hacked") is None
    with page.expect_download() as download:
        page.get_by_role("button", name="Download", exact=True).click()
    assert download.value.suggested_filename.endswith(".safetensors")

    page.get_by_role("button", name="Make its controls").click()
    page.get_by_role("button", name=re.compile("Save these [0-9]+ controls")).click()
    expect(page.get_by_text("each names its direction")).to_be_visible(timeout=30_000)
    page.get_by_role("link", name="Try it in the playground").click()
    expect(page).to_have_url(re.compile("/playground"))
