"""Every page for every eye: texts stand out from what is behind them, and a phone's width cuts nothing off."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Screen, settled
from tests.browser.presses import CONTROLS, open_own_text
from tests.browser.test_shell import forget_probes
from tests.page_helpers import PAGES
from ui.shell.frame import PURPOSES

WAIT = 120_000
ENOUGH = 4.5
"""WCAG 2.2, 1.4.3, for texts of any size."""

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
    return isOut && one.checkVisibility() && !one.closest("[data-testid=stSidebar], [data-testid=stElementToolbar]");
  });
  const slides = getComputedStyle(main).overflowX === "hidden" ? 0 : main.scrollWidth - main.clientWidth;
  return [Math.max(wide, slides), cut.map((one) => one.innerText.slice(0, 40))];
}"""


CUT = """() => {
  const found = new Set(), parent = (node) => node.parentElement || (node.getRootNode().host ?? null);
  const cutBy = (element, box) => {
    for (let at = element, x = true, y = true; at && at !== document.body && (x || y); at = parent(at)) {
      const style = getComputedStyle(at), area = at.getBoundingClientRect();
      if (/auto|scroll/.test(style.overflowX)) x = false;
      if (/auto|scroll/.test(style.overflowY)) y = false;
      const cutsX = /hidden|clip/.test(style.overflowX) && (box.right > area.right + 2 || box.left < area.left - 2);
      const cutsY = /hidden|clip/.test(style.overflowY) && (box.bottom > area.bottom + 4 || box.top < area.top - 4);
      if ((x && cutsX) || (y && cutsY)) return at;
    }
    return null;
  };
  const look = (root) => {
    const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT | NodeFilter.SHOW_ELEMENT);
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
      if (node.nodeType === 1) {
        if (node.shadowRoot) look(node.shadowRoot);
        continue;
      }
      const element = node.parentElement, text = node.textContent.trim(), range = document.createRange();
      const apart = "style, script, canvas, table, [aria-hidden=true], .sr-only, .dose .text, .tip, svg";
      const isSeen = element && element.checkVisibility({ visibilityProperty: true });
      if (!isSeen || !text || element.closest(apart)) continue;
      range.selectNodeContents(node);
      for (const box of range.getClientRects()) {
        const by = box.width > 1 && box.height > 1 && cutBy(element, box);
        const area = by && by.getBoundingClientRect();
        if (by && area.width > 2 && area.height > 2) found.add(`${text.slice(0, 60)} cut by ${by.className}`);
      }
    }
  };
  look(document.querySelector("[data-testid=stMain]"));
  return [...found];
}"""
"""Texts of which a part lies beyond a box that hides it and does not scroll."""

COVERED = """() => {
  const main = document.querySelector("[data-testid=stMain]"), found = [];
  const controls = "button, a[href], textarea, input:not([type=file]), [role=slider], [role=combobox]";
  for (const control of main.querySelectorAll(controls)) {
    const first = control.getBoundingClientRect(), isApart = control.closest("[data-testid=stElementToolbar]");
    const isSeen = control.checkVisibility({ opacityProperty: true, visibilityProperty: true });
    if (!isSeen || first.width < 4 || first.height < 4 || isApart) continue;
    control.scrollIntoView({ block: "center", inline: "center" });
    const box = control.getBoundingClientRect();
    const x = box.left + box.width / 2, y = box.top + box.height / 2, hit = document.elementFromPoint(x, y);
    const label = control.closest("label"), name = control.innerText || control.ariaLabel || control.tagName;
    const isMine = hit && (control.contains(hit) || hit.contains(control) || label?.contains(hit));
    if (!isMine) found.push(`${name.slice(0, 40)} under ${hit?.className}`);
  }
  main.scrollTo(0, 0);
  return found;
}"""
"""Controls that another element lies on, or that cannot be scrolled into sight."""

FOCUSED = """() => {
  const at = document.activeElement;
  return at.tagName === "BUTTON" ? at.innerText.split("\\n").map((line) => line.trim()) : [];
}"""
PHONE, ZOOMED = {"width": 390, "height": 844}, {"width": 853, "height": 480}
"""An upright phone; and 1280×720 at 150%."""
MAIN_BUTTONS = {
    "home": "Run",
    "playground": "Run",
    "extraction": "Extract",
    "experiments": "Run",
    "finetuning": "Finetune",
    "talk": "Present the talk",
}
READ = "Read this text"
"""The button of the attribution page, where a text of one's own is read."""
MOST_TABS = 6


def opened(server, page, stem):
    page.goto(f"{server.url}/{'' if stem == 'home' else stem}")
    expect(page.get_by_test_id("stMain").get_by_role("heading").first).to_be_visible(timeout=WAIT)
    for loading in ("Importing torch and transformers", "The models are being loaded"):
        expect(page.get_by_text(loading)).to_have_count(0, timeout=WAIT)
    settled(page)


@pytest.mark.parametrize("screen", [Screen(), Screen(theme="dark")], ids=["light", "dark"])
def test_every_page_says_what_it_is_for_and_its_texts_stand_out(serve, page, screen, faults):
    server, faint = serve("app.py"), {}
    for stem in PAGES:
        opened(server, page, stem)
        expect(page.get_by_text(PURPOSES[stem]).first).to_be_in_viewport(ratio=1)
        faint[stem] = faint_texts(page)
    forget_probes(faults)
    assert page.evaluate(FAINT, 22), "texts were looked at"
    assert {stem: found for stem, found in faint.items() if found} == {}


def faint_texts(page, tries=10):
    """Texts that hardly stand out, once nothing fades any more."""
    for _ in range(tries):
        found = page.evaluate(FAINT, ENOUGH)
        if not found:
            break
        page.wait_for_timeout(500)
    return found


def faults_of_layout(page, tries=10):
    """What is too wide, cut or covered, once charts and tables have come to their size."""
    for _ in range(tries):
        wide, out = page.evaluate(WIDER)
        found = [wide] * (wide > 1) + out + page.evaluate(CUT) + page.evaluate(COVERED)
        if not found:
            return []
        page.wait_for_timeout(500)
    return found


WRONG = """<main data-testid="stMain" style="overflow: auto">
<div style="width: 40px; overflow: hidden; white-space: nowrap">a text that is cut</div>
<div style="width: 40px; overflow: auto; white-space: nowrap">a text that slides</div>
<button>free</button>
<div style="position: relative"><button>below</button><div class="lid" style="position: absolute; inset: 0"></div></div>
</main>"""


def test_cut_texts_and_covered_controls_are_found(page):
    page.set_content(WRONG)
    assert page.evaluate(CUT) == ["a text that is cut cut by "]
    assert page.evaluate(COVERED) == ["below under lid"]


@pytest.mark.parametrize(
    "screen",
    [Screen(**PHONE), Screen(**PHONE, theme="dark"), Screen(**ZOOMED), Screen(**ZOOMED, theme="dark")],
    ids=["phone", "phone, dark", "150%", "150%, dark"],
)
def test_every_page_fits_a_phone_and_a_zoomed_window(serve, page, screen, faults):
    """Nothing wider than the screen, no text cut, no control under another element."""
    server, found = serve("app.py"), {}
    for stem in PAGES:
        opened(server, page, stem)
        found[stem] = faults_of_layout(page)
    forget_probes(faults)
    assert {stem: told for stem, told in found.items() if told} == {}


def tabs_to(page, name):
    """How often Tab is pressed from the top of the page, past the link to its content, until a button has the focus."""
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    n = 1
    while name not in page.evaluate(FOCUSED) and n <= 2 * MOST_TABS:
        page.keyboard.press("Tab")
        n += 1
    return n


def test_the_main_button_of_a_page_is_a_few_tabs_away(serve, page, faults):
    server, tabs = serve("app.py"), {}
    for stem, name in MAIN_BUTTONS.items():
        opened(server, page, stem)
        expect(page.get_by_test_id("stMain").get_by_role("button", name=name).first).to_be_enabled(timeout=WAIT)
        tabs[stem] = tabs_to(page, name)
    open_own_text(page, server)
    settled(page)
    page.evaluate("() => { document.body.tabIndex = -1; document.body.focus(); }")
    tabs["attribution"] = tabs_to(page, READ)
    forget_probes(faults)
    assert {stem: n for stem, n in tabs.items() if n > MOST_TABS} == {}


@pytest.mark.parametrize("screen", [Screen(**PHONE)], ids=["phone"])
@pytest.mark.parametrize("stem", ["attribution", "traces"])
def test_a_phone_shows_the_text_first_and_its_settings_behind_one_button(serve, page, screen, stem, faults):
    opened(serve("app.py"), page, stem)
    tokens, button = page.locator(".t").first, page.locator("[class*=st-key-fold_button_]").get_by_role("button")
    expect(tokens).to_be_visible(timeout=WAIT)
    settled(page)
    assert tokens.bounding_box()["y"] < 3 / 4 * screen.height
    setting = page.locator("[class*=st-key-folded_]").get_by_role("combobox").first
    expect(setting).to_be_hidden()
    button.click()
    expect(page.get_by_test_id("stMain").get_by_role("combobox").first).to_be_visible()
    expect(page.locator("[class*=st-key-folded_]")).to_have_count(0)
    button.click()
    expect(setting).to_be_hidden()
    forget_probes(faults)
    page.set_viewport_size({"width": 1280, "height": 720})
    expect(setting).to_be_visible()
    expect(button).to_be_hidden()
    forget_probes(faults)


def test_less_motion_is_no_motion(serve, page, faults):
    page.emulate_media(reduced_motion="reduce")
    CONTROLS["Run"](page, serve("app.py"))()
    moving = page.evaluate("() => document.getAnimations().map((one) => one.animationName).filter(Boolean)")
    assert "work-goes-on" not in moving
    settled(page)
    forget_probes(faults)
