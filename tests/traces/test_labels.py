"""The paper's labels are written out in one place."""

import ast

from core.traces.events import BACKTRACKING, LABELS
from tests import house
from tests.test_architecture import ROOT


def test_no_other_module_writes_a_label_out():
    assert LABELS[-1] == BACKTRACKING == "backtracking"
    found = set()
    for path in house.sources(ROOT):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Constant) and node.value in LABELS:
                found.add(str(path.relative_to(ROOT)))
    assert found == {"core/traces/events.py"}
