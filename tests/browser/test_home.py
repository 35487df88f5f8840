"""Home in a real browser: what a visitor sees without scrolling, and what one click changes."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Screen, running, settled
from tests.browser.test_shell import forget_probes
from tests.browser.tiny_server import prepare

WAIT = 120_000
VERDICT = re.compile("^(Here|Unsteered|At this strength)")


def bottom(element):
    box = element.bounding_box()
    assert box is not None
    return box["y"] + box["height"]


@pytest.mark.parametrize("screen", [Screen(), Screen(theme="dark")])
def test_question_three_answers_verdict_and_ticks_stand_on_the_first_screen(serve, page, screen):
    page.goto(serve("app.py").url)
    expect(page.get_by_text("One text is an anecdote")).to_be_visible(timeout=WAIT)
    settled(page)
    lanes = page.locator("section.lane")
    expect(lanes).to_have_count(3)
    tops = {round(lane.bounding_box()["y"]) for lane in lanes.all()}
    assert len(tops) == 1
    for lane in lanes.all():
        expect(lane.locator(".tokens")).to_contain_text(re.compile(r".{201}", re.DOTALL), timeout=WAIT)
    said = page.get_by_text(VERDICT)
    expect(said).to_be_visible()
    assert bottom(page.get_by_role("combobox", name="Question")) < bottom(said) < screen.height
    assert bottom(page.get_by_text("Effect: ").first) < screen.height


def test_another_strength_is_answered_at_once_and_off_adds_nothing(serve, page):
    page.goto(serve("app.py").url)
    expect(page.get_by_text(VERDICT)).to_be_visible(timeout=WAIT)
    settled(page)
    page.get_by_text("off", exact=True).click()
    expect(page.get_by_text("Unsteered, the reasoning model")).to_be_visible(timeout=WAIT)
    settled(page)
    expect(page.locator("section.lane h4")).to_have_text(["Reasoning model", "Base model"])


def test_an_own_pair_without_a_direction_answers_and_one_press_measures_its_first_dose_response(tmp_path, page, faults):
    env = prepare(tmp_path, direction=False)
    with running("app.py", tmp_path / "cache", env) as server:
        page.goto(server.url)
        expect(page.get_by_text("Unsteered, the reasoning model")).to_be_visible(timeout=WAIT)
        settled(page)
        lanes = page.locator("section.lane[data-state=done]")
        expect(lanes).to_have_count(2)
        button = page.get_by_role("button", name="Measure a first direction")
        for part in (*lanes.all(), page.get_by_text("against controls: about"), button):
            assert bottom(part) <= 720
        for lane in lanes.all():
            assert len(lane.locator(".tokens").inner_text()) > 100
        button.click()
        expect(page.get_by_role("heading", name="Experiments", exact=True)).to_be_visible(timeout=WAIT)
        expect(page.get_by_text("LIVE", exact=True)).to_be_visible(timeout=WAIT)
        expect(page.get_by_test_id("stProgress").first).to_be_visible()
        expect(page.get_by_test_id("stMain").get_by_role("button", name="Run", exact=True)).to_have_count(0)
        page.goto("about:blank")
    forget_probes(faults)
