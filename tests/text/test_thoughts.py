"""The marks of thinking: one set of them, and where they divide a response."""

import ast
import re

import pytest

from core.text.thoughts import has_thought, split_thought
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
