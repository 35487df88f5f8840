"""The exported page in a real browser, opened from disk: hostile text is shown, does nothing, and can be searched."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Screen
from tests.browser.strip_app import HOSTILE, TEXT, split
from ui.components.strip_export import strip_html
from ui.components.token_strip import Row, Strip

BOTH_THEMES = pytest.mark.parametrize("screen", [Screen(theme="light"), Screen(theme="dark")], ids=["light", "dark"])


@pytest.fixture
def exported(tmp_path: Path) -> str:
    pieces = HOSTILE + split(TEXT)
    n = len(pieces)
    strip = Strip(
        pieces=pieces,
        values=np.sin(np.arange(n)),
        value_name="<script>window.hacked=5</script>",
        parts=((3, 9, '<img src="https://beacon.example/p" onerror="window.hacked=6">'),),
        events=(40,),
        targets=frozenset({39}),
        text_start=2,
        rows=(Row(name="P(next is a keyword)", values=np.cos(np.arange(n)), value_range=(-1, 1), unit="%"),),
    )
    file = tmp_path / "attribution.html"
    page = strip_html(strip, title="![x](https://beacon.example/t)", note="</p><script>window.hacked=7</script>")
    file.write_text(page, "utf-8")
    return file.as_uri()


def watch_files(faults: list[str]) -> list[str]:
    """What went wrong, the file itself not counting as a request that leaves the machine."""
    return [fault for fault in faults if "file://" not in fault]


@BOTH_THEMES
def test_the_exported_page_works_offline_and_runs_nothing_of_the_text(
    page: Page, exported: str, faults: list[str]
) -> None:
    page.context.set_offline(True)
    page.goto(exported)
    tokens = page.locator(".t")
    expect(tokens.nth(0)).to_have_text("<script>window.hacked=1</script>")
    assert tokens.nth(1).text_content() == HOSTILE[1]
    assert page.evaluate("window.hacked") is None
    assert page.locator("img, iframe, .t style, .t script").count() == 0
    tokens.nth(45).click()
    expect(page.locator(".status")).to_contain_text("Pinned")
    page.get_by_label("Find in the text").fill("thirty-six")
    expect(page.locator(".search")).to_contain_text("1 of")
    expect(page.locator(".t.found")).to_have_count(1)
    page.get_by_role("listbox").focus()
    page.keyboard.press("Home")
    page.keyboard.press("e")
    page.keyboard.press("Enter")
    expect(page.locator(".status")).to_contain_text("token 40")
    assert (
        page.locator(".t").nth(50).evaluate("(n) => getComputedStyle(n).backgroundImage").startswith("linear-gradient")
    )
    faults[:] = watch_files(faults)


def test_an_exported_reader_fills_the_window_and_its_rail_works_offline(
    page: Page, tmp_path: Path, faults: list[str], screen: Screen
) -> None:
    pieces = split(TEXT) * 8
    starts = (0, *(i + 1 for i, piece in enumerate(pieces[:-1]) if piece.endswith(".")))
    strip = Strip(pieces=pieces, values=np.sin(np.arange(len(pieces))), value_name="wave", sentences=starts)
    file = tmp_path / "reader.html"
    file.write_text(strip_html(strip, title="A reader", note="A note"), "utf-8")
    page.context.set_offline(True)
    page.goto(file.as_uri())
    tokens = page.locator(".t")
    expect(tokens.last).not_to_be_in_viewport()
    box = page.locator(".tokens").bounding_box()
    assert box is not None
    assert screen.height / 2 < box["height"] < screen.height
    assert box["y"] + box["height"] < screen.height
    page.get_by_role("slider", name="Place in the text").focus()
    page.keyboard.press("End")
    expect(tokens.last).to_be_in_viewport()
    faults[:] = watch_files(faults)
