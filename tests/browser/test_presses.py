"""A press is seen within a tenth of a second whatever the server does, and as long as its script runs."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Server, settled
from tests.browser.presses import CONTROLS, answered
from tests.browser.test_shell import forget_probes

AT_ONCE = 100
TRIES = 3
"""A browser that shares its processor with other work may be late by itself."""
ASKED = "[data-asked]"


def unanswered(control: str, server: Server, page: Page) -> float:
    """Milliseconds until a press is seen while the server stands still; it is seen as long as that lasts."""
    press = CONTROLS[control](page, server)
    page.wait_for_timeout(1000)
    expect(page.locator(ASKED)).to_have_count(0)
    server.process.send_signal(signal.SIGSTOP)
    try:
        taken = answered(page, press)
        page.wait_for_timeout(1000)
        expect(page.locator(f".stApp {ASKED}")).to_have_count(1)
    finally:
        server.process.send_signal(signal.SIGCONT)
    return taken


@pytest.mark.parametrize("control", CONTROLS)
def test_a_press_is_seen_at_once_though_the_server_answers_nothing(
    control: str, serve: Callable[..., Server], page: Page, faults: list[str]
) -> None:
    server, taken = serve("app.py"), AT_ONCE + 1.0
    for _ in range(TRIES):
        if taken > AT_ONCE:
            taken = min(taken, unanswered(control, server, page))
    assert taken <= AT_ONCE
    settled(page)
    expect(page.locator(ASKED)).to_have_count(0)
    forget_probes(faults)


def test_what_asks_nothing_of_the_server_shows_no_work(
    serve: Callable[..., Server], page: Page, faults: list[str]
) -> None:
    CONTROLS["Extract"](page, serve("app.py"))
    page.get_by_test_id("stMain").get_by_test_id("stPopover").first.get_by_role("button").click()
    assert not page.locator(ASKED).count()
    page.keyboard.press("Escape")
    page.get_by_role("heading", name="Extraction", exact=True).click()
    assert not page.locator(ASKED).count()
    forget_probes(faults)
