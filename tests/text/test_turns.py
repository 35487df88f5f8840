"""What the sentence of a keyword hit does: the task again, the text itself, or neither."""

import json
import re

import pytest

from core.settings import PROJECT
from core.text.turns import RULE, Turns, hits_of, turns_of
from core.text.words import measure_text
from demo.phrases import BACK_KINDS, PHRASES

CHAINS = PROJECT.parent / "shared" / "data" / "traces"
QUESTION = "A tetrahedron stands on its base. How many edges does it have, if each of its 4 corners is cut off?"
BEFORE = "I draw the shape. It has four faces. "
TURNING = [
    "Wait, that is not right.",
    "Hmm, let me check that again.",
    "Wait, is that correct?",
    "But wait, each corner gives a triangle.",
    "Wait, every edge of the tetrahedrons is cut twice.",
    "Wait, maybe I should start with the faces.",
    "Wait. No, it has eighteen.",
    "Hmm, wait.\nThe edges double.",
    "Wait, the problem asks for something simpler.",
    "Wait, that doesn't make sense because twelve is even.",
]
REMARKS = [
    "Wait, what am I writing?",
    "Hmm, what was I even saying.",
    "Wait, this makes no sense.",
    "Wait, none of this makes any sense!",
    "Wait, I keep repeating the same thing.",
    "Wait, I'm going in circles.",
    "Hmm, I’m stuck in a loop.",
    "Wait, this is off topic, so back to the problem.",
    "Wait, I drifted away from the question.",
    "Wait, why do I use these words again?",
    "Hmm, that last sentence was odd.",
    "Wait, my writing went wrong.",
    "Wait. That is gibberish.",
    "Hmm, I lost my train of thought.",
    "Wait, all this has nothing to do with the question.",
]
NEITHER = ["Hmm, let me think.", "Hmm, okay. I draw a line.", "Wait.", "Hmm, so twelve plus six is eighteen."]


@pytest.mark.parametrize(
    ("sentences", "expected"), [(TURNING, "back"), (REMARKS, "remarks"), (NEITHER, "other")], ids=lambda x: str(x)[:6]
)
def test_what_a_sentence_does(sentences, expected):
    for sentence in sentences:
        assert {turn for _, turn in hits_of(BEFORE + sentence, QUESTION)} == {expected}, sentence


def test_the_three_kinds_are_all_hits():
    text = BEFORE + " ".join(TURNING + REMARKS + NEITHER) + " Wait, hmm, wait"
    turns = turns_of(text, QUESTION)
    assert turns.back + turns.remarks + turns.other == measure_text(text).n_keywords
    assert [span for span, _ in hits_of("So. Hmm. Wait", "")] == [(4, 7), (9, 13)]
    assert turns_of("", QUESTION) == turns_of("No hit at all.", QUESTION) == Turns()


def test_every_hit_of_a_sentence_counts_and_the_words_are_the_callers():
    assert turns_of(BEFORE + "Hmm, wait, wait, no.", "") == Turns(back=3)
    assert turns_of(BEFORE + "Hmm, wait, wait, no.", "", ("hmm",)) == Turns(back=1)
    assert turns_of(BEFORE + "Oops. I took another one.", "", ("oops",)) == Turns(back=1)


def test_words_of_the_question_are_the_tasks():
    sentence = BEFORE + "Wait, these words have five letters."
    assert turns_of(sentence, "How old is Tom?") == Turns(remarks=1)
    assert turns_of(sentence, "Which of the words is longest?") == Turns(back=1)
    assert turns_of(BEFORE + "Wait, the banana is yellow.", "Where is the moon?") == Turns(other=1)


def test_an_opening_goes_back_to_nothing_and_can_remark():
    assert turns_of("Hmm, a tetrahedron has corners. I draw it.", QUESTION) == Turns(other=1)
    assert turns_of("Okay. Hmm, no idea. I draw it.", QUESTION) == Turns(other=1)
    assert turns_of("Wait, what am I writing?", QUESTION) == Turns(remarks=1)


def test_an_interjection_takes_the_next_sentence_only():
    assert turns_of(BEFORE + "Hmm, wait. I draw it. That is wrong.", "") == Turns(other=2)
    assert turns_of(BEFORE + "Hmm, wait. I draw it wrong.", "") == Turns(back=2)
    assert turns_of(BEFORE + "Hmm, so I draw it. That is wrong.", "") == Turns(other=1)


def test_the_embedded_pairs_turns_go_back_and_never_remark():
    for phrase in (phrase for kind in BACK_KINDS for phrase in PHRASES[kind]):
        turns = turns_of(BEFORE + phrase.format(d="larger"), "Find the number.")
        assert turns.remarks == turns.other == 0, phrase


def test_a_long_text_of_one_sentence_takes_no_long_time():
    assert turns_of(BEFORE + "wait this that it " * 20_000, QUESTION).other == 20_000


def test_a_keyword_of_a_mark_stands_in_no_sentence():
    assert turns_of("<think>", "", ("think",)) == Turns(other=1)


def test_the_rule_is_one_line():
    assert "\n" not in RULE
    assert RULE.endswith(".")


@pytest.mark.skipif(not CHAINS.exists(), reason="the public traces are not here")
def test_labelled_backtracking_goes_back_and_unsteered_traces_do_not_remark():
    part = re.compile(r'\["backtracking"\](.*?)\["end-section"\]', re.DOTALL)
    back = hits = remarks = everywhere = 0
    for file in sorted(CHAINS.glob("*.json")):
        for record in json.loads(file.read_text("utf-8")):
            said = [BEFORE + text for text in part.findall(record["annotated_chain"] or "")]
            turns = [turns_of(text, str(record["problem"])) for text in said]
            back += sum(turn.back for turn in turns)
            hits += sum(turn.back + turn.other + turn.remarks for turn in turns)
            remarks += turns_of(record["reasoning_chain"], str(record["problem"])).remarks
            everywhere += measure_text(record["reasoning_chain"]).n_keywords
    assert hits > 150
    assert everywhere > 1000
    assert back / hits > 0.8
    assert remarks / everywhere < 0.005
