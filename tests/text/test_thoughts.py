"""The marks of thinking: one set of them, and where they divide a response."""

import ast
import re

import pytest

from core.text.thoughts import find_thought, has_thought, split_thought, unknown_marks
from tests import house
from tests.test_architecture import ROOT


@pytest.mark.parametrize(
    ("text", "thought", "kinds"),
    [
        ("So.", "So.", []),
        ("<think>So.</think>", "So.", []),
        ("So.</think>4", "So.", ["outside the reasoning"]),
        ("Hm.<think>So", "So", ["outside the reasoning", "cut off"]),
    ],
)
def test_a_response_divides_at_its_marks(text, thought, kinds):
    found, notes = split_thought(text)
    assert (found, [kind for kind, _ in notes]) == (thought, kinds)
    assert has_thought(text) == (text != "So.")


def strings_of(path):
    """The strings of a module that are no docstrings."""
    tree = ast.parse(path.read_text("utf-8"))
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    strings = [n for n in ast.walk(tree) if isinstance(n, ast.Constant) and id(n) not in prose]
    return [node.value for node in strings if isinstance(node.value, str)]


def test_the_marks_are_written_out_once():
    files = [path for path in house.sources(ROOT) if path.relative_to(ROOT).parts[0] in ("core", "demo")]
    found = {str(p.relative_to(ROOT)) for p in files if any(re.search(r"</?\??think>", s) for s in strings_of(p))}
    assert found == {"core/text/thoughts.py"}


@pytest.mark.parametrize(
    ("before", "behind"),
    [
        ("<think>", "</think>"),
        ("<thinking>", "</thinking>"),
        ("<Thought>", "</Thought>"),
        ("<reasoning>", "</reasoning><answer>"),
        ("<seed:think>", "</seed:think>"),
        ("<longcat_think>", "</longcat_think>"),
        ("[THINK]", "[/THINK]"),
        ("◁think▷", "◁/think▷"),
        ("<|begin_of_thought|>", "<|end_of_thought|>\n<|begin_of_solution|>"),
        ("<|START_THINKING|>", "<|END_THINKING|><|START_RESPONSE|>"),
        ("<|channel|>analysis<|message|>", "<|end|><|start|>assistant<|channel|>final<|message|>"),
        ("<|channel>thought\n", "<channel|>"),
        ("<unused94>thought", "<unused95>"),
        ("Here is my thought process:", "Here is my response:"),
        ("## Thinking\n", "\n## Final Response\n"),
        ("Here are my reasoning steps:", "[BEGIN FINAL RESPONSE]"),
        ("analysis", "assistantfinal"),
    ],
)
def test_every_family_of_marks_divides_a_response(before, behind):
    thought = "First I add. Wait, <b>no</b>."
    found, notes = split_thought(f"{before}{thought}{behind}The answer.")
    assert found.strip() == thought
    assert [kind for kind, _ in notes] == ["outside the reasoning"]
    assert unknown_marks(found) == ()


@pytest.mark.parametrize("mark", ["</thought>", "[/THINK]", "◁/think▷", "<|end_of_thought|>", "<|END_THINKING|>"])
def test_an_end_alone_closes_what_the_template_opened(mark):
    assert split_thought(f"So.{mark}4")[0] == "So."


def test_the_longest_stretch_is_the_thinking_and_a_mark_that_is_only_spoken_of_is_text():
    found, notes = split_thought("Use <think> this </think> tags. Q?<think>It is long, so it counts.</think>4")
    assert found == "It is long, so it counts."
    assert "1 more" in notes[-1][1]
    assert split_thought("I may use <thinking> tags here.</think>4")[0] == "I may use <thinking> tags here."


@pytest.mark.parametrize(
    ("text", "marks"),
    [
        ("<planning>So.</planning>4", ("<planning>",)),
        ("So.<|endofthis|>4", ("<|endofthis|>",)),
        ("◁plan▷So.", ("◁plan▷",)),
        ("|x| < 3, a <b and [A] and [1, 2]", ()),
        ("<p>So.", ()),
    ],
)
def test_what_looks_like_a_mark_and_is_unknown_is_named(text, marks):
    assert unknown_marks(text) == marks
    assert find_thought(text) is None
