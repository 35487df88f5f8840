"""Every page for every eye: texts stand out from what is behind them, and a phone's width cuts nothing off."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Screen, settled
from tests.browser.test_shell import forget_probes

WAIT = 120_000
ENOUGH = 4.5
"""WCAG 2.2, 1.4.3, for texts of any size."""
PAGES = (
    "home",
    "traces",
    "labelling",
    "finetuning",
    "extraction",
    "directions",
    "playground",
    "experiments",
    "attribution",
    "bundles",
    "talk",
)

FAINT = """(enough) => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (color) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const above = (over, under) => over.slice(0, 3).map((c, i) => c * over[3] + under[i] * (1 - over[3]));
  const parent = (node) => node.parentElement || (node.getRootNode().host ?? null);
  const behind = (node, box) => {
    const layers = [], x = box.left + box.width / 2, y = box.top + box.height / 2;
    for (let at = node; at; at = parent(at)) {
      const area = at.getBoundingClientRect(), isRoot = at === document.body || at === document.documentElement;
      const covers = area.left <= x && x <= area.right && area.top <= y && y <= area.bottom;
      if (isRoot || covers) layers.push(rgba(getComputedStyle(at).backgroundColor));
    }
    return layers.reverse().reduce((under, over) => above(over, under), [255, 255, 255]);
  };
  const shownAs = (node) => {
    let opacity = 1;
    for (let at = node; at; at = parent(at)) opacity *= Number(getComputedStyle(at).opacity);
    return opacity;
  };
  const light = (rgb) => {
    const [r, g, b] = rgb.map((c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const found = [];
  const look = (root) => {
    const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT | NodeFilter.SHOW_ELEMENT);
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
      if (node.nodeType === 1) {
        if (node.shadowRoot) look(node.shadowRoot);
        continue;
      }
      const element = node.parentElement, text = node.textContent.trim();
      const apart = "style, script, [disabled], [aria-disabled=true], [data-stale=true], .role-mark";
      if (!element || !text || element.closest(apart)) continue;
      const style = getComputedStyle(element), range = document.createRange();
      range.selectNodeContents(node);
      const box = range.getBoundingClientRect();
      const isIcon = style.fontFamily.includes("Material");
      if (!box.width || !box.height || style.visibility !== "visible" || isIcon) continue;
      const opacity = shownAs(element);
      if (opacity < 0.05) continue;
      const color = rgba(element instanceof SVGElement ? style.fill : style.color), under = behind(element, box);
      const ink = above([...color.slice(0, 3), color[3] * opacity], under);
      const [high, low] = [light(ink), light(under)].sort((a, b) => b - a);
      const ratio = (high + 0.05) / (low + 0.05);
      if (ratio < enough) found.push(`${ratio.toFixed(2)} ${text.slice(0, 40)} [${element.className}]`);
    }
  };
  look(document.body);
  return found;
}"""
"""Texts that are seen, each by its ink against what lies behind it. Exempt are disabled controls, what is being drawn
anew, and labels on the marks of a chart, whose ground is no ancestor of theirs."""

WIDER = """() => {
  const wide = document.documentElement.scrollWidth - innerWidth, main = document.querySelector("[data-testid=stMain]");
  const cut = [...document.querySelectorAll("button, label, h1, h2, h3")].filter((one) => {
    const box = one.getBoundingClientRect();
    const isOut = box.width && box.height && (box.right > innerWidth + 1 || box.left < -1);
    return isOut && !one.closest("[data-testid=stSidebar], [data-testid=stElementToolbar]");
  });
  const slides = getComputedStyle(main).overflowX === "hidden" ? 0 : main.scrollWidth - main.clientWidth;
  return [Math.max(wide, slides), cut.map((one) => one.innerText.slice(0, 40))];
}"""


def opened(server, page, stem):
    page.goto(f"{server.url}/{'' if stem == 'home' else stem}")
    expect(page.get_by_test_id("stMain").get_by_role("heading").first).to_be_visible(timeout=WAIT)
    expect(page.get_by_text("Importing torch and transformers")).to_have_count(0, timeout=WAIT)
    settled(page)


@pytest.mark.parametrize("screen", [Screen(), Screen(theme="dark")], ids=["light", "dark"])
def test_texts_stand_out_on_every_page(serve, page, screen, faults):
    server, faint = serve("app.py"), {}
    for stem in PAGES:
        opened(server, page, stem)
        faint[stem] = page.evaluate(FAINT, ENOUGH)
    forget_probes(faults)
    assert page.evaluate(FAINT, 22), "texts were looked at"
    assert {stem: found for stem, found in faint.items() if found} == {}


@pytest.mark.parametrize("screen", [Screen(width=390, height=844)], ids=["phone"])
def test_a_phone_shows_every_page_in_its_width(serve, page, screen, faults):
    server, found = serve("app.py"), {}
    for stem in PAGES:
        opened(server, page, stem)
        found[stem] = page.evaluate(WIDER)
    forget_probes(faults)
    assert {stem: told for stem, told in found.items() if told[0] > 1 or told[1]} == {}
