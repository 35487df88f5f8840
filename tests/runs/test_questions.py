"""Prompt sets: files to prompts, known answers, and paired comparisons against their definitions."""

import math
from dataclasses import replace

import numpy as np
import pytest

from core.errors import BadInput
from core.runs.arms import needed_prompts, paired_difference, read_arm
from core.runs.questions import MAX_BYTES, accuracy, is_right, read_prompts
from tests import stored_values as sv


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"What is 2?\n\n  Why?  \r\n", [("What is 2?", ""), ("Why?", "")]),
        (b'{"prompt": "A?", "answer": 4}\n{"question": "B?"}', [("A?", "4"), ("B?", "")]),
        (b'["A?", {"problem": "B?", "answer": "yes"}]', [("A?", ""), ("B?", "yes")]),
        (b'"A?"\n"B?"', [("A?", ""), ("B?", "")]),
        ("\ufeff漢?".encode(), [("漢?", "")]),
    ],
)
def test_prompts_come_as_lines_or_json(data, found):
    assert [(example.prompt, example.answer) for example in read_prompts(data)] == found


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (b"", "no prompt"),
        (b"\xff\xfe", "UTF-8"),
        (b'{"prompt": "A?"}\n{oops', "Line 2"),
        (b'{"prompt": 3}', "Prompt 1"),
        (b'{"prompt": " "}', "Prompt 1"),
        (b'{"prompt": "A", "answer": []}', "answer of prompt 1"),
        (b'["A", 3]', "Prompt 2"),
        (b"x" * 4001, "4001 characters"),
        (b"x\n" * 600, "600 prompts"),
        (b"x" * (MAX_BYTES + 1), "bytes"),
        (b"[" * 100_000, "Line 1"),
    ],
)
def test_what_cannot_be_read_is_named(data, named):
    with pytest.raises(BadInput, match=named):
        read_prompts(data)


@pytest.mark.parametrize(
    ("text", "answer", "right"),
    [
        ("So the answer is 4.</think>\nAnswer: 4", "4", True),
        ("Answer: 14 and 4", "4 and 14", True),
        ("The answer is 4 and 15.", "4 and 14", False),
        (r"I first thought the answer is 3. \boxed{1,000}", "1000", True),
        ("It must be\n\nseven", "Seven", True),
        ("Is the answer 5? No.\nThe answer is 6.", "5", False),
        ("", "5", False),
        ("The answer is -2.50", "-2.5", True),
        ("The answer is 4", "", None),
        ("I take 9. The answer is 4</think>", "4", True),
    ],
)
def test_a_known_answer_is_looked_for_where_it_is_given(text, answer, right):
    assert is_right(text, answer) is right


def test_accuracy_counts_only_prompts_with_an_answer():
    assert accuracy(["Answer: 4", "Answer: 5", "?"], ["4", "4", ""]) == (1, 2)


def arm(texts, answers=None):
    made = [replace(sv.generation(), token_ids=(1,), pieces=(text,), nll=1.0) for text in texts]
    return read_arm(made, answers or [""] * len(texts))


def test_an_arm_and_itself_do_not_differ_and_the_difference_is_that_of_the_fractions():
    plain = arm(["one two three four"] * 4 + ["Wait one two three"] * 4)
    more = arm(["Wait one two three"] * 8)
    assert plain.fraction.mean == pytest.approx(4 / 32)
    same = paired_difference(plain, plain)
    assert (same.mean, same.low, same.high) == (0, 0, 0)
    found = paired_difference(more, plain)
    assert found.mean == pytest.approx(8 / 32 - 4 / 32)
    assert found.low < found.mean < found.high
    assert arm(["x"], ["x"]).accuracy.mean == 1
    assert arm(["x"]).accuracy is None


def test_pairing_takes_out_what_the_prompt_does_to_both():
    rng = np.random.default_rng(0)
    base = [["wait"] * int(k) + ["word"] * (40 - int(k)) for k in rng.integers(0, 30, 24)]
    plain = arm([" ".join(words) for words in base])
    more = arm([" ".join(["wait", *words[:-1]]) for words in base])
    paired = paired_difference(more, plain)
    assert paired.low > 0
    assert paired.high - paired.low < 0.2 * (plain.fraction.high - plain.fraction.low)


def test_needed_prompts_is_the_textbook_formula():
    plain = arm(["one two three four"] * 4)
    more = arm(["Wait one two three", "one two three four"] * 2)
    d = np.array([0.25, 0, 0.25, 0])
    assert needed_prompts(more, plain) == math.ceil((2.8 * d.std(ddof=1) / d.mean()) ** 2)
    assert needed_prompts(plain, plain) is None
    assert math.isnan(paired_difference(arm([""]), arm([""])).mean)
