"""The report as one file: everything in it escaped, nothing fetched, equal for equal outcomes."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from html import escape, unescape
from html.parser import HTMLParser

import pytest

from core.experiments.plans import plan_id
from core.experiments.statistics import null_of
from core.experiments.values import Outcome
from core.experiments.verdicts import QUESTIONS, ticks
from core.experiments.words import TITLES, caption, methods
from tests.experiments.outcomes import cell_of, outcome, plan
from ui.components.roles import NAMES
from ui.figures.catalogue import drawings
from ui.figures.report import DATES, DATES_END, report_html

EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'><svg/onload=alert(3)>&amp;"


class Seen(HTMLParser):
    """Tags, attributes and the text between them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def page() -> str:
    return report_html(outcome(), cells=cell_of())


def test_the_four_ticks_come_first_with_their_sentences(page):
    text = Seen(page).text
    places = [text.index(tick.sentence) for tick in ticks(outcome())]
    assert places == sorted(places)
    assert places[-1] < text.index(TITLES["fig3"])
    assert all(question in text for question in QUESTIONS.values())


def test_every_figure_has_its_caption_its_charts_and_its_table(page):
    text = Seen(page).text
    for figure, title in TITLES.items():
        assert title in text
        assert caption(outcome(), figure) in text
    assert page.count("<picture>") == sum(len(drawings(outcome(), figure)) for figure in TITLES)
    assert page.count("<table>") == len(TITLES)
    assert methods(outcome()) in text
    assert outcome().notes[0] in text


def test_the_strongest_control_has_its_texts_and_every_text_its_key(page):
    null = null_of(outcome())
    shown = next(point for point in outcome().reported if point == null.strongest)
    behind = page[page.index("Texts behind the points") :]
    assert f"{NAMES[shown.target]}, {shown.name}".casefold() in unescape(behind).casefold()
    assert escape(shown.cells[0]) in behind


def test_digests_tell_a_changed_count_and_a_changed_question(page):
    def digests(made):
        text = report_html(made, cells=lambda _: None)
        return text[text.index("<h2>Digests") : text.index("<h2>Provenance")]

    ours = small((("made on", "1 Jan 2026"),))
    assert plan_id(ours.plan) in digests(ours)
    assert digests(replace(ours, provenance=())) == digests(ours)
    assert digests(replace(ours, done=ours.done + 1)) != digests(ours)
    asked = replace(ours.plan, report=ours.plan.report[1:])
    assert digests(replace(ours, plan=asked)) != digests(ours)


def test_a_failed_tick_is_shown_as_one_that_holds():
    flat = replace(outcome(), reported=tuple(replace(p, hits=(1,) * p.n) for p in outcome().reported))
    text = Seen(report_html(flat, cells=lambda _: None)).text
    for tick in ticks(flat):
        assert tick.sentence in text
    assert "cannot be told" in text


def small(provenance: tuple[tuple[str, str], ...]) -> Outcome:
    """Few charts, so that a report is made fast."""
    return outcome(reported=(), lens=(), leads=(), lead_traces=(), choice=None, provenance=provenance)


def test_no_text_becomes_markup():
    evil = outcome(
        plan=plan(title=EVIL, label=EVIL, keywords=(EVIL,)),
        reported=tuple(replace(p, name=EVIL if p.kind == "label" else p.name) for p in outcome().reported),
        lead_traces=(replace(outcome().lead_traces[0], trace_id=EVIL, pieces=(EVIL,) * 60),),
        labels=tuple(replace(row, labeller=EVIL) for row in outcome().labels),
        notes=(EVIL,),
        provenance=((EVIL, EVIL),),
        fingerprints=(EVIL, EVIL),
    )
    made = report_html(evil, cells=cell_of(lambda _: EVIL + "\u202e"))
    seen = Seen(made)
    assert not seen.tags & {"script", "iframe", "object", "embed", "link", "base", "form", "svg"}
    assert not [name for name, _ in seen.attributes if name.startswith("on") or name == "href"]
    sources = [value for name, value in seen.attributes if name in ("src", "srcset")]
    assert sources
    assert all(value and value.startswith("data:image/svg+xml;base64,") for value in sources)
    for value in sources:
        drawn = base64.b64decode(str(value).split(",")[1]).decode()
        picture = Seen(drawn)
        assert not picture.tags & {"script", "foreignobject", "image", "a", "img", "use"}
        assert not [name for name, _ in picture.attributes if name.startswith("on") or "href" in name.split(":")]
    assert "\u202e" not in made
    assert EVIL in seen.text


def test_the_page_asks_for_nothing(page):
    policies = [value for name, value in Seen(page).attributes if name == "content" and "default-src" in str(value)]
    assert policies == ["default-src 'none'; style-src 'unsafe-inline'; img-src data:"]
    assert not re.search(r"(?:src|href|srcset)=\"(?!data:)", page)
    assert not re.search(r"url\(|@import", page)


def test_reports_of_equal_outcomes_are_equal_apart_from_dates():
    def without_dates(made: str) -> str:
        before, rest = made.split(DATES)
        return before + rest.split(DATES_END)[1]

    now, later = (small((("Retrace", "0.1.0"), ("measured", day))) for day in ("2026-11-26", "2026-11-27"))
    first, second = (report_html(one, cells=lambda _: None) for one in (now, later))
    assert first != second
    assert without_dates(first) == without_dates(second)
    assert first == report_html(now, cells=lambda _: None)


def test_a_few_texts_of_the_chosen_dose_without_steering_and_of_the_strongest_control(page):
    assert page.count("<blockquote>") == 5 * 3
    assert "Wait, let me check: What is 24 + 24?." in page


def test_what_is_not_measured_is_said():
    text = Seen(report_html(Outcome(plan=plan(), total=9), cells=lambda _: None)).text
    assert "0 of 9 points" in text
    assert text.count("has not been measured.") == len(TITLES)
    assert text.count("– not measured") == 4
