"""The rules that keep the code as ARCHITECTURE.md draws it, read from the sources. The rules themselves: `house`."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests import house

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text("utf-8")


@pytest.mark.parametrize("rule", house.RULES, ids=lambda rule: rule.__name__)
def test_the_house_stands(rule):
    assert rule(ROOT) == []


def plant(root: Path, files: dict[str, str]) -> Path:
    """A house of two packages and a page that breaks no rule, with these files changed or added."""
    sound = {
        "core/__init__.py": '"""Core."""',
        "core/errors.py": '"""Errors."""',
        "core/forward/__init__.py": '"""One pass.\n\nFace: hooks, edits\n"""',
        "core/forward/hooks.py": '"""Hooks."""\nfrom core.forward import inner\nx.register_forward_hook(inner)',
        "core/forward/edits.py": '"""Edits."""',
        "core/forward/inner.py": '"""Own."""\nimport core.errors',
        "core/disk/__init__.py": '"""Bytes.\n\nFace: store\n"""',
        "core/disk/store.py": '"""Store."""\nfrom core.disk import database',
        "core/disk/database.py": '"""Database."""\nimport diskcache',
        "core/runs/__init__.py": '"""Runs.\n\nFace: work\n"""',
        "core/runs/work.py": '"""Work."""\nfrom core.forward.hooks import record\nfrom core.disk import store',
        "ui/__init__.py": '"""Ui."""',
        "ui/shell/__init__.py": '"""Shell."""',
        "ui/shell/frame.py": '"""Frame."""\nimport streamlit\nfrom core.runs import work',
        "pages/home.py": '"""Home."""\nfrom ui.shell.frame import draw',
    }
    for name, text in (sound | files).items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n", "utf-8")
    return root


VIOLATIONS = {
    "an arrow that runs up": ({"core/disk/files.py": '"""x"""\nfrom core.runs.work import x'}, house.order),
    "an arrow that runs up, inside a function": (
        {"core/disk/files.py": '"""x"""\ndef f():\n    import core.runs.work'},
        house.order,
    ),
    "a sibling that is known": (
        {"core/attribution/one.py": '"""x"""\nfrom core.runs import work', "core/attribution/__init__.py": '"""x"""'},
        house.order,
    ),
    "a page's folder that knows another": ({"ui/home/a.py": '"""x"""\nfrom ui.traces import reader'}, house.order),
    "the shell that knows a page": ({"ui/shell/a.py": '"""x"""\nfrom ui.home import verdict'}, house.order),
    "core that knows ui": ({"core/disk/files.py": '"""x"""\nfrom ui.shell import frame'}, house.order),
    "a package without a place": ({"core/misc/a.py": '"""x"""'}, house.order),
    "a circle": (
        {
            "core/forward/edits.py": '"""x"""\nfrom core.forward.inner import x',
            "core/forward/inner.py": '"""x"""\nfrom core.forward import edits',
        },
        house.circles,
    ),
    "a longer circle": (
        {
            "core/forward/edits.py": '"""x"""\nfrom core.forward.inner import x',
            "core/forward/inner.py": '"""x"""\nfrom core.forward.hooks import x',
            "core/forward/hooks.py": '"""x"""\ndef f():\n    from core.forward import edits',
        },
        house.circles,
    ),
    "a hook elsewhere": ({"core/runs/lanes.py": '"""x"""\nm.register_forward_pre_hook(f)'}, house.owners),
    "diskcache elsewhere": ({"core/disk/store.py": '"""x"""\nfrom diskcache import Cache'}, house.owners),
    "a module at the root of core": ({"core/helpers.py": '"""x"""'}, house.roots),
    "a module at the root of ui": ({"ui/helpers.py": '"""x"""'}, house.roots),
    "a face that is passed by": ({"core/runs/work.py": '"""x"""\nfrom core.forward.inner import x'}, house.faces),
    "a face that is passed by through the package": (
        {"ui/shell/frame.py": '"""x"""\nfrom core.disk import database'},
        house.faces,
    ),
    "a face that names nothing": ({"core/disk/__init__.py": '"""x\n\nFace: store, shelf\n"""'}, house.faces),
    "a package without a face": ({"core/disk/__init__.py": '"""Bytes."""'}, house.faces),
    "a package that re-exports": (
        {"core/disk/__init__.py": '"""x\n\nFace: store\n"""\nfrom core.disk.store import x'},
        house.faces,
    ),
    "streamlit in core": ({"core/runs/work.py": '"""x"""\ndef f():\n    import streamlit'}, house.libraries),
    "torch in a page": ({"pages/home.py": '"""x"""\nimport torch'}, house.libraries),
    "torch in a part of a page": ({"ui/shell/frame.py": '"""x"""\nfrom transformers import x'}, house.libraries),
    "a large package": ({f"core/runs/m{i}.py": '"""x"""' for i in range(16)}, house.sizes),
    "a long module": ({"core/runs/long.py": '"""x"""\n' + "x = 1\n" * 300}, house.sizes),
    "a long page": ({"pages/home.py": '"""x"""\n' + "x = 1\n" * 150}, house.sizes),
    "a long function": ({"core/runs/long.py": '"""x"""\ndef f():\n' + "    x = 1\n" * 40}, house.sizes),
    "a name that repeats its package": ({"core/runs/runs_work.py": '"""x"""'}, house.names),
    "a drawer for everything": ({"core/runs/utils.py": '"""x"""'}, house.names),
    "no docstring": ({"core/runs/work.py": "x = 1"}, house.names),
    "pickle": ({"core/runs/work.py": '"""x"""\nimport pickle'}, house.safety),
    "torch.load of anything": ({"core/runs/work.py": '"""x"""\ntorch.load(path)'}, house.safety),
    "code from a repository": ({"core/runs/work.py": '"""x"""\nload(trust_remote_code=True)'}, house.safety),
}


def test_a_sound_house_breaks_no_rule(tmp_path):
    plant(tmp_path, {})
    assert {rule.__name__: rule(tmp_path) for rule in house.RULES} == {rule.__name__: [] for rule in house.RULES}


@pytest.mark.parametrize("name", VIOLATIONS)
def test_every_planted_violation_is_found(name, tmp_path):
    files, rule = VIOLATIONS[name]
    plant(tmp_path, files)
    assert rule(tmp_path)


def test_importing_the_app_costs_no_torch():
    modules = sorted(house.dotted(ROOT, path) for path in (ROOT / "ui").rglob("*.py"))
    code = f"import sys, core.workbench, {', '.join(modules)}; print(sorted({house.HEAVY!r} & set(sys.modules)))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert shown.stdout.strip() == "[]"


def test_requirements_are_pinned_and_justified():
    for file in ("requirements.txt", "requirements-dev.txt", "requirements-ray.txt"):
        for line in (ROOT / file).read_text().splitlines():
            if line and not line.startswith(("#", "-r")):
                name, _, version = line.partition("==")
                assert re.fullmatch(r"[0-9][\w.+]*", version), f"{line} is not pinned"
                assert f"| {name} |" in README, f"{name} has no line in the README's table"


def pinned(file: str) -> set[str]:
    return {line.partition("==")[0] for line in (ROOT / file).read_text().splitlines()}


def test_every_package_that_is_imported_is_pinned():
    ours = {"core", "ui", "pages", "retrace", "demo", "benchmarks", "tests", "app"}
    installed = pinned("requirements.txt") - {"vl-convert-python"} | {"vl_convert"}
    for path in house.sources(ROOT):
        allowed = installed | (pinned("requirements-dev.txt") if "benchmarks" in path.parts else set())
        allowed |= {"ray"} if path == ROOT / "core/fleet/on_ray.py" else set()
        assert house.tops(path) - set(sys.stdlib_module_names) - ours <= allowed, path


def test_the_map_names_what_is_there_and_everyone_of_the_order():
    text = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
    paths = set(re.findall(r"`((?:core|ui|pages|tests)/[\w/.]+)`", text))
    assert len(paths) > 40
    assert [path for path in sorted(paths) if not (ROOT / path).exists()] == []
    table = text[text.index("## The order") : text.index("A package of `core/` is entered")]
    named = set(re.findall(r"`(\w+)/?`", table))
    assert named == {name for rows in (house.CORE, house.UI) for names in rows for name in names} | {"ui", "core"}
