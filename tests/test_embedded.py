"""The embedded pair's own labels, from the grammar that comes with it as data."""

import json
from random import Random

import pytest

from core import embedded
from core.embedded import embedded_labels, example_traces
from core.errors import BadInput
from core.values import Part, Trace
from demo.phrases import PHRASES
from demo.sentence_parser import kind_of, parse_trace
from demo.write_sentences import SENTENCES, write_sentences

SLOTS = {
    "goal": "two numbers with the sum 34",
    "q": "total",
    "d": "larger",
    "cmp": "less",
    "answer": "12 and 22",
    "guessed": "7",
    "work": "34 minus 12 is 22, and 22 minus 12 is 10.",
}


@pytest.fixture(autouse=True)
def _read_again():
    embedded._grammar.cache_clear()
    yield
    embedded._grammar.cache_clear()


def filled(phrase):
    """The phrase with its slots filled."""
    numbers = dict.fromkeys(("x", "r", "w", "n0", "n1", "n2", "rest", "first"), "7")
    return phrase.format(**{**numbers, **SLOTS})


def as_trace(text):
    return Trace(trace_id="1", prompt="", text=text, parts=(Part(label="old", start=0, end=1),))


def labels(text):
    return [(part.label, part.start, part.end) for part in embedded_labels([as_trace(text)])[0].parts]


def recipe(text):
    return [(part.label, part.start, part.end) for part in parse_trace(text).parts]


def test_the_committed_grammar_is_what_the_recipe_makes(tmp_path):
    write_sentences(tmp_path / "sentences.json")
    assert (tmp_path / "sentences.json").read_bytes() == SENTENCES.read_bytes()
    assert [row["kind"] for row in json.loads(SENTENCES.read_text())["phrases"]] == list(PHRASES)


@pytest.mark.parametrize("kind", PHRASES)
def test_every_kind_of_phrase_is_labelled_as_the_recipe_does(kind):
    for phrase in PHRASES[kind]:
        text = filled(phrase)
        assert kind_of(text) is not None
        assert labels(f"{text} The moon is made of words. {text}\n") == recipe(
            f"{text} The moon is made of words. {text}\n"
        )
        assert len(labels(text)) == 1


def test_whole_texts_are_labelled_as_the_recipe_does():
    rng, sentences = Random(0), [filled(phrase) for phrases in PHRASES.values() for phrase in phrases]
    for _ in range(20):
        drawn = rng.choices(sentences, k=30)
        text = "".join(sentence + rng.choice((" ", "\n", "  wait ", " 7 is 7. ")) for sentence in drawn) + "Let me"
        assert labels(text) == recipe(text)
    traces = example_traces()
    assert embedded_labels(traces) == traces


def test_a_text_without_a_phrase_has_no_label():
    assert labels("wait wait 34 is is.") == labels(" ") == []


def test_a_grammar_that_is_not_there_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(embedded, "DEMO", tmp_path)
    for damage in (None, "{", '{"phrases": []}', '{"sentence": "(", "phrases": []}'):
        if damage is not None:
            (tmp_path / "sentences.json").write_text(damage)
        with pytest.raises(BadInput, match=r"grammar .* cannot be read"):
            embedded_labels([as_trace("Hmm.")])
