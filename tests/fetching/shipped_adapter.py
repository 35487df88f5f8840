"""A tiny adapter that the project ships for the tiny GGUF model, in a project folder of its own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.fetching import shipped
from core.fetching.catalogue import SOURCES, Source
from core.models import folders
from tests.tiny_adapters import adapter_folder, factors

NAME, Q = "Llama-tiny-thinking", "model.layers.0.self_attn.q_proj"


def put_adapter(root: Path, source: Source, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The adapter's folder; from now on `root` is the project, and the source can be fetched."""
    monkeypatch.setitem(SOURCES, source.name, source)
    for module in (shipped, folders):
        monkeypatch.setattr(module, "PROJECT", root)
    monkeypatch.setattr("core.settings.PROJECT", root)
    place = adapter_folder(root / shipped.ADAPTERS / NAME, factors(Q, 64, 64), base_model_name_or_path=source.name)
    (place / shipped.RECORD).write_text(json.dumps({"attribution": "Built with Llama"}))
    return place
