"""Shared fixtures: tiny models in temporary folders, one thread, no network."""

from __future__ import annotations

import functools
import itertools
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("RETRACE_CACHE", tempfile.mkdtemp(prefix="retrace-tests-"))
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("OMP_NUM_THREADS", "1")

from streamlit.components.v2 import manifest_scanner

from core.directions.direction import Direction
from core.engine import Engine

manifest_scanner.scan_component_manifests = functools.cache(manifest_scanner.scan_component_manifests)
"""Every page under AppTest looks for components in all installed packages; these stay as they are while tests run."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The order in which workers take files: slow and large ones first, so that none is left to one worker at the end.

    At first every other file drives a browser, which is mostly waited for.
    """
    if not hasattr(config, "workerinput"):
        return
    files: dict[Path, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.path, []).append(item)
    ordered = sorted(files.values(), key=lambda found: (not _is_marked(found, "slow"), -len(found)))
    browsers = [found for found in ordered if _is_marked(found, "browser")]
    others = [found for found in ordered if not _is_marked(found, "browser")]
    pairs = itertools.zip_longest(browsers, others, fillvalue=[])
    items[:] = itertools.chain.from_iterable(itertools.chain.from_iterable(pairs))


def _is_marked(items: list[pytest.Item], mark: str) -> bool:
    return any(item.get_closest_marker(mark) for item in items)


@pytest.fixture(autouse=True)
def engines_end(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Engines that a test made take no step after it: what they were left at would slow all tests behind it.

    Those of fixtures with a wider scope were made before.
    """
    made: list[Engine] = []
    begin = Engine.__init__

    def noted(engine: Engine, *args: Any, **options: Any) -> None:
        made.append(engine)
        begin(engine, *args, **options)

    monkeypatch.setattr(Engine, "__init__", noted)
    yield
    for engine in made:
        engine._halted.set()
        engine._wake.set()


@pytest.fixture(scope="session")
def model_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture
def make_direction():
    """Builds a random direction: make_direction(d_model, layer=0, seed=0)."""

    def build(d_model: int, *, layer: int = 0, seed: int = 0, norm: float = 1.0) -> Direction:
        raw = np.random.default_rng(seed).standard_normal(d_model).astype(np.float32)
        return Direction.from_raw(raw * np.float32(norm / np.linalg.norm(raw)), name=f"random {seed}", layer=layer)

    return build
