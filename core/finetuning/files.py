"""An adapter as files in PEFT's format, which Retrace, PEFT and transformers read. Knows no disk."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence

from safetensors.numpy import save

from core.errors import BadInput
from core.finetuning.values import FinetuneSpec
from core.models.folders import ADAPTER_CONFIG, ADAPTER_WEIGHTS, TRAINED_ON
from core.models.naming import show_merged
from core.values import Floats

CARD = "README.md"


def adapter_files(
    spec: FinetuneSpec, names: Sequence[str], factors: Sequence[Floats], *, turned: bool, trained_on: str
) -> Mapping[str, bytes]:
    """Name and content of weights and config, the config last: with it, the folder is an adapter.

    `factors` are A and B of each of the names in turn, `trained_on` the base model's fingerprint.
    """
    tensors = {}
    for i, name in enumerate(names):
        for half, factor in zip("AB", factors[2 * i : 2 * i + 2], strict=True):
            tensors[f"base_model.model.{name}.lora_{half}.weight"] = factor
    weights = _with_metadata(save(tensors), {"format": "pt", TRAINED_ON: trained_on})
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": spec.base.repo_id,
        "revision": spec.base.revision,
        "r": spec.recipe.rank,
        "lora_alpha": spec.recipe.alpha,
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": turned,
        "target_modules": sorted({_end(name) for name in names}),
        "init_lora_weights": True,
        "inference_mode": True,
    }
    return {ADAPTER_WEIGHTS: weights, ADAPTER_CONFIG: json.dumps(config, indent=1).encode()}


def in_bf16(weights: bytes) -> bytes:
    """A file of weights with every number rounded to bf16, and its notes as they were. Raises BadInput."""
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load
    from safetensors.torch import save as save_tensors

    try:
        tensors = {name: tensor.to(torch.bfloat16) for name, tensor in load(weights).items()}
    except (SafetensorError, ValueError) as error:
        raise BadInput("The adapter's weights are damaged.", "Finetune again, or use a checkpoint.") from error
    (size,) = struct.unpack("<Q", weights[:8])
    notes = json.loads(weights[8 : 8 + size]).get("__metadata__", {})
    if not all(bool(tensor.isfinite().all()) for tensor in tensors.values()):
        raise BadInput("The adapter holds numbers that are not finite.", "Train it again, with a lower rate.")
    return _with_metadata(save_tensors(tensors), notes)


def _with_metadata(data: bytes, metadata: Mapping[str, str]) -> bytes:
    """A safetensors file with metadata in a fixed order, so that equal adapters are equal bytes."""
    (size,) = struct.unpack("<Q", data[:8])
    header = json.dumps({"__metadata__": metadata, **json.loads(data[8 : 8 + size])}, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return struct.pack("<Q", len(header)) + header + data[8 + size :]


def _end(name: str) -> str:
    return name.rpartition(".")[2]


def model_card(spec: FinetuneSpec, *, loss: float, held_out: float | None) -> bytes:
    """What the adapter is, for people."""
    recipe = spec.recipe
    measured = f"{loss:.3f} nats a token" + (f", {held_out:.3f} on held-out traces" if held_out is not None else "")
    return f"""# {spec.name}

A LoRA adapter that makes {show_merged(spec.base)} reason, trained by Retrace.

- Traces: {spec.traces} (digest {spec.traces_digest}). Whatever licence they and the base model have holds for this too.
- Rank {recipe.rank}, alpha {recipe.alpha:g}, {recipe.steps} steps of {recipe.batch_tokens:,} tokens, learning rate
  {recipe.rate:g} with {recipe.warmup} steps of warm-up and a cosine, seed {recipe.seed}, {spec.base.precision}.
- Loss: {measured}.
""".encode()
