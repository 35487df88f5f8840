"""The token strip and the lanes in a real browser: what is shown, who owns the pin, and that text stays text."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Screen, Server, scrolled_to
from tests.browser.strip_app import HOSTILE

APP = "tests/browser/strip_app.py"
BOTH_THEMES = pytest.mark.parametrize("screen", [Screen(theme="light"), Screen(theme="dark")], ids=["light", "dark"])

VIEW = """() => {
  for (const node of document.querySelectorAll('*')) if (node.shadowRoot?.tokenStrip) return node.shadowRoot.tokenStrip;
}"""

CONTRASTS = """() => {
  const probe = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const over = (colour, ground) => {
    probe.fillStyle = `rgb(${ground})`; probe.fillRect(0, 0, 1, 1);
    probe.fillStyle = colour; probe.fillRect(0, 0, 1, 1);
    return [...probe.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const light = (rgb) => rgb.map((c) => c / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = over(getComputedStyle(document.querySelector('.stApp')).backgroundColor, [255, 255, 255]);
  const contrast = (node) => {
    const style = getComputedStyle(node);
    const fill = over(style.backgroundColor, ground);
    const [a, b] = [light(fill), light(over(style.color, fill))];
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  };
  const view = (VIEW)();
  const found = {};
  for (const sign of ['plus', 'minus']) for (const prompt of [false, true]) {
    const node = view.list.nodes[prompt ? 0 : 30];
    node.dataset.sign = sign; node.style.setProperty('--m', '1');
    found[`${sign}${prompt ? ', prompt' : ''}`] = contrast(node);
  }
  found.chip = contrast(view.root.querySelector('.chip'));
  found.hint = contrast(view.status);
  return found;
}""".replace("VIEW", VIEW)


def tell(*words: object) -> None:
    """A measured figure, for `pytest -s`; never asserted."""
    sys.stdout.write(" ".join(map(str, words)) + "\n")


def open_app(page: Page, serve: Callable[..., Server], query: str) -> Locator:
    """The app's strip (or lanes) once tokens are there."""
    page.goto(f"{serve(APP).url}/?{query}")
    expect(page.locator(".t").first).to_be_visible()
    return page.locator(".t")


def pinned(page: Page, text: str) -> None:
    expect(page.get_by_text(f"pinned: {text}", exact=True)).to_be_visible()


def test_hostile_text_is_shown_and_does_nothing(page: Page, serve: Callable[..., Server]) -> None:
    tokens = open_app(page, serve, "case=hostile&show=strip")
    expect(tokens.nth(0)).to_have_text("<script>window.hacked=1</script>")
    expect(tokens.nth(1)).to_have_text('<img src="https://beacon.example/x.png" onerror="window.hacked=2">')
    expect(tokens.nth(4)).to_have_text("${window.hacked=3}")
    for i in (2, 3, 5, 6, 7, 13, 14, 15, 16, 25, 26):
        assert tokens.nth(i).text_content() == HOSTILE[i]
    assert page.evaluate("window.hacked") is None
    inside = "(tokens) => tokens.flatMap((t) => [...t.querySelectorAll('*')]).map((n) => n.tagName)"
    assert set(tokens.evaluate_all(inside)) == {"SPAN"}


def test_odd_characters_become_chips(page: Page, serve: Callable[..., Server]) -> None:
    tokens = open_app(page, serve, "case=hostile&show=strip")
    chips = {i: tokens.nth(i).locator(".chip").all_text_contents() for i in (8, 9, 10, 11, 12, 19, 27)}
    assert chips[8] == ["RLO", "PDF"]
    assert chips[9] == ["ZWSP", "ZWJ", "WJ"]
    assert chips[10] == ["NUL", "U+0007", "ESC"]
    assert chips[11] == ["U+D800"]
    assert chips[12] == ["⇥", "⇥", "CR", "↵"]
    assert chips[19] == ["… 10,000 characters in all"]
    assert chips[27] == ["↵", "↵"]
    assert tokens.nth(18).text_content() == "<|end_of_sentence|>"
    assert len(tokens.nth(19).text_content() or "") < 300
    assert tokens.nth(8).evaluate("(node) => getComputedStyle(node).unicodeBidi") == "isolate"


def test_click_pins_and_python_knows(page: Page, serve: Callable[..., Server]) -> None:
    tokens = open_app(page, serve, "case=plain&show=strip")
    started = time.perf_counter()
    tokens.nth(20).click()
    pinned(page, "20")
    tell(f"click to Python to page: {time.perf_counter() - started:.2f} s")
    expect(tokens.nth(20)).to_have_attribute("aria-selected", "true")
    tokens.nth(25).click()
    pinned(page, "25")
    expect(page.locator('[aria-selected="true"]')).to_have_count(1)
    tokens.nth(25).click()
    pinned(page, "None")


def test_python_moves_the_pin_and_a_later_click_wins(page: Page, serve: Callable[..., Server]) -> None:
    tokens = open_app(page, serve, "case=plain&show=strip")
    last = tokens.count() - 1
    tokens.nth(20).click()
    pinned(page, "20")
    page.get_by_role("button", name="Jump to the last token").click()
    pinned(page, str(last))
    expect(tokens.nth(last)).to_have_class("t pinned")
    tokens.nth(21).click()
    pinned(page, "21")
    page.get_by_text("probability", exact=True).click()
    expect(page.get_by_text("P(next is a keyword)").first).to_be_visible()
    pinned(page, "21")
    expect(tokens.nth(21)).to_have_class("t pinned")


def test_keyboard_alone(page: Page, serve: Callable[..., Server]) -> None:
    tokens = open_app(page, serve, "case=plain&show=strip")
    box = page.get_by_role("listbox")
    box.focus()
    for key in ("Home", "ArrowRight", "ArrowRight", "ArrowRight", "ArrowLeft"):
        page.keyboard.press(key)
    expect(box).to_have_attribute("aria-activedescendant", "token-2")
    expect(page.locator(".tip")).to_contain_text("token 2 (in the prompt)")
    expect(tokens.nth(2)).to_have_attribute("aria-label", ", ".join(page.locator(".tip div").all_text_contents()))
    page.keyboard.press("Enter")
    pinned(page, "2")
    page.keyboard.press("ArrowDown")
    at = int((box.get_attribute("aria-activedescendant") or "").split("-")[1])
    assert (tokens.nth(at - 1).text_content() or "").rstrip().endswith((".", "?", "!")) or at in edges(tokens)
    page.keyboard.press("End")
    expect(box).to_have_attribute("aria-activedescendant", f"token-{tokens.count() - 1}")
    page.keyboard.press("Escape")
    pinned(page, "None")


def edges(tokens: Locator) -> set[int]:
    """First tokens of the labelled parts in the app."""
    return {tokens.count() * k // 6 for k in range(6)}


@pytest.mark.parametrize("screen", [Screen(width=390, height=844, touch=True)], ids=["phone"])
def test_touch_reads_what_the_tooltip_says(page: Page, serve: Callable[..., Server]) -> None:
    tokens = open_app(page, serve, "case=plain&show=strip")
    tokens.nth(22).tap()
    pinned(page, "22")
    expect(page.get_by_role("status").filter(has_text="Pinned")).to_contain_text("projection: ")
    overflow = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.evaluate(overflow) <= 0


def test_hover_tells_the_value(page: Page, serve: Callable[..., Server]) -> None:
    tokens = open_app(page, serve, "case=plain&show=strip")
    scrolled_to(tokens.nth(30))
    tokens.nth(30).hover()
    expect(page.locator(".tip")).to_be_visible()
    expect(page.locator(".tip")).to_contain_text("projection: ")
    expect(page.locator(".tip")).to_contain_text("token 30 (18 of the text)")
    page.mouse.move(5, 5)
    expect(page.locator(".tip")).to_be_hidden()


def test_recolouring_keeps_the_nodes(page: Page, serve: Callable[..., Server]) -> None:
    tokens = open_app(page, serve, "case=1500&show=strip")
    tokens.nth(40).evaluate("(node) => { node.marked = true; }")
    before = tokens.nth(40).evaluate("(node) => node.style.getPropertyValue('--m')")
    page.get_by_text("probability", exact=True).click()
    expect(page.get_by_text("P(next is a keyword)").first).to_be_visible()
    assert tokens.nth(40).evaluate("(node) => node.marked") is True
    page.get_by_text("none", exact=True).click()
    expect(page.locator(".scale")).to_have_count(0)
    assert tokens.nth(40).evaluate("(node) => [node.marked, node.style.getPropertyValue('--m')]") == [True, ""]
    assert before != ""


@BOTH_THEMES
def test_contrast_of_the_strongest_fill(page: Page, serve: Callable[..., Server], screen: Screen) -> None:
    open_app(page, serve, "case=plain&show=strip")
    ratios = page.evaluate(CONTRASTS)
    tell(screen.theme, {name: round(ratio, 2) for name, ratio in ratios.items()})
    assert min(ratios.values()) >= 6, ratios


def test_pages_past_six_thousand_tokens(page: Page, serve: Callable[..., Server]) -> None:
    tokens = open_app(page, serve, "case=12500&show=strip")
    expect(tokens).to_have_count(6000)
    page.get_by_role("button", name="Next").click()
    expect(page.locator("#token-6000")).to_be_visible()
    page.locator("#token-6003").click()
    pinned(page, "6003")
    page.get_by_role("listbox").focus()
    page.keyboard.press("End")
    expect(page.locator("#token-12499")).to_be_in_viewport()
    expect(tokens).to_have_count(500)
    page.keyboard.press("Home")
    expect(page.locator("#token-0")).to_be_in_viewport()
    page.get_by_role("button", name="Jump to the last token").click()
    pinned(page, "12499")
    inside = "(t) => t.getBoundingClientRect().bottom <= t.parentElement.getBoundingClientRect().bottom"
    assert page.locator("#token-12499").evaluate(inside)


@pytest.mark.parametrize("count", [1500, 6000])
def test_times(page: Page, serve: Callable[..., Server], count: int) -> None:
    frames: list[int] = []
    page.on("websocket", lambda socket: socket.on("framereceived", lambda data: frames.append(len(data))))
    tokens = open_app(page, serve, f"case={count}&show=strip")
    expect(tokens).to_have_count(count)
    timings: dict[str, Any] = page.evaluate(
        """() => {
          const view = (VIEW)();
          const timed = (work) => {
            const start = performance.now(); work(); view.box.getBoundingClientRect();
            return Math.round((performance.now() - start) * 10) / 10;
          };
          const { data, send } = view;
          view.list.sync([]);
          const build = timed(() => view.update({ ...data, stamp: 'a', jump: -1 }, send));
          const values = data.values.map((v) => v && -v);
          const recolour = timed(() => view.update({ ...data, stamp: 'b', values }, send));
          return { build, recolour };
        }""".replace("VIEW", VIEW)
    )
    started = time.perf_counter()
    page.locator("#token-7").click()
    pinned(page, "7")
    tell(f"{count} tokens: message {max(frames):,} bytes, {timings} ms, click {time.perf_counter() - started:.2f} s")


def test_five_thousand_tokens_are_read_fluently(page: Page, serve: Callable[..., Server]) -> None:
    tokens = open_app(page, serve, "case=5000&show=strip&reads=1")
    expect(tokens).to_have_count(5000)
    expect(page.locator(".card")).not_to_have_count(0)
    timings = page.evaluate(
        """async () => {
          const view = (VIEW)();
          const timed = (work) => {
            const start = performance.now(); work(); view.box.getBoundingClientRect();
            return performance.now() - start;
          };
          const { data, send } = view;
          const frame = () => new Promise((done) => requestAnimationFrame(done));
          const other = ['x', ...data.pieces.slice(1)];
          const build = timed(() => view.update({ ...data, pieces: other, stamp: 'a', jump: -1 }, send));
          const values = data.values.map((v) => v && -v);
          const recolours = [];
          for (let k = 0; k < 5; k += 1) {
            const given = { ...data, pieces: other, stamp: `b${k}`, jump: -1, values: k % 2 ? values : data.values };
            recolours.push(timed(() => view.update(given, send)));
            await new Promise((done) => setTimeout(done, 500));
          }
          const recolour = Math.min(...recolours);
          const frames = [];
          for (let k = 0; k < 40; k += 1) {
            const start = performance.now();
            view.box.scrollTop = (view.box.scrollHeight * k) / 40;
            await frame();
            frames.push(performance.now() - start);
          }
          frames.sort((a, b) => a - b);
          return { build, recolour, scroll: frames[20], slowest: frames.at(-1) };
        }""".replace("VIEW", VIEW)
    )
    tell({name: round(value, 1) for name, value in timings.items()})
    assert timings["build"] < 2000
    assert timings["recolour"] < 150
    assert timings["scroll"] < 150


def test_a_text_that_is_exchanged_keeps_its_cards_whole(page: Page, serve: Callable[..., Server]) -> None:
    tokens = open_app(page, serve, "case=plain&show=strip&reads=1")
    n = tokens.count()
    held = page.evaluate(
        """() => {
          const view = (VIEW)();
          const { data, send } = view;
          const shorter = { ...data, pieces: data.pieces.slice(0, 60), values: data.values.slice(0, 60), parts: [] };
          for (const name of ['events', 'window', 'keywords', 'targets', 'sentences']) {
            shorter[name] = data[name].filter((i) => i < 60);
          }
          const seen = (given) => {
            view.update(given, send);
            const groups = [...view.box.children].map((card) => card.querySelectorAll('.t').length);
            return [view.box.querySelectorAll('.t').length, groups.includes(0), groups.length];
          };
          return [seen({ ...shorter, stamp: 'a' }), seen({ ...data, stamp: 'b' }), shorter.sentences.length];
        }""".replace("VIEW", VIEW)
    )
    assert held[0][:2] == [60, False]
    assert held[0][2] == held[2]
    assert held[1][:2] == [n, False]


def test_lanes_grow_without_rebuilding(page: Page, serve: Callable[..., Server]) -> None:
    open_app(page, serve, "case=plain&show=lanes&live=1")
    lane = page.locator(".lane").nth(1).locator(".t")
    lane.nth(2).evaluate("(node) => { node.marked = true; }")
    expect(lane.nth(60)).to_be_attached()
    assert lane.nth(2).evaluate("(node) => node.marked") is True
    lane.nth(8).click()
    expect(page.get_by_text("lane token: (1, 8)")).to_be_visible()
    expect(page.locator('.lane [aria-selected="true"]')).to_have_count(1)
    expect(page.locator(".lane").nth(1).locator(".t.diverged")).to_have_count(1)


def test_lanes_stay_at_the_end_unless_scrolled_up(page: Page, serve: Callable[..., Server]) -> None:
    open_app(page, serve, "case=1500&show=lanes&live=1")
    box = page.get_by_role("listbox").nth(1)
    away = "(box) => box.scrollHeight - box.scrollTop - box.clientHeight"
    expect(page.locator("#lane1-token-150")).to_be_attached()
    assert box.evaluate(away) < 40
    box.evaluate("(box) => { box.scrollTop = 0; }")
    expect(page.locator("#lane1-token-250")).to_be_attached()
    assert box.evaluate("(box) => box.scrollTop") == 0


@BOTH_THEMES
def test_lanes_show_hostile_text_and_reasons(page: Page, serve: Callable[..., Server]) -> None:
    open_app(page, serve, "case=hostile&show=lanes&lanes=4")
    expect(page.locator(".lane")).to_have_count(4)
    expect(page.get_by_text("No evidence: empty completion")).to_be_visible()
    expect(page.locator(".lane").nth(0).locator(".t").nth(1)).to_contain_text("<img src=")
    heights = page.locator(".lane").evaluate_all("(lanes) => lanes.map((lane) => lane.getBoundingClientRect().height)")
    assert max(heights) - min(heights) < 1
    assert page.evaluate("window.hacked") is None


def test_a_request_that_leaves_this_machine_is_noticed(
    page: Page, serve: Callable[..., Server], faults: list[str]
) -> None:
    open_app(page, serve, "case=plain&show=strip")
    assert faults == []
    with page.expect_event("requestfailed"):
        page.evaluate("() => { new Image().src = 'https://beacon.example/x.png'; }")
    assert any("beacon.example" in fault for fault in faults)
    page.close()
    faults.clear()
