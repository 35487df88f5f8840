"""The dependency rules of ARCHITECTURE.md, and the limits on size, as tests."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCES = [
    ROOT / "app.py",
    *(p for d in ("core", "ui", "pages", "demo", "benchmarks") for p in (ROOT / d).rglob("*.py")),
]
HEAVY = {"torch", "transformers", "accelerate", "bitsandbytes"}
LAYERS = (
    ("errors", "metrics", "settings", "files"),
    ("child",),
    (
        "values",
        "jobs",
        "folders",
        "chat_frame",
        "chat_template",
        "tensor_child",
        "safe_disk",
        "chat_logs",
        "data_files",
        "record_reader",
        "trace_report",
    ),
    (
        "judge_client",
        "kv_cache",
        "packed_attention",
        "directions",
        "traces",
        "sentences",
        "hub",
        "encoding",
        "codec",
        "alignment",
    ),
    (
        "labels",
        "agreement",
        "judge_crew",
        "runs",
        "checkpoints",
        "moments",
        "kept_files",
        "tensor_files",
        "direction_algebra",
        "trace_files",
        "annotated_chains",
        "window_coverage",
    ),
    (
        "judge_prompt",
        "experiments",
        "effects",
        "corpus",
        "token_alignment",
        "direction_files",
        "contrast",
        "selection",
        "loading",
        "journal",
        "store",
        "trace_edits",
        "trace_records",
    ),
    (
        "judge",
        "models",
        "controls",
        "moment_shelf",
        "examples",
        "mean_vectors",
        "direction_exports",
        "trace_sets",
        "programs",
        "doses",
        "forks",
        "history",
        "run_export",
        "run_script",
    ),
    (
        "hooks",
        "readings",
        "prompt_sets",
        "trace_generation",
        "lens",
        "method_agreement",
        "trace_import",
        "trace_queries",
        "direction_imports",
    ),
    ("targets", "paired", "frozen_linears"),
    ("logit_attribution",),
    ("pair", "extraction", "generation", "attribution", "gradients", "interventions"),
    ("divergence", "forced"),
    ("work", "reading"),
    ("lane_jobs",),
    ("workbench",),
)


def imports_of(path: Path, *, top_level_only: bool = False) -> set[str]:
    """Modules that a file imports; imports under TYPE_CHECKING do not count."""
    tree = ast.parse(path.read_text("utf-8"))
    typing_only = {
        id(child)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for child in ast.walk(node)
    }
    nodes = tree.body if top_level_only else list(ast.walk(tree))
    found: set[str] = set()
    for node in nodes:
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def tops(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imports_of(path)}


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", sorted((ROOT / "core").glob("*.py")), ids=relative)
def test_core_never_imports_streamlit_or_what_lies_above_it(path):
    assert tops(path).isdisjoint({"streamlit", "ui", "pages", "app", "demo", "altair", "pandas"})


@pytest.mark.parametrize(
    "path", [ROOT / "app.py", *(ROOT / "pages").glob("*.py"), *(ROOT / "ui").glob("*.py")], ids=relative
)
def test_pages_and_parts_never_import_torch(path):
    assert tops(path).isdisjoint(HEAVY)


def test_every_core_module_has_its_place_and_imports_only_downwards():
    place = {name: i for i, names in enumerate(LAYERS) for name in names}
    modules = {p.stem for p in (ROOT / "core").glob("*.py")} - {"__init__"}
    assert modules == set(place)
    for name in modules:
        for imported in imports_of(ROOT / "core" / f"{name}.py"):
            parts = imported.split(".")
            if parts[0] == "core" and len(parts) > 1 and parts[1] in place:
                assert place[parts[1]] < place[name] or parts[1] == name, f"{name} imports {parts[1]}"


def test_one_owner_for_hooks_and_one_for_diskcache():
    hooks = [
        relative(p) for p in SOURCES if re.search(r"register_(forward|full_backward|backward)", p.read_text("utf-8"))
    ]
    assert hooks == ["core/hooks.py"]
    assert [relative(p) for p in SOURCES if "diskcache" in tops(p)] == ["core/safe_disk.py"]


def test_importing_the_app_costs_no_torch():
    code = (
        "import sys; import core.workbench, ui.shell, ui.dose_response, ui.steering_form, ui.run_view, ui.interrupted; "
        f"print(sorted({HEAVY!r} & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert shown.stdout.strip() == "[]"


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_modules_functions_and_pages_stay_small(path):
    text = path.read_text("utf-8")
    lines = text.count("\n")
    assert lines <= (150 if path.parent.name == "pages" else 300), f"{lines} lines"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            assert length <= 40, f"{node.name} has {length} lines"


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_nothing_unsafe_is_written(path):
    text = path.read_text("utf-8")
    assert "utils.py" not in path.name
    assert not tops(path) & {"pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve"}
    assert not re.search(r"unsafe_allow_html\s*=\s*True|trust_remote_code\s*=\s*True|st\.html\(|components\.v1", text)
    for call in re.findall(r"torch\.load\([^)]*\)", text):
        assert "weights_only=True" in call


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_every_module_says_what_it_is(path):
    assert ast.get_docstring(ast.parse(path.read_text("utf-8")))


def test_requirements_are_pinned_and_justified():
    readme = (ROOT / "README.md").read_text("utf-8")
    for file in ("requirements.txt", "requirements-dev.txt"):
        for line in (ROOT / file).read_text().splitlines():
            if line and not line.startswith(("#", "-r")):
                name, _, version = line.partition("==")
                assert re.fullmatch(r"[0-9][\w.+]*", version), f"{line} is not pinned"
                assert f"| {name} |" in readme, f"{name} has no line in the README's table"


def pinned(file: str) -> set[str]:
    return {line.partition("==")[0] for line in (ROOT / file).read_text().splitlines()}


def test_every_package_that_is_imported_is_pinned():
    ours = {"core", "ui", "pages", "demo", "benchmarks", "tests", "app"}
    installed = pinned("requirements.txt") - {"vl-convert-python"} | {"vl_convert"}
    for path in SOURCES:
        allowed = installed | (pinned("requirements-dev.txt") if "benchmarks" in path.parts else set())
        assert tops(path) - set(sys.stdlib_module_names) - ours <= allowed, path
