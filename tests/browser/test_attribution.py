"""The attribution page in a real browser, on a tiny pair: click, switch, keyboard, line, a lasting computation."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from playwright.sync_api import Locator, Page, expect

from core.directions.direction import Direction
from core.directions.folder import DirectionFolder
from core.settings import MODEL_ROOTS
from tests.browser.conftest import Screen, Server, running, settled
from tests.page_helpers import save_tiny_pair

BOTH_THEMES = pytest.mark.parametrize("screen", [Screen(), Screen(theme="dark")], ids=["light", "dark"])
LINES = """(nodes) => {
  const box = nodes[0].closest('.tokens').getBoundingClientRect();
  const bottom = Math.min(box.bottom, innerHeight);
  const tops = nodes.flatMap((node) => [...node.getClientRects()]);
  return new Set(tops.filter((r) => r.top >= box.top - 1 && r.bottom <= bottom + 1).map((r) => Math.round(r.top))).size;
}"""
"""How many lines of tokens are in sight."""
PRESS = """(name) => new Promise((done) => {
  const button = [...document.querySelectorAll('[role=radio]')].find((one) => one.textContent.trim() === name);
  const begun = performance.now();
  const look = () => {
    if (button.isConnected && button.getAttribute('aria-checked') === 'true') done(performance.now() - begun);
    else requestAnimationFrame(look);
  };
  button.click();
  look();
})"""
"""Milliseconds from a click on a switch to its pressed state."""
TEXT = (
    "The sum of 3 and 4 is 8. Wait, let me check this again. The sum of 3 and 4 is 7.\n"
    "<img src=x onerror='window.hacked=1'> ![x](https://beacon.example/y.png) So the answer is 7."
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    root = tmp_path_factory.mktemp("pair")
    pair = save_tiny_pair(root)
    raw = np.random.default_rng(0).standard_normal(32).astype(np.float32)
    DirectionFolder(root / "cache").save(Direction.from_raw(raw, name="![x](https://beacon.example/z)", layer=1))
    env = {
        "RETRACE_PAIR": f"{pair.base.repo_id},{pair.reasoner.repo_id}",
        "RETRACE_PRECISION": "fp32",
        MODEL_ROOTS: str(root),
    }
    with running("app.py", root / "cache", env) as started:
        yield started


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
    start = page.get_by_role("button", name=re.compile("^(Compute|Read (?!this text))"))
    title = page.locator(".scale strong", has_text=re.compile("radient"))
    expect(start.or_(title).first).to_be_visible(timeout=60_000)
    if start.count():
        start.first.click()
    expect(title).to_be_visible(timeout=60_000)
    assert any(magnitudes(tokens))


def embedded(serve: Callable[..., Server], page: Page) -> Locator:
    """The page as it opens on the pair that comes with the project; its tokens."""
    page.goto(serve("app.py").url)
    page.get_by_role("link", name="Token attribution").click()
    expect(page.locator(".t").first).to_be_visible(timeout=180_000)
    settled(page)
    expect(page.get_by_text("Pinned token", exact=True)).to_be_visible()
    return page.locator(".t")


@BOTH_THEMES
def test_twelve_lines_and_the_pinned_panel_are_on_the_first_screen(
    serve: Callable[..., Server], page: Page, screen: Screen
) -> None:
    embedded(serve, page)
    expect(page.get_by_text("the strongest sentence before the first event")).to_be_visible()
    assert page.locator(".t").evaluate_all(LINES) >= 12
    page.wait_for_timeout(500)
    for element in (
        page.get_by_text("Pinned token", exact=True),
        page.get_by_test_id("stMetric"),
        page.locator(".foot"),
    ):
        box = element.first.bounding_box()
        assert box is not None
        assert 0 < box["y"] < box["y"] + box["height"] <= screen.height
    assert page.locator(".t.pinned").evaluate_all(LINES) == 1


def test_the_rail_goes_to_any_place_by_click_and_by_key_and_says_where_one_is(
    serve: Callable[..., Server], page: Page
) -> None:
    tokens = embedded(serve, page)
    rail = page.get_by_role("slider", name="Place in the text")
    page.wait_for_timeout(500)
    box = rail.bounding_box()
    assert box is not None
    rail.click(position={"x": box["width"] / 2, "y": box["height"] - 2})
    expect(tokens.last).to_be_in_viewport()
    before = int(rail.get_attribute("aria-valuenow") or 0)
    rail.focus()
    page.keyboard.press("Home")
    expect(tokens.first).to_be_in_viewport()
    expect(rail).to_have_attribute("aria-valuenow", "0")
    page.keyboard.press("End")
    expect(tokens.last).to_be_in_viewport()
    assert int(rail.get_attribute("aria-valuenow") or 0) == before > 0
    assert page.locator(".rail .tick").count() >= 1


def test_method_and_layer_keep_the_place_and_are_answered_at_once(serve: Callable[..., Server], page: Page) -> None:
    tokens = embedded(serve, page)
    pinned = tokens.nth(90)
    pinned.click()
    position(page, 90)
    page.locator(".tokens").evaluate("(box) => { box.scrollTop = 60; }")
    first_label = page.locator(".card").first.get_attribute("aria-label")
    scale, place = page.locator(".scale strong"), "(box) => box.scrollTop"
    assert page.evaluate(PRESS, "Cosine") < 100
    expect(scale).to_have_text(re.compile("^Cosine"))
    assert page.evaluate(PRESS, "Gradient") < 100
    expect(scale).to_have_text(re.compile("^Gradient"), timeout=60_000)
    slider = page.get_by_role("slider", name="Layer that is read")
    slider.focus()
    page.keyboard.press("ArrowRight")
    expect(scale).to_have_text(re.compile("layer 2"))
    settled(page)
    assert page.locator(".tokens").evaluate(place) == 60
    expect(pinned).to_have_attribute("aria-selected", "true")
    assert page.locator(".card").first.get_attribute("aria-label") != first_label
