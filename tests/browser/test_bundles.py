"""A bundle in a real browser: refused, dropped, shown, merged and closed, with no request off the machine."""

from __future__ import annotations

from playwright.sync_api import expect

from core.directions.folder import DirectionFolder
from tests.bundles.filled import bundled, fill

WAIT = 90_000


def test_a_dropped_bundle_is_shown_merged_and_closed(fresh_server, page, tmp_path):
    fill(tmp_path / "theirs")
    bundled(tmp_path / "theirs", tmp_path / "theirs.retrace")
    (tmp_path / "no.retrace").write_bytes(b"GIF89a")
    with fresh_server("app.py") as server:
        page.goto(server.url)
        page.get_by_test_id("stSidebarNav").get_by_role("link", name="Bundles", exact=True).click(timeout=WAIT)
        page.locator("input[type=file]").set_input_files(tmp_path / "no.retrace", timeout=WAIT)
        expect(page.get_by_text("it is no bundle")).to_be_visible(timeout=WAIT)
        page.locator("input[type=file]").set_input_files(tmp_path / "theirs.retrace", timeout=WAIT)
        expect(page.get_by_text("Every byte was checked; nothing in it is run.")).to_be_visible(timeout=WAIT)
        page.get_by_test_id("stSidebarNav").get_by_role("link", name="Home", exact=True).click()
        expect(page.get_by_text("read-only. To run more").first).to_be_visible(timeout=WAIT)
        expect(page.get_by_test_id("stVegaLiteChart").first).to_be_visible(timeout=WAIT)
        page.get_by_role("button", name="Merge").click()
        expect(page.get_by_text("Merged:")).to_be_visible(timeout=WAIT)
        assert len(DirectionFolder(server.cache).list()) == 1
        page.get_by_role("button", name="Close").first.click()
        expect(page.get_by_text("read-only. To run more")).to_have_count(0, timeout=WAIT)
        expect(page.get_by_role("button", name="Change models")).to_be_visible(timeout=WAIT)
        page.goto("about:blank")
