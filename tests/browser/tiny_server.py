"""A server on a tiny random pair that writes long texts slowly enough to be stopped, watched and killed."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from core.directions.direction import Direction
from core.directions.folder import DirectionFolder
from core.settings import MODEL_ROOTS
from tests.tiny_models import tiny_folder

QUESTION = "What is 3 plus 4?"


def prepare(root: Path, *, name: str = "random direction", direction: bool = True) -> dict[str, str]:
    """Model folders and, unless there is to be none, a saved direction under `root`; the server's environment."""
    for seed, role in ((1, "base"), (2, "reasoner")):
        template = {"chat_template": None} if role == "base" else {}
        tiny_folder(root, "llama", seed=seed, name=role, n_layers=24, d_model=64, context_length=4096, **template)
    if direction:
        raw = np.random.default_rng(0).standard_normal(64).astype(np.float32)
        saved = Direction.from_raw(raw, name=name, layer=2, resid_norm=4.0, source_model="base")
        DirectionFolder(root / "cache").save(saved)
    return {
        "RETRACE_PAIR": f"{root / 'base'},{root / 'reasoner'}",
        "RETRACE_PRECISION": "fp32",
        MODEL_ROOTS: str(root),
    }
