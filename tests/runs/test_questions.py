"""Prompt sets: files to prompts, known answers, and paired comparisons against their definitions."""

import importlib
import math
from dataclasses import replace

import numpy as np
import pytest

from core.errors import BadInput
from core.runs.arms import compare_arms, needed_prompts, read_arm
from core.runs.questions import MAX_QUESTIONS, accuracy, is_right, read_questions
from tests import stored_values as sv


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"What is 2?\n\n  Why?  \r\n", [("What is 2?", ""), ("Why?", "")]),
        (b'{"prompt": "A?", "answer": 4}\n{"question": "B?"}', [("A?", "4"), ("B?", "")]),
        (b'["A?", {"problem": "B?", "answer": "yes"}]', [("A?", ""), ("B?", "yes")]),
        (b'\n [\n  {"prompt": "A?",\n   "answer": null},\n  "B?"\n ]\n', [("A?", ""), ("B?", "")]),
        (b'"A?"\n"B?"', [("A?", ""), ("B?", "")]),
        (b"[Physics] Why?\n[Maths] How?", [("[Physics] Why?", ""), ("[Maths] How?", "")]),
        (b'Why?\n{"prompt": "How?"}\n"Is" it "so', [("Why?", ""), ("How?", ""), ('"Is" it "so', "")]),
        (b'{"messages": [{"role": "user", "content": "When?"}], "answer": "1969"}', [("When?", "1969")]),
        ("\ufeff漢?".encode(), [("漢?", "")]),
    ],
)
def test_questions_come_as_lines_json_lines_or_an_array(data, found):
    read = read_questions(data)
    assert [(example.prompt, example.answer) for example in read.questions] == found
    assert read.problems == ()


def test_what_holds_no_question_is_reported_with_its_place_and_the_rest_is_kept():
    lines = b'{bad\nGood?\n{"answer": 3}\n{"prompt": 7}\n{"prompt": "A", "answer": []}\n' + b"x" * 20_001
    found = read_questions(lines)
    assert [example.prompt for example in found.questions] == ["Good?"]
    assert [problem.split(":")[0] for problem in found.problems] == [f"Line {i}" for i in (1, 3, 4, 5, 6)]
    items = read_questions(b'["Good?", 3, {"prompt": " "}]')
    assert [problem.split(":")[0] for problem in items.problems] == ["Item 2", "Item 3"]


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (b"", "no question"),
        (b"\xff\xfe", "UTF-8"),
        (b"{bad", "Line 1: it is not JSON"),
        (b'{"prompt": 3}', "Line 1: its question has 0"),
        (b'[{"prompt": "A?"}', "begins as a JSON array, and it is not JSON"),
        (b"q\n" * (MAX_QUESTIONS + 1), "2,001 questions"),
        (b"x" * (21 << 20), "larger than 20 MB"),
        (b"[" * 100_000, "begins as a JSON array"),
    ],
)
def test_lists_that_cannot_be_used_are_refused(data, named):
    with pytest.raises(BadInput, match=named):
        read_questions(data)


@pytest.mark.parametrize("page", ["playground.prompt_set", "labelling.write"])
def test_both_pages_read_lists_with_it(page):
    assert importlib.import_module(f"ui.{page}").read_questions is read_questions


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
    same = compare_arms(plain, plain)
    assert (same.difference.mean, same.p, same.n_informative) == (0, 1, 0)
    assert same.difference.low <= 0 <= same.difference.high
    assert same.finding() == "unclear"
    found = compare_arms(more, plain).difference
    assert found.mean == pytest.approx(8 / 32 - 4 / 32)
    assert found.low < found.mean < found.high
    assert arm(["x"], ["x"]).accuracy.mean == 1
    assert arm(["x"]).accuracy is None


def test_pairing_takes_out_what_the_prompt_does_to_both():
    rng = np.random.default_rng(0)
    base = [["wait"] * int(k) + ["word"] * (40 - int(k)) for k in rng.integers(0, 30, 24)]
    plain = arm([" ".join(words) for words in base])
    more = arm([" ".join(["wait", *words[:-1]]) for words in base])
    paired = compare_arms(more, plain).difference
    assert paired.low > 0
    assert paired.high - paired.low < 0.2 * (plain.fraction.high - plain.fraction.low)


def test_needed_prompts_is_the_textbook_formula():
    plain = arm(["one two three four"] * 4)
    more = arm(["Wait one two three", "one two three four"] * 2)
    d = np.array([0.25, 0, 0.25, 0])
    assert needed_prompts(more, plain) == math.ceil((2.8 * d.std(ddof=1) / d.mean()) ** 2)
    assert needed_prompts(plain, plain) is None
    assert math.isnan(compare_arms(arm([""]), arm([""])).difference.mean)
