"""The attribution page in a real browser, on a tiny pair: click, switch, keyboard, line, a lasting computation."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Locator, Page, expect

from core.directions.direction import Direction
from core.directions.folder import DirectionFolder
from core.settings import MODEL_ROOTS
from tests.browser.conftest import Server
from tests.page_helpers import save_tiny_pair

TEXT = (
    "The sum of 3 and 4 is 8. Wait, let me check this again. The sum of 3 and 4 is 7.\n"
    "<img src=x onerror='window.hacked=1'> ![x](https://beacon.example/y.png) So the answer is 7."
)


@pytest.fixture
def server(
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    fresh_server: Callable[..., AbstractContextManager[Server]],
) -> Iterator[Server]:
    root = tmp_path_factory.mktemp("pair")
    pair = save_tiny_pair(root)
    raw = np.random.default_rng(0).standard_normal(32).astype(np.float32)
    DirectionFolder(tmp_path / "cache").save(Direction.from_raw(raw, name="![x](https://beacon.example/z)", layer=1))
    env = {
        "RETRACE_PAIR": f"{pair.base.repo_id},{pair.reasoner.repo_id}",
        "RETRACE_PRECISION": "fp32",
        MODEL_ROOTS: str(root),
    }
    with fresh_server("app.py", **env) as running:
        yield running


@pytest.fixture
def tokens(server: Server, page: Page) -> Locator:
    """The page with a pasted text attributed; its tokens."""
    page.goto(server.url)
    page.get_by_role("link", name="Token attribution").click()
    expect(page.get_by_role("combobox", name="Text")).to_be_visible(timeout=180_000)
    page.get_by_role("combobox", name="Text").click()
    page.get_by_role("option", name="Your own text").click()
    page.get_by_label("Question that it answers").fill("What is 3 plus 4?")
    page.get_by_label("Your text").fill(TEXT)
    page.get_by_role("button", name="Read this text").click()
    expect(page.locator(".t").first).to_be_visible(timeout=60_000)
    return page.locator(".t")


def position(page: Page, token: int) -> None:
    """The panel shows this token."""
    expect(page.get_by_text(re.compile(rf"^Position {token},"))).to_be_visible()


def test_click_and_keyboard(tokens: Locator, page: Page) -> None:
    tokens.nth(40).click()
    position(page, 40)
    expect(tokens.nth(40)).to_have_attribute("aria-selected", "true")

    page.get_by_role("listbox", name="Tokens of the text").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    position(page, 42)
    assert page.evaluate("window.hacked") is None


def magnitudes(tokens: Locator) -> list[str]:
    """How strongly each token is coloured."""
    found: list[str] = tokens.evaluate_all("nodes => nodes.map(node => node.style.getPropertyValue('--m'))")
    return found


def test_reading_and_layer_switch_without_another_pass(tokens: Locator, page: Page) -> None:
    tokens.nth(40).click()
    position(page, 40)
    scale = page.locator(".scale strong")
    expect(scale).to_have_text(re.compile("^Projection, layer 1"))
    seen = [magnitudes(tokens)]
    page.get_by_role("radio", name="Cosine").click()
    expect(scale).to_have_text(re.compile("^Cosine, layer 1"))
    seen.append(magnitudes(tokens))
    slider = page.get_by_role("slider", name="Layer that is read")
    slider.focus()
    page.keyboard.press("ArrowRight")
    expect(scale).to_have_text(re.compile("^Cosine, layer 2"))
    seen.append(magnitudes(tokens))
    page.get_by_role("radio", name="Read-out").click()
    expect(scale).to_have_text(re.compile("^P"))
    expect(slider).to_be_disabled()
    assert len({tuple(one) for one in seen}) == 3
    position(page, 40)


def test_a_reading_that_computes_says_so_and_arrives(tokens: Locator, page: Page) -> None:
    page.get_by_role("radio", name="Gradient").click()
    start = page.get_by_role("button", name=re.compile("^(Compute|Read)"))
    title = page.locator(".scale strong", has_text=re.compile("radient"))
    expect(start.or_(title).first).to_be_visible(timeout=60_000)
    if start.count():
        start.first.click()
    expect(title).to_be_visible(timeout=60_000)
    assert any(magnitudes(tokens))
