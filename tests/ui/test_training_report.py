"""The report of a finetune: one page without script, every text escaped, losses and texts of every checkpoint."""

from __future__ import annotations

import base64
import re

import pytest

from core.finetuning.values import Course, Finetuned, FinetuneSpec, Recipe, Sample
from core.values import ModelSpec
from tests.ui.test_figure_report import EVIL, Seen
from ui.figures.training import loss_rows, training_html


def finetuned(course: Course) -> Finetuned:
    recipe = Recipe(steps=4, every=2)
    spec = FinetuneSpec(
        name=f"mine {EVIL[:20].replace('/', '')}",
        base=ModelSpec(repo_id="a-model"),
        traces=EVIL,
        traces_digest="d" * 20,
        recipe=recipe,
    )
    return Finetuned(spec=spec, folder="/nowhere", course=course, finished=False)


COURSE = Course(
    step=3,
    losses=(3.0, 2.0, 1.0),
    held_out=((0, 4.0), (2, 2.5)),
    samples=(Sample(step=0, question="Why?", text="mmm"), Sample(step=2, question=EVIL, text=EVIL)),
    n_traces=30,
    n_held_out=2,
)


@pytest.fixture(scope="module")
def page() -> str:
    return training_html(finetuned(COURSE), fingerprint="weights:abc")


def test_losses_and_texts_are_in_the_page(page: str) -> None:
    text = Seen(page).text
    for words in ("3 of 4 steps", "At last 2.000 nats a token", "2.500 on 2 held-out", "After step 2", "After step 0"):
        assert words in text
    assert "weights:abc" in text
    assert EVIL in text
    drawn = re.findall(r"base64,([\w+/=]+)", page)
    assert all(b"held out" in base64.b64decode(one) for one in drawn)
    assert len(drawn) == 4


def test_nothing_in_it_runs_or_is_fetched(page: str) -> None:
    seen = Seen(page)
    assert not seen.tags & {"script", "svg", "iframe", "object", "link", "form"}
    assert not [name for name, _ in seen.attributes if name.startswith("on")]
    assert not [
        value for name, value in seen.attributes if name in ("src", "href") and not str(value).startswith("data")
    ]


def test_before_the_first_step_there_is_a_page_too() -> None:
    page = training_html(finetuned(Course()))
    assert "0 of 4 steps" in page
    assert "<img" not in page
    assert loss_rows(Course()).empty
