"""What somebody types while a page is drawn anew stays: a widget is set only where its value changes."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import Block, Node

from tests.page_helpers import PAGES, ROOT, app_test, save_tiny_pair, start_workbench


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    return save_tiny_pair(tmp_path_factory.mktemp("pair"))


@pytest.fixture
def bench(pair, tmp_path, monkeypatch):
    monkeypatch.setattr("ui.home.live.answers_at_once", lambda *_: False)
    bench = start_workbench(tmp_path / "cache", pair, monkeypatch)
    yield bench
    bench.engine.halt()
    bench.store.close()


def nodes(block: Block) -> Iterator[Node]:
    for child in block.children.values():
        yield child
        if isinstance(child, Block):
            yield from nodes(child)


def set_anew(app: AppTest) -> list[str]:
    """The labels of the widgets whose value this run sends to the browser."""
    found = [getattr(node, "proto", None) for block in (app.main, app.sidebar) for node in nodes(block)]
    return [proto.label for proto in found if getattr(proto, "set_value", False)]


@pytest.mark.parametrize("page", PAGES)
def test_a_run_that_changes_nothing_sets_no_widget(bench, make_direction, page):
    bench.directions.save(make_direction(32, layer=1))
    app = app_test(page).run()
    for _ in range(2):
        app.run()
        assert not app.exception
    assert set_anew(app) == []


def test_a_question_that_the_page_changes_itself_is_set(bench, make_direction):
    bench.directions.save(make_direction(32, layer=1))
    app = app_test("playground").run().run()
    example = app.selectbox(key="pg_example")
    example.select(example.options[-1]).run()
    assert set_anew(app) == ["Question"]
    assert app.text_area(key="pg_prompt").value == example.options[-1]


def test_a_widget_that_keeps_its_value_keeps_it_over_a_change_of_pages():
    calls = [
        {keyword.arg: keyword.value for keyword in call.keywords}
        for path in (ROOT / "ui").rglob("*.py")
        for call in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(call, ast.Call)
    ]
    keeping = [given for given in calls if ast.unparse(given.get("key", ast.Pass())).startswith("kept(")]
    assert len(keeping) > 20
    assert [ast.unparse(given["key"]) for given in keeping if "persist_state" not in given] == []
