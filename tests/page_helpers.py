"""Pages under AppTest: a tiny pair on disk, a workbench with it loaded and a cache of its own, the page itself."""

from __future__ import annotations

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from core.settings import CACHE, PAIR
from core.values import ModelSpec, PairSpec
from core.workbench import Workbench
from tests.tiny_models import tiny_folder
from ui.shell.frame import _MARK
from ui.shell.state import workbench

ROOT = Path(__file__).resolve().parent.parent
PAGES = ("home", *sorted({path.stem for path in (ROOT / "pages").glob("*.py")} - {"home"}))
"""Home first, as a visitor meets them."""


def save_tiny_pair(root: Path, *, d_model: int = 32) -> PairSpec:
    """A base model and a reasoner with random weights, saved under `root`."""
    base = tiny_folder(root, seed=1, name="base", chat_template=None, d_model=d_model)
    reasoner = tiny_folder(root, seed=2, name="reasoner", d_model=d_model)
    return PairSpec(base=ModelSpec(repo_id=str(base)), reasoner=ModelSpec(repo_id=str(reasoner)))


def start_workbench(cache: Path, pair: PairSpec, monkeypatch: pytest.MonkeyPatch) -> Workbench:
    """The workbench that pages will use, on an own cache folder, with the pair loaded."""
    monkeypatch.setenv(CACHE, str(cache))
    monkeypatch.setenv(PAIR, f"{pair.base.repo_id},{pair.reasoner.repo_id}")
    monkeypatch.setenv("RETRACE_PRECISION", "fp32")
    workbench.clear()
    bench = workbench()
    done = bench.engine.wait(bench.load_pair(pair), 120)
    assert done.state == "done", done.error
    return bench


def page_test(stem: str, *, seconds: float = 30) -> AppTest:
    """The page without the sidebar, not yet run."""
    app = AppTest.from_file(str(ROOT / "pages" / f"{stem}.py"), default_timeout=seconds)
    app.session_state[_MARK] = True
    return app


def app_test(stem: str, *, seconds: float = 30) -> AppTest:
    """The page within the whole app, run once, so that links between pages work."""
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=seconds)
    app.run()
    return app if stem == "home" else app.switch_page(f"pages/{stem}.py")
