"""Traces without the sentences of a label, and with their sentences in another order: every character accounted for."""

from __future__ import annotations

import pytest

from core.errors import BadInput
from core.traces.events import BACKTRACKING
from core.traces.remade import shuffled, without_label
from core.values import Part, Trace


def trace(*sentences: tuple[str, str], between: str = " ", before: str = "", after: str = "") -> Trace:
    """Sentences with a label each, "" for none."""
    text, parts = before, []
    for i, (label, sentence) in enumerate(sentences):
        text += between if i else ""
        if label:
            parts.append(Part(label=label, start=len(text), end=len(text) + len(sentence)))
        text += sentence
    return Trace(trace_id="t", prompt="How many?", text=text + after, parts=tuple(parts), source="mine.jsonl")


TURN = trace(
    ("deduction", "First I add 2 and 3."),
    (BACKTRACKING, "Wait, that is not right."),
    ("", "Nobody labelled this."),
    (BACKTRACKING, "Hmm, let me check."),
    ("deduction", "So it is 5."),
    before="<think>\n",
    after="\n</think>",
)


def labelled(found: Trace) -> list[tuple[str, str]]:
    return [(part.label, found.text[part.start : part.end]) for part in found.parts]


def test_what_is_labelled_is_gone_and_everything_else_stands_where_its_labels_are():
    made = without_label([TURN], BACKTRACKING)
    (found,) = made.traces
    assert found.text == "<think>\nFirst I add 2 and 3. Nobody labelled this. So it is 5.\n</think>"
    assert labelled(found) == [("deduction", "First I add 2 and 3."), ("deduction", "So it is 5.")]
    assert (made.n_sentences, made.n_changed, made.n_dropped) == (2, 1, 0)
    assert found.source == "mine.jsonl · without backtracking"
    assert (found.prompt, found.trace_id) == (TURN.prompt, TURN.trace_id)


def test_a_trace_without_the_label_stays_and_one_of_nothing_else_goes():
    plain, all_of_it = trace(("deduction", "It is 5.")), trace((BACKTRACKING, "Wait."), (BACKTRACKING, "Hmm."))
    made = without_label([plain, TURN, all_of_it], BACKTRACKING)
    assert made.traces[0].text == plain.text
    assert (len(made.traces), made.n_dropped) == (2, 1)


def test_labels_that_overlap_what_is_taken_out_are_cut_to_what_is_left():
    text = "Wait, no. So it is 5."
    both = Trace(
        trace_id="t",
        prompt="",
        text=text,
        parts=(
            Part(label="all", start=0, end=len(text)),
            Part(label=BACKTRACKING, start=0, end=9),
            Part(label="inside", start=2, end=7),
        ),
    )
    (found,) = without_label([both], BACKTRACKING).traces
    assert (found.text, labelled(found)) == ("So it is 5.", [("all", "So it is 5.")])


@pytest.mark.parametrize("traces", [[], [trace(("deduction", "It is 5."))]])
def test_nothing_to_take_out_is_a_sentence(traces):
    with pytest.raises(BadInput, match="No part of these traces is labelled 'backtracking'"):
        without_label(traces, BACKTRACKING)


def test_nothing_left_is_a_sentence():
    with pytest.raises(BadInput, match="nothing is left"):
        without_label([trace((BACKTRACKING, "Wait."))], BACKTRACKING)


def test_shuffling_keeps_every_sentence_with_its_label_and_the_marks_in_place():
    many = trace(*((f"label-{i % 3}", f"Sentence number {i} ends here.") for i in range(12)), before="<think>\n")
    made = shuffled([many], seed=4)
    (found,) = made.traces
    assert found.text != many.text
    assert sorted(labelled(found)) == sorted(labelled(many))
    assert sorted(found.text) == sorted(many.text)
    assert found.text.startswith("<think>\nSentence number ")
    assert [part.start for part in found.parts] == sorted(part.start for part in found.parts)
    moved = sum(a != b for a, b in zip(labelled(found), labelled(many), strict=True))
    assert made.n_sentences == moved
    assert found.source == "mine.jsonl · sentences shuffled, seed 4"


def test_the_same_seed_gives_the_same_order_and_another_another():
    many = trace(*(("x", f"Sentence number {i} ends here.") for i in range(12)))
    assert shuffled([many], seed=1) == shuffled([many], seed=1)
    assert shuffled([many], seed=1).traces != shuffled([many], seed=2).traces


def test_unlabelled_sentences_are_shuffled_too_and_a_part_of_several_moves_as_one():
    two = "One ends here. Two ends here."
    many = trace(("x", two), ("", "Three ends here."), ("", "Four ends here."), ("", "Five ends."))
    found = [shuffled([many], seed=seed).traces[0] for seed in range(6)]
    assert all(labelled(one) == [("x", two)] for one in found)
    assert not all(one.text.startswith(two) for one in found)


def test_one_sentence_cannot_be_shuffled():
    with pytest.raises(BadInput, match="None of these traces has two sentences"):
        shuffled([trace(("x", "Only one."))])
