"""Home in a real browser: what a visitor sees without scrolling, and what one click changes."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Screen, settled

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
    assert bottom(page.get_by_text("Effect: ")) < screen.height


def test_another_strength_is_answered_at_once_and_off_adds_nothing(serve, page):
    page.goto(serve("app.py").url)
    expect(page.get_by_text(VERDICT)).to_be_visible(timeout=WAIT)
    settled(page)
    page.get_by_text("off", exact=True).click()
    expect(page.get_by_text("Unsteered, the reasoning model")).to_be_visible(timeout=WAIT)
    settled(page)
    expect(page.locator("section.lane h4")).to_have_text(["Reasoning model", "Base model"])
