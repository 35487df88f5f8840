"""The rules of the house: what may import what, who owns what, how large things may be. Each lists what breaks it.

A rule takes the project's folder, so that `test_architecture` can show each one broken in a house made for it.
"""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Callable, Iterator
from pathlib import Path

HEAVY = {"torch", "transformers", "accelerate", "bitsandbytes"}

CORE = (
    ("errors",),
    ("values", "statistics", "settings", "dose_search"),
    ("child", "jobs", "weights"),
    ("engine", "background"),
    ("text",),
    ("disk", "lora", "tokens", "sharing", "memory"),
    ("models", "directions"),
    ("traces",),
    ("importing", "labelling", "forward", "fetching"),
    ("extraction", "runs", "attribution"),
    ("fleet",),
    ("experiments", "finetuning"),
    ("embedded", "kinds", "remembered", "series", "talk"),
    ("bundles",),
    ("workbench",),
    ("api", "guests"),
)
"""Modules and packages of `core/`, from the ground up; each row may import the rows before it."""
UI = (
    ("components",),
    ("figures",),
    ("shell",),
    ("directions", "talk"),
    (
        "home",
        "traces",
        "labelling",
        "finetuning",
        "extraction",
        "playground",
        "attribution",
        "experiments",
        "bundles",
        "guide",
        "sharing",
    ),
)
"""Packages of `ui/`; those of a row do not know each other."""
MAX_PACKAGE, MAX_MODULE, MAX_PAGE, MAX_FUNCTION = 16, 300, 150, 40
HOOKS, DATABASE = "core/forward/hooks.py", "core/disk/database.py"


def sources(root: Path) -> list[Path]:
    """Every source file of the program."""
    folders = ("core", "ui", "pages", "retrace", "demo", "benchmarks")
    return [*root.glob("app.py"), *(p for folder in folders for p in sorted((root / folder).rglob("*.py")))]


def dotted(root: Path, path: Path) -> str:
    """The name that a file is imported by."""
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@functools.lru_cache(maxsize=4096)
def _imports(text: str) -> frozenset[str]:
    tree = ast.parse(text)
    typing_only = {
        id(child)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for child in ast.walk(node)
    }
    found: set[str] = set()
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(found)


def imports_of(path: Path) -> frozenset[str]:
    """Dotted names that a file imports, wherever in it; imports under TYPE_CHECKING do not count."""
    return _imports(path.read_text("utf-8"))


def tops(path: Path) -> set[str]:
    """The first part of everything that a file imports."""
    return {name.split(".")[0] for name in imports_of(path)}


def _modules(root: Path, folder: str) -> Iterator[tuple[Path, str]]:
    """Files below a folder, and their place: the first part of the name below it."""
    for path in sorted((root / folder).rglob("*.py")):
        place = path.relative_to(root / folder).with_suffix("").parts[0]
        if place != "__init__":
            yield path, place


def order(root: Path) -> list[str]:
    """Imports point down the rows of CORE and UI; core knows nothing above it."""
    broken = []
    for folder, rows in (("core", CORE), ("ui", UI)):
        rank = {name: number for number, names in enumerate(rows) for name in names}
        for path, place in _modules(root, folder):
            if place not in rank:
                broken.append(f"{path}: {place} has no place in the order")
            for name in imports_of(path):
                top, _, rest = name.partition(".")
                other = rest.split(".")[0]
                if folder == "core" and top in {"ui", "pages", "app", "retrace", "demo", "benchmarks"}:
                    broken.append(f"{path} imports {name}")
                if top == folder and other in rank and place in rank and other != place and rank[other] >= rank[place]:
                    broken.append(f"{path} imports {name}")
    return broken


def circles(root: Path) -> list[str]:
    """No module reaches itself through imports."""
    paths = {dotted(root, p): p for folder in ("core", "ui") for p in (root / folder).rglob("*.py")}
    known = {name: {_module(i, paths) for i in imports_of(p)} & set(paths) - {name} for name, p in paths.items()}
    left = dict(known)
    while free := [name for name, wanted in left.items() if not wanted & set(left)]:
        for name in free:
            del left[name]
    return sorted(left)


def _module(imported: str, paths: dict[str, Path]) -> str:
    """The module that an imported name is or lies in."""
    return imported if imported in paths else imported.rpartition(".")[0]


def faces(root: Path) -> list[str]:
    """A package of core is entered by the modules of its `Face:` line; its `__init__` is that docstring alone."""
    broken, face = [], {}
    for init in sorted((root / "core").glob("*/__init__.py")):
        package = init.parent.name
        tree = ast.parse(init.read_text("utf-8"))
        found = re.search(r"^Face: (.+)", ast.get_docstring(tree) or "", re.MULTILINE | re.DOTALL)
        face[package] = set(re.split(r",\s+", found[1].strip())) if found else set()
        if not found or len(tree.body) != 1:
            broken.append(f"{init}: not a docstring with a line 'Face: …' and nothing else")
        broken += [f"{init} names {m}" for m in face[package] if not (init.parent / f"{m}.py").exists()]
    for path in sources(root):
        own = path.relative_to(root).parts[:2]
        for name in imports_of(path):
            parts = name.split(".")
            foreign = parts[0] == "core" and len(parts) > 2 and parts[1] in face and own != ("core", parts[1])
            if foreign and parts[2] not in face[parts[1]]:
                broken.append(f"{path} imports {name}, which is not in the face of core/{parts[1]}")
    return broken


def owners(root: Path) -> list[str]:
    """Hooks are registered in one module, diskcache is used in one."""
    hook = re.compile(r"register_(forward|full_backward|backward)|register_module_")
    wrong = [f"{p} registers hooks" for p in sources(root) if hook.search(p.read_text("utf-8")) and p != root / HOOKS]
    return wrong + [f"{p} uses diskcache" for p in sources(root) if "diskcache" in tops(p) and p != root / DATABASE]


def roots(root: Path) -> list[str]:
    """At the root of core lies what the order names there; at the root of ui nothing."""
    named = {name for names in CORE for name in names}
    found = {p.stem for p in (root / "core").glob("*.py")} - {"__init__"} - named
    return sorted(found | {f"ui/{p.name}" for p in (root / "ui").glob("*.py") if p.stem != "__init__"})


def libraries(root: Path) -> list[str]:
    """Core draws nothing; what draws computes nothing."""
    wrong = []
    for path in sources(root):
        forbidden = {"core": {"streamlit", "altair", "pandas"}, "ui": HEAVY, "pages": HEAVY, "app.py": HEAVY}
        found = tops(path) & forbidden.get(path.relative_to(root).parts[0], set())
        wrong += [f"{path} imports {name}" for name in sorted(found)]
    return wrong


def sizes(root: Path) -> list[str]:
    """Packages, modules, pages and functions stay small."""
    wrong = []
    for folder in {p.parent for p in sources(root) if p.parts[len(root.parts)] in ("core", "ui")}:
        n = len([p for p in folder.glob("*.py") if p.stem != "__init__"])
        wrong += [f"{folder} has {n} modules"] if n > MAX_PACKAGE else []
    for path in sources(root):
        text = path.read_text("utf-8")
        limit = MAX_PAGE if path.parent.name == "pages" else MAX_MODULE
        wrong += [f"{path} has {text.count(chr(10))} lines"] if text.count("\n") > limit else []
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                wrong += [f"{path}: {node.name} has {length} lines"] if length > MAX_FUNCTION else []
    return wrong


def names(root: Path) -> list[str]:
    """Every module says what it is; its name does not repeat its package's, and is no drawer for everything."""
    wrong = []
    for path in sources(root):
        if not ast.get_docstring(ast.parse(path.read_text("utf-8"))):
            wrong.append(f"{path} has no docstring")
        if path.stem in {"utils", "helpers", "misc", "common"}:
            wrong.append(f"{path} is a drawer for everything")
        if path.parent.name in path.stem.split("_") and path.parts[len(root.parts)] in ("core", "ui"):
            wrong.append(f"{path} repeats its package's name")
    return wrong


def safety(root: Path) -> list[str]:
    """No pickle, no code from elsewhere, no HTML from text."""
    wrong = []
    unsafe = re.compile(r"unsafe_allow_html\s*=\s*True|trust_remote_code\s*=\s*True|st\.html\(|components\.v1")
    for path in sources(root):
        text = path.read_text("utf-8")
        if tops(path) & {"pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve"}:
            wrong.append(f"{path} pickles")
        if unsafe.search(text) or any("weights_only=True" not in c for c in re.findall(r"torch\.load\([^)]*\)", text)):
            wrong.append(f"{path} trusts what it should not")
    return wrong


RULES: tuple[Callable[[Path], list[str]], ...] = (
    order,
    circles,
    faces,
    owners,
    roots,
    libraries,
    sizes,
    names,
    safety,
)
