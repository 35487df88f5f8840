"""A tiny base model, made-up traces and a short recipe, trained in a moment."""

from __future__ import annotations

from pathlib import Path

import torch

from core.finetuning.folder import RunFolder
from core.finetuning.values import Finetuned, FinetuneSpec, Recipe
from core.finetuning.work import finetune
from core.jobs import finish
from core.traces.events import digest_of
from core.values import ModelSpec, Trace
from tests.tiny_models import Family, tiny_folder

RECIPE = Recipe(rank=2, alpha=4, steps=6, rate=1e-2, warmup=2, batch_tokens=160, max_tokens=120, held_out=0.1, every=2)


def made_up(n: int = 24) -> tuple[Trace, ...]:
    """Traces of different lengths, each with its own question."""
    return tuple(
        Trace(
            trace_id=str(i),
            prompt=f"What is {i} plus {i + 1}?",
            text=f"First I add {i} and {i + 1}. "
            + "Wait, let me check this again. " * (i % 3)
            + f"So it is {2 * i + 1}.",
        )
        for i in range(n)
    )


def spec_of(
    folder: Path, traces: tuple[Trace, ...] = made_up(), recipe: Recipe = RECIPE, *, template: str = ""
) -> FinetuneSpec:
    """A finetune of the model in a folder."""
    return FinetuneSpec(
        name="thinker",
        base=ModelSpec(repo_id=str(folder)),
        traces="made up",
        traces_digest=digest_of(traces),
        recipe=recipe,
        template=template,
    )


def trained(tmp_path: Path, family: Family = "llama", *, recipe: Recipe = RECIPE) -> Finetuned:
    """A finished finetune of a new tiny model, in `tmp_path / "out"`."""
    torch.set_num_threads(1)
    spec = spec_of(tiny_folder(tmp_path, family), recipe=recipe)
    return finish(finetune(spec, made_up(), RunFolder(tmp_path / "out")))


def adapter_bytes(folder: Path) -> bytes:
    """The finished adapter's weights."""
    return (folder / "adapter_model.safetensors").read_bytes()
