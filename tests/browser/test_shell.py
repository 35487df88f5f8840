"""The frame: deep links on a fresh server, every page without a fault, nothing that leaves the machine."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import HOME

PAGES = {
    "": HOME,
    "labelling": "Labelling",
    "finetuning": "Finetuning",
    "extraction": "Extraction",
    "directions": "Directions",
    "playground": "Steering playground",
    "experiments": "Experiments",
    "attribution": "Token attribution",
    "talk": "Talk",
}


def forget_probes(faults):
    """On a deep link Streamlit's own start looks for its endpoints below the page's path and gets a 404."""
    faults[:] = [fault for fault in faults if "404 (Not Found)" not in fault]


@pytest.mark.parametrize("stem", [stem for stem in PAGES if stem])
def test_a_deep_link_to_a_fresh_server_shows_the_whole_shell(stem, fresh_server, page, faults):
    with fresh_server("app.py", anew=True) as server:
        page.goto(f"{server.url}/{stem}")
        expect(page.get_by_role("heading", name=PAGES[stem], exact=True)).to_be_visible()
        for title in ("Home", "Extraction", "Steering playground", "Token attribution"):
            expect(page.get_by_test_id("stSidebarNav").get_by_text(title)).to_be_visible()
        expect(page.get_by_test_id("stSidebarUserContent").get_by_text("Model pair")).to_be_visible()
        expect(page.get_by_text("Page not found")).to_have_count(0)
        page.context.close()
        forget_probes(faults)


def test_every_page_is_reached_from_home_without_a_fault(serve, page):
    page.goto(serve("app.py").url)
    for stem, title in [*PAGES.items(), ("", PAGES[""])]:
        name = "Home" if not stem else title
        page.get_by_test_id("stSidebarNav").get_by_text(name).click()
        expect(page.get_by_role("heading", name=title, exact=True)).to_be_visible()
        expect(page.get_by_text("being loaded")).to_have_count(0, timeout=60_000)
        expect(page).to_have_url(re.compile(rf"/{stem}(\?.*)?$"))
        expect(page.get_by_text("encountered an error")).to_have_count(0)
        assert "Traceback" not in page.content()
