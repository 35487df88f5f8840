"""The keyword labeller: which sentences it marks, and what a set of keywords may be."""

import pytest

from core.errors import BadInput
from core.labelling.keywords import LABEL_MEANINGS, KeywordSet, label_by_keywords, parse_keywords
from core.text.words import keyword_spans
from core.traces.events import LABELS
from core.values import Part, Trace

TEXT = "First we add 3.5 to it. Wait, that is wrong.\nThe waiter is here; hold  on! Hmm... is it?</think> Wait's over."


def labelled(*keywords, text=TEXT, **fields):
    trace = Trace(trace_id="t", prompt="p", text=text, parts=(Part(label="deduction", start=0, end=3),))
    (result,) = label_by_keywords([trace], KeywordSet(keywords=keywords, **fields))
    return [(part.label, text[part.start : part.end]) for part in result.parts]


def test_a_sentence_with_a_keyword_is_backtracking_and_no_other_has_a_label():
    assert labelled("wait", "hmm") == [("backtracking", "Wait, that is wrong."), ("backtracking", "Hmm... is it?")]


def test_keywords_are_whole_words_and_phrases_in_any_case():
    assert labelled("HOLD on") == [("backtracking", "The waiter is here; hold  on!")]
    assert labelled("hold") == labelled("hold on")
    assert labelled("on hold") == []
    assert labelled("wait's", label="mine") == [("mine", "Wait's over.")]


def test_the_sentences_marked_are_those_with_a_keyword_of_the_papers_metric():
    hits = keyword_spans(TEXT)
    marked = labelled("wait", "hmm")
    assert len(hits) == sum(sum(word in ("wait", "hmm") for word in _words(text)) for _, text in marked)


def _words(text):
    return text.casefold().replace(",", " ").replace(".", " ").split()


def test_a_set_is_read_from_commas_and_lines_without_repetitions():
    assert parse_keywords(" Wait,hmm\n hold   on ,, wait\n") == ("wait", "hmm", "hold on")


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"keywords": ()}, "0 keywords"),
        ({"keywords": ("wait",) * 101}, "101 keywords"),
        ({"keywords": ("wait", "3!")}, "holds no word"),
        ({"label": " "}, "label is empty"),
    ],
)
def test_a_set_that_can_mark_nothing_is_refused(fields, problem):
    with pytest.raises(BadInput, match=problem):
        KeywordSet(**fields)


def test_every_label_has_a_meaning():
    assert tuple(LABEL_MEANINGS) == LABELS
    assert KeywordSet(keywords=("a", "b", "c", "d", "e")).name == "keywords: a, b, c, d and 1 more"
