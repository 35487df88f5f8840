"""Experiments in a real browser, as a new user goes: own traces and questions, Run, Stop, a figure in a folder."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from core.settings import MODEL_ROOTS
from tests.browser.conftest import Server, settled
from tests.page_helpers import save_tiny_pair

LABELLED = (
    '["deduction"]The sum of 3 and 4 is 8.["end-section"] ["backtracking"]Wait, let me check this again. The answer '
    'is 7.["end-section"]'
)
TEXT = re.sub(r'\["[a-z-]+"\]', "", LABELLED)
HOSTILE = "What is <img src=x onerror='window.hacked=1'> ![x](https://beacon.example/x.png) and 3?"


@pytest.fixture
def server(
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    fresh_server: Callable[..., AbstractContextManager[Server]],
) -> Iterator[Server]:
    """A server with a tiny pair, and nothing else that is the user's."""
    root = tmp_path_factory.mktemp("pair")
    pair = save_tiny_pair(root)
    env = {
        "RETRACE_PAIR": f"{pair.base.repo_id},{pair.reasoner.repo_id}",
        "RETRACE_PRECISION": "fp32",
        "OMP_NUM_THREADS": "1",
        MODEL_ROOTS: str(root),
    }
    with fresh_server("app.py", **env) as running:
        yield running


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def forgive(faults: list[str]) -> None:
    """On a deep link Streamlit's own start looks for its endpoints below the page's path and gets a 404.

    A page that is closed may tell of what it could no longer send.
    """
    faults[:] = [fault for fault in faults if "404 (Not Found)" not in fault and "when disconnected from" not in fault]


def import_traces(page: Page, server: Server, folder: Path) -> None:
    """From the first page to labelled traces of the user's own."""
    rows = [{"question": f"What is {i} + 4?", "full_response": TEXT, "annotated_response": LABELLED} for i in range(4)]
    (folder / "mine.json").write_text(json.dumps(rows), "utf-8")
    page.goto(server.url)
    page.get_by_role("link", name="Traces").click()
    page.get_by_role("button", name="Import").click()
    with page.expect_response(lambda response: "upload_file" in response.url):
        page.locator("input[type=file]").set_input_files(folder / "mine.json")
    expect(page.get_by_text("mine.json")).to_be_visible()
    settled(page)
    page.get_by_role("button", name="Import", exact=True).last.click()
    expect(page.get_by_text("Import report: 4 traces from 4 records")).to_be_visible(timeout=60_000)


def begin(page: Page, server: Server, questions: Path) -> None:
    """From a trace file to a running experiment on the user's own questions."""
    import_traces(page, server, questions.parent)
    page.get_by_role("link", name="Experiments").click()
    expect(page.get_by_role("button", name="Run", exact=True)).to_be_enabled(timeout=180_000)
    page.get_by_text("upload", exact=True).click()
    page.locator("input[type=file]").set_input_files(questions)
    expect(page.get_by_text("questions.txt: 8 questions")).to_be_visible()
    expect(page.get_by_text(re.compile("points in .* new tokens"))).to_be_visible()
    settled(page)
    press(page, "Run")
    expect(page.get_by_role("button", name="Stop", exact=True).last).to_be_visible()


@pytest.mark.slow
def test_from_own_questions_to_a_figure_in_a_folder(
    page: Page, server: Server, faults: list[str], tmp_path: Path
) -> None:
    questions = tmp_path / "questions.txt"
    questions.write_text("\n".join([HOSTILE, *(f"What is {i} times 3?" for i in range(7))]), "utf-8")
    begin(page, server, questions)
    main = page.get_by_test_id("stMain")
    main.get_by_role("button", name="Stop", exact=True).click()
    stopped = main.get_by_text(re.compile(r"\d+ of \d+ points are measured|Not begun"))
    expect(stopped).to_be_visible(timeout=120_000)
    address = page.url
    assert "experiment=" in address
    main.get_by_role("button", name=re.compile("^(Go on|Run)$")).click()
    expect(main.get_by_text("Effect.")).to_be_visible(timeout=120_000)
    expect(main.get_by_text("The texts behind a point")).to_be_visible(timeout=300_000)
    expect(main.get_by_role("button", name="Go on", exact=True)).to_have_count(0)
    expect(main.get_by_text("Specific.")).to_be_visible()
    settled(page)
    with page.expect_download() as started:
        main.get_by_role("button", name="SVG").first.click()
    kept = tmp_path / "figures" / started.value.suggested_filename
    started.value.save_as(kept)
    assert kept.read_text("utf-8").startswith("<svg")
    with page.expect_download() as started:
        main.get_by_role("button", name="Report", exact=True).click()
    started.value.save_as(tmp_path / "report.html")
    assert "<img src=x" not in (tmp_path / "report.html").read_text("utf-8")
    page.goto(address)
    expect(main.get_by_text("The texts behind a point")).to_be_visible(timeout=60_000)
    assert not page.evaluate("window.hacked")
    forgive(faults)


@pytest.mark.slow
def test_closing_the_browser_does_not_stop_an_experiment(
    new_page: Callable[[], Page], server: Server, faults: list[str], tmp_path: Path
) -> None:
    questions = tmp_path / "questions.txt"
    questions.write_text("\n".join(f"What is {i} times 3?" for i in range(8)), "utf-8")
    first = new_page()
    begin(first, server, questions)
    first.close()
    second = new_page()
    second.wait_for_timeout(2000)
    second.goto(f"{server.url}/experiments")
    main = second.get_by_test_id("stMain")
    expect(main.get_by_text(re.compile("LIVE|The texts behind a point")).first).to_be_visible(timeout=120_000)
    forgive(faults)
