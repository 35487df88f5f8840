"""What is set from outside: the README's table and the module say the same."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from core import settings
from core.settings import PROJECT, VARIABLES

READ_BY_OTHERS = {"HF_TOKEN", "CHROMIUM"}
"""Variables that huggingface_hub and the tests read themselves."""


def test_the_table_of_the_readme_is_that_of_the_module() -> None:
    text = (PROJECT / "README.md").read_text("utf-8")
    rows = re.findall(r"^\| `([A-Z_]+)` \| (.+) \|$", text, re.MULTILINE)
    assert dict(rows) == VARIABLES


def test_only_the_settings_name_variables_of_retrace() -> None:
    files = [p for folder in ("core", "ui", "pages") for p in (PROJECT / folder).rglob("*.py")]
    literals = {
        node.value
        for path in files
        if path.name != "settings.py"
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert not {name for name in VARIABLES if name in literals} - READ_BY_OTHERS
    assert {v for k, v in vars(settings).items() if k.isupper() and isinstance(v, str)} | READ_BY_OTHERS == set(
        VARIABLES
    )


@pytest.mark.parametrize(
    ("read", "variable"), [(settings.model_roots, settings.MODEL_ROOTS), (settings.data_roots, settings.DATA_ROOTS)]
)
def test_folders_are_separated_and_resolved(read, variable, monkeypatch, tmp_path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    monkeypatch.setenv(variable, f"{tmp_path / 'link'}: :{tmp_path}")
    assert read()[-2:] == ((tmp_path / "real").resolve(), tmp_path.resolve())
    monkeypatch.delenv(variable)
    assert read() == ((PROJECT / "demo",) if variable == settings.MODEL_ROOTS else ())


def test_the_pair_of_the_start_is_what_is_written(monkeypatch) -> None:
    monkeypatch.setenv(settings.PAIR, " a/b , c/d ")
    assert settings.first_pair() == "a/b , c/d"
    monkeypatch.delenv(settings.PAIR)
    assert settings.first_pair() == ""
    monkeypatch.delenv(settings.CACHE, raising=False)
    assert settings.cache_folder() == Path(PROJECT / "cache")
