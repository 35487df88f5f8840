"""The two models have one name and one colour each, wherever they are named or drawn."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from core.models.pair import ROLES
from tests.house import sources
from ui.attribution.anticipation import _model_colour
from ui.components.colours import BLUE, ORANGE
from ui.components.roles import COLOURS, NAMES, SHORT, TITLES
from ui.figures.marks import SOURCES, of_sources

ROOT = Path(__file__).resolve().parents[2]
TABLE = ROOT / "ui" / "components" / "roles.py"


def tables_in(text: str) -> list[str]:
    """Names of the models as texts of their own, and dicts that give each model a text or a colour."""
    names = {words.casefold() for table in (NAMES, TITLES) for words in table.values()}
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.casefold() in names:
            found.append(node.value)
        if isinstance(node, ast.Dict):
            keys = [key.value for key in node.keys if isinstance(key, ast.Constant)]
            values = [v for v in node.values if isinstance(v, ast.Constant) or ast.unparse(v) in ("BLUE", "ORANGE")]
            if set(ROLES) <= set(keys) and values:
                found.append(ast.unparse(node))
    return found


def test_no_other_file_has_a_table_of_its_own():
    files = [path for path in sources(ROOT) if path.relative_to(ROOT).parts[0] in ("ui", "pages", "app.py")]
    assert TABLE in files
    assert {path: found for path in files if path != TABLE and (found := tables_in(path.read_text("utf-8")))} == {}


@pytest.mark.parametrize(
    "text",
    [
        'who = "Base model"',
        'names = ("reasoning model",)',
        'short = {"base": "B", "reasoner": "R"}',
        'colours = {"reasoner": ORANGE, "base": BLUE}',
    ],
)
def test_a_table_of_its_own_is_found(text):
    assert tables_in(text)


def test_the_names_say_which_model():
    assert (NAMES["base"], TITLES["reasoner"], SHORT["reasoner"]) == ("base model", "Reasoning model", "Reasoning")


def coloured(scale: dict[str, list[str]]) -> dict[str, str]:
    """Role → colour of a scale whose domain names the models."""
    pairs = zip(scale["domain"], scale["range"], strict=True)
    return {role: colour for words, colour in pairs for role in ROLES if NAMES[role] in words}


def test_figures_and_attribution_give_a_model_the_same_colour():
    series = of_sources(ROLES)
    figures = dict(zip(series.names, series.colours, strict=True))
    attribution = _model_colour().to_dict()["scale"]
    assert {role: figures[SOURCES[role]] for role in ROLES} == coloured(attribution) == COLOURS
    assert COLOURS == {"base": BLUE, "reasoner": ORANGE}
