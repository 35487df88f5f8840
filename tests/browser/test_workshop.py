"""A shared server in a browser: the speaker by the link of the terminal, visitors by the password, on a phone too."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from core.settings import HOSTS
from tests.browser.conftest import settled
from tests.retrace.room_server import WORD, room


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(HOSTS, "talk.example.org")
        with room(tmp_path_factory.mktemp("room")) as server:
            yield server


def test_visitors_have_names_and_few_pages_and_the_speaker_has_all(running, browser):
    speaker, visitor = (browser.new_context(viewport={"width": 1280, "height": 720}).new_page() for _ in range(2))
    speaker.goto(f"{running.url}/login?key={running.keys()[-1]}")
    assert speaker.url == f"{running.url}/"
    settled(speaker)
    expect(speaker.get_by_role("button", name="Run").first).to_be_visible(timeout=60_000)
    speaker.get_by_role("button", name="Invite the room").click()
    expect(speaker.get_by_role("dialog").locator("img")).to_be_visible()
    visitor.goto(f"{running.url}/bundles")
    visitor.get_by_label("Password").fill(WORD)
    visitor.get_by_role("button", name="Log in").click()
    expect(visitor.get_by_text("This page is the speaker's.")).to_be_visible()
    expect(visitor.get_by_text("You are visitor 1.")).to_be_visible()
    links = visitor.get_by_test_id("stSidebarNavLink")
    expect(links).to_have_count(3)
    assert visitor.get_by_text("Change models").count() == 0
    visitor.goto(f"{running.url}/logout")
    visitor.get_by_role("button", name="Log out").click()
    expect(visitor).to_have_url(re.compile("/login$"))
    for page in (speaker, visitor):
        page.context.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_login_page_fits_a_phone_asks_for_nothing_else_and_can_be_read(running, browser, theme):
    context = browser.new_context(viewport={"width": 390, "height": 844}, color_scheme=theme)
    page, asked = context.new_page(), []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{running.url}/")
    field, button = page.get_by_label("Password"), page.get_by_role("button", name="Log in")
    expect(field).to_be_focused()
    for part in (field, button):
        box = part.bounding_box()
        assert box["height"] >= 44
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 390
    back = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
    assert back == ("rgb(255, 255, 255)" if theme == "light" else "rgb(16, 21, 28)")
    assert asked == [f"{running.url}/"]
    context.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", [(1920, 1080), (1280, 720)])
def test_while_slides_are_shown_q_shows_code_and_address_large_and_on_white(running, browser, theme, size):
    width, height = size
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=theme)
    page = context.new_page()
    page.goto(f"{running.url}/login?key={running.keys()[-1]}")
    page.goto(f"{running.url}/talk?present=1")
    expect(page.locator("dialog.stage")).to_be_visible(timeout=60_000)
    invite = page.locator("dialog .invite")
    expect(invite).to_be_hidden()
    settled(page)
    page.keyboard.press("q")
    expect(invite).to_be_visible()
    address = invite.locator(".address")
    expect(address).to_have_text("https://talk.example.org")
    code = invite.locator("img")
    assert code.evaluate("(image) => image.decode().then(() => image.naturalWidth)") > 0
    box = code.bounding_box()
    assert 0.4 * height <= box["height"] == box["width"]
    assert float(address.evaluate("(n) => getComputedStyle(n).fontSize.replace('px', '')")) >= 40
    assert invite.evaluate("(n) => getComputedStyle(n).backgroundColor") == "rgb(255, 255, 255)"
    assert invite.evaluate("(n) => n.scrollHeight <= n.clientHeight && n.scrollWidth <= n.clientWidth")
    assert WORD not in invite.inner_text()
    page.keyboard.press("d")
    assert invite.evaluate("(n) => getComputedStyle(n).backgroundColor") == "rgb(255, 255, 255)"
    page.keyboard.press("Escape")
    expect(invite).to_be_hidden()
    expect(page.locator("dialog.stage")).to_be_visible()
    page.keyboard.press("?")
    expect(page.locator("dialog .help")).to_contain_text("QR code and address for the room")
    context.close()


def test_a_visitor_who_presents_has_no_invitation(running, browser):
    page = browser.new_context(viewport={"width": 1280, "height": 720}).new_page()
    page.goto(f"{running.url}/?present=1")
    page.get_by_label("Password").fill(WORD)
    page.get_by_role("button", name="Log in").click()
    expect(page.locator("dialog.stage")).to_be_visible(timeout=60_000)
    settled(page)
    page.keyboard.press("q")
    expect(page.locator("dialog .invite")).to_be_hidden()
    page.context.close()
