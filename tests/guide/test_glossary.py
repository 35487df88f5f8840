"""The words of the pages stand in the README, and cover what the pages' own texts use."""

from __future__ import annotations

import pytest

from core.settings import PROJECT
from ui.guide.glossary import WORDS, table


def test_the_readme_has_the_same_table():
    assert table() in (PROJECT / "README.md").read_text("utf-8")


@pytest.mark.parametrize("word", ["NLL", "KL", "D+", "d′", "event", "keyword", "dose", "unsteered", "window", "cosine"])
def test_what_needs_a_word_has_one(word):
    assert any(word in entry for entry in WORDS)


def test_a_meaning_is_one_line_that_ends():
    for meaning in WORDS.values():
        assert "\n" not in meaning
        assert meaning.endswith(".")
