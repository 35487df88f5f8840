"""LoRA adapters with random weights in PEFT's format, and what a model with one of them computes unmerged."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from core.models.loaded import LoadedModel

PREFIX = "base_model.model."


def adapter_folder(
    folder: Path, tensors: Mapping[str, torch.Tensor], *, r: int = 4, alpha: float = 8, **config: Any
) -> Path:
    """A folder with `adapter_config.json` and `adapter_model.safetensors`; keys get PEFT's prefix."""
    folder.mkdir(parents=True, exist_ok=True)
    told = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": "maker/base", "bias": "none"}
    told |= {"r": r, "lora_alpha": alpha, "target_modules": ["q_proj"], "init_lora_weights": True, **config}
    (folder / "adapter_config.json").write_text(json.dumps(told))
    save_file({PREFIX + key: t.contiguous() for key, t in tensors.items()}, folder / "adapter_model.safetensors")
    return folder


def factors(module: str, n_out: int, n_in: int, *, r: int = 4, seed: int = 0, size: float = 0.1) -> dict[str, Any]:
    """Random factors of one linear map, by key."""
    random = torch.Generator().manual_seed(seed)
    a, b = (torch.randn(shape, generator=random) * size for shape in ((r, n_in), (n_out, r)))
    return {f"{module}.lora_A.weight": a, f"{module}.lora_B.weight": b}


@contextmanager
def unmerged(loaded: LoadedModel, tensors: Mapping[str, torch.Tensor], scale: float) -> Iterator[None]:
    """Each map W x becomes W x + scale · b (a x) in its forward, as in training; weights stay as they are."""
    modules = [key.removesuffix(".lora_A.weight") for key in tensors if key.endswith(".lora_A.weight")]
    handles = []
    for name in modules:
        a, b = (tensors[f"{name}.lora_{half}.weight"].float() for half in "AB")
        module = loaded.model.get_submodule(name)

        def add(_m: Any, inputs: Any, output: Any, a: Any = a, b: Any = b) -> Any:
            return output + scale * (inputs[0] @ a.T) @ b.T

        handles.append(module.register_forward_hook(add))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
