"""A stranger's minute: from the start of a fresh server to what the three did, without reading anything else."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Browser

from tests.browser.first_minute import first_minute


def test_within_a_minute_and_two_clicks_the_screen_says_what_the_three_did(browser: Browser, tmp_path: Path) -> None:
    steps = first_minute(browser, tmp_path / "minute")
    assert steps[0].clicks == 0
    assert max(step.seconds for step in steps) <= 60
    assert max(step.clicks for step in steps) <= 2
    assert len(list((tmp_path / "minute").glob("*.png"))) == len(steps)
