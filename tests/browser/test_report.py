"""The report of an experiment, opened from a file as its reader does."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.experiments.outcomes import cell_of, outcome, plan
from ui.figures.report import report_html

EVIL = "<script>document.title = 'run'</script><img src=x onerror=\"document.title = 'run'\">"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report whose title, names, texts and notes are hostile."""
    points = tuple(dataclasses.replace(p, name=EVIL) if p.kind == "label" else p for p in outcome().reported)
    made = outcome(plan=plan(title=EVIL, label=EVIL), reported=points, notes=(EVIL,), provenance=((EVIL, EVIL),))
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(report_html(made, cells=cell_of(lambda question: EVIL + question)), "utf-8")
    return path


@pytest.fixture(params=[("light", 1280), ("dark", 1280), ("light", 390), ("dark", 390)], ids=str)
def opened(request: pytest.FixtureRequest, browser: Browser, report: Path) -> Iterator[tuple[Page, list[str]]]:
    theme, width = request.param
    context = browser.new_context(color_scheme=theme, viewport={"width": width, "height": 800})
    page, asked = context.new_page(), list[str]()
    page.on("request", lambda found: asked.append(found.url))
    page.goto(report.as_uri())
    page.wait_for_function("[...document.images].every(image => image.complete)")
    yield page, asked
    context.close()


def test_it_opens_offline_runs_nothing_and_fits_its_window(opened, report):
    page, asked = opened
    assert [url for url in asked if not url.startswith("data:")] == [report.as_uri()]
    assert page.title().startswith("<script>")
    assert page.evaluate("document.scripts.length") == 0
    assert page.evaluate("[...document.images].every(image => image.naturalWidth > 0)")
    for details in page.locator("summary").all():
        details.click()
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]
    assert EVIL in page.locator("h1").inner_text()


def test_charts_are_of_the_theme_and_width_of_the_reader(opened):
    page, _ = opened
    dark = page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    image = page.locator("figure img").first
    drawn = image.evaluate("i => atob(i.currentSrc.split(',')[1])")
    assert ('fill="#10151c"' in drawn) is dark
    assert image.evaluate("i => i.naturalWidth") == (340 if page.viewport_size["width"] == 390 else 620)
