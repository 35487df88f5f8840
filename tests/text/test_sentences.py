"""Sentences as exact spans: what ends one, what does not, and what holds for any text."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.text.sentences import split_sentences

WORDS = ("a", "B", "x = 2", "3.14", "1. ", "- ", "e.g. ", "https://a.b/c. ", "é", "😀", "</think>", "<think>")
MARKS = (".", "...", "…", "? ", "! ", ". ", "。", "\n", "\r\n", "\n\n", " ", "\t", "(", ")", '"', "**")
PIECES = st.sampled_from((*WORDS, *MARKS, "$", "$$", "\\[", "\\]", "`", "```"))


def pieces_of(text):
    return [text[start:end] for start, end in split_sentences(text)]


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("Pi is 3.14. Wait, is it?", ["Pi is 3.14.", "Wait, is it?"]),
        ("It equals x. Then y = 2. Stop.", ["It equals x.", "Then y = 2.", "Stop."]),
        ("So x = 2. y = 3.", ["So x = 2.", "y = 3."]),
        ("Use $x = 3. So y$ here. Next.", ["Use $x = 3. So y$ here.", "Next."]),
        (r"Then \[ a = b. C \] holds. Next.", [r"Then \[ a = b. C \] holds.", "Next."]),
        (r"We get \frac{1}{2}. Next.", [r"We get \frac{1}{2}.", "Next."]),
        ("It costs $5. Then $6. Ok.", ["It costs $5.", "Then $6.", "Ok."]),
        ("$$a.\nB$$ is so. Next.", ["$$a.\nB$$ is so.", "Next."]),
        (r"\begin{cases} a. B \end{cases} ok. Next.", [r"\begin{cases} a. B \end{cases} ok.", "Next."]),
        ("1. First add.\n2. Then multiply.\n- item", ["1. First add.", "2. Then multiply.", "- item"]),
        ("**1.** Bold.\na. letter", ["**1.** Bold.", "a. letter"]),
        ("Run:\n```\nx = 3. \nPrint. It\n```\nDone.", ["Run:", "```\nx = 3. \nPrint. It\n```", "Done."]),
        ("Call `a. B` now. Next.", ["Call `a. B` now.", "Next."]),
        ("Then e.g. Dr. Smith vs. Jones. Fig. 3 shows it.", ["Then e.g. Dr. Smith vs. Jones.", "Fig. 3 shows it."]),
        ("Apples, pears, etc. are fruit, etc. So it is.", ["Apples, pears, etc. are fruit, etc.", "So it is."]),
        ("The U.S. economy. Ok.", ["The U.S. economy.", "Ok."]),
        ("Hmm... let me see. So... Maybe not.", ["Hmm... let me see.", "So...", "Maybe not."]),
        ("Wait. . . let me see… Yes.", ["Wait. . . let me see…", "Yes."]),
        ("It is 4.</think>\nThe answer is 4.", ["It is 4.", "The answer is 4."]),
        ('"Is it so?" he asked. Yes! No?! Fine.', ['"Is it so?" he asked.', "Yes!", "No?!", "Fine."]),
        ("(This is it.) Next.", ["(This is it.)", "Next."]),
        ("A line that goes\non here. B", ["A line that goes\non here.", "B"]),
        ("We get:\nx = 2\ny = 3", ["We get:", "x = 2", "y = 3"]),
        ("One\n\ntwo", ["One", "two"]),
        ("See https://a.b/c.d. Next.", ["See https://a.b/c.d.", "Next."]),
        ("对吗？好。", ["对吗？", "好。"]),
        ("Wait, no. 20 is 20.", ["Wait, no.", "20 is 20."]),
        (" \n ", []),
        ("", []),
    ],
)
def test_what_ends_a_sentence(text, want):
    assert pieces_of(text) == want


@given(st.one_of(st.text(max_size=80), st.lists(PIECES, max_size=30).map("".join)))
@settings(max_examples=400, deadline=None)
def test_the_spans_hold_every_printed_character_once_and_in_order(text):
    spans = split_sentences(text)
    assert all(start < end for start, end in spans)
    assert all(a[1] <= b[0] for a, b in itertools.pairwise(spans))
    assert all(text[start:end] == text[start:end].strip() for start, end in spans)
    left = text
    for start, end in reversed(spans):
        left = left[:start] + left[end:]
    assert "".join(left.replace("</think>", "").replace("<think>", "").split()) == ""


@pytest.mark.parametrize("unit", ["a", "\\[", "$a", "`", ".", ". ", "\n", " \n", "\t", "a.\n", ".x", ". .x", "a.)"])
def test_the_longest_traces_are_split_whatever_they_are_made_of(unit):
    text = unit * (400_000 // len(unit))
    spans = split_sentences(text)
    assert sum(len(text[a:b].split()) for a, b in spans) == len(text.split())
