"""Where a model's files are, what identifies them, and how much memory they need: all before anything is loaded.

A local folder, or a hub id pinned to a commit. Knows no transformers; torch only to ask a graphics card.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from pathlib import Path

from core.errors import ModelUnavailable
from core.models.folders import (
    Config,
    Tensor,
    check_folder,
    folder_fingerprint,
    local_folder,
    read_config,
    read_header,
    weight_files,
)
from core.models.hub import config_and_tensors, download
from core.values import ModelSpec, Precision, hub_fingerprint

Progress = Callable[[str], None]

CONTROL_GROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A folder with everything that loading reads; `commit` is None for a local folder."""

    path: Path
    commit: str | None
    fingerprint: str


@dataclass(frozen=True, kw_only=True)
class MemoryEstimate:
    """Bytes that weights and each cached token take at a precision, and the model's sizes."""

    weights_bytes: int
    peak_bytes: int
    """While loading: the weights, and what quantising the largest of them takes. Pages of the files come on top; the
    system takes them back when it needs them."""
    kv_bytes_per_token: int
    n_params: int
    context_length: int
    n_layers: int
    d_model: int


def find_checkpoint(spec: ModelSpec, *, progress: Progress | None = None) -> Checkpoint:
    """The files of `spec`: a folder under the configured roots, or a hub model downloaded at one commit.

    Raises ModelUnavailable where they are missing, out of bounds, incomplete, or would need code of the model's own.
    """
    tell = progress or (lambda _: None)
    folder = local_folder(spec.repo_id)
    if folder is None:
        folder, commit = download(spec, progress=tell)
        check_folder(folder)
        return Checkpoint(path=folder, commit=commit, fingerprint=hub_fingerprint(spec, commit))
    check_folder(folder)
    tell(f"Checking the files of {spec.name}")
    return Checkpoint(path=folder, commit=None, fingerprint=folder_fingerprint(folder))


def estimate_memory(spec: ModelSpec) -> MemoryEstimate:
    """Memory that `spec` will need, read from file headers; of a hub model only the config is downloaded.

    Raises ModelUnavailable as `find_checkpoint` does.
    """
    folder = local_folder(spec.repo_id)
    if folder is not None:
        return estimate_folder(folder, spec.precision)
    config, tensors = config_and_tensors(spec)
    return _estimate(config, tensors, spec.precision)


def estimate_folder(folder: Path, precision: Precision) -> MemoryEstimate:
    """As `estimate_memory`, for files that are already here."""
    check_folder(folder)
    tensors = [tensor for file in weight_files(folder) for tensor in read_header(file)]
    return _estimate(read_config(folder / "config.json"), tensors, precision)


def available_memory(device: str) -> int:
    """Free bytes on `device`: of the graphics card, or of the machine within its container's limit."""
    if device.startswith("cuda"):
        return _graphics_memory(device)
    import psutil  # type: ignore[import-untyped]

    return min([int(psutil.virtual_memory().available), *_container_headroom()])


def _estimate(config: Config, tensors: list[Tensor], precision: Precision) -> MemoryEstimate:
    sizes = config.get("text_config") or config
    try:
        n_layers, d_model = int(sizes["num_hidden_layers"]), int(sizes["hidden_size"])
        heads = int(sizes["num_attention_heads"])
        head_dim = int(sizes.get("head_dim") or d_model // heads)
        kv_heads = int(sizes.get("num_key_value_heads") or heads)
        if not 0 < n_layers <= len(tensors):
            raise ValueError("more layers than weights")
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        raise ModelUnavailable(
            "config.json does not describe a decoder-only language model.",
            "Choose a causal language model such as Llama, Qwen, Mistral, Gemma or GPT-NeoX.",
        ) from None
    width = 4 if precision == "fp32" else 2
    weights = round(sum(prod(t.shape) * _bytes_per_parameter(t, precision) for t in tensors))
    return MemoryEstimate(
        weights_bytes=weights,
        peak_bytes=weights + _quantising_bytes(tensors, precision),
        kv_bytes_per_token=2 * n_layers * kv_heads * head_dim * width,
        n_params=sum(prod(t.shape) for t in tensors),
        context_length=int(sizes.get("max_position_embeddings") or 0),
        n_layers=n_layers,
        d_model=d_model,
    )


def _bytes_per_parameter(tensor: Tensor, precision: Precision) -> float:
    """Only the linear layers of the blocks are quantised; nf4 adds doubly quantised scales, one per 64 weights."""
    quantised = len(tensor.shape) == 2 and not re.search(r"embed|lm_head|wte|wpe|norm", tensor.name)
    full = 4.0 if precision == "fp32" else 2.0
    return {"int8": 1.0, "nf4": 0.516}.get(precision, full) if quantised else full


def _quantising_bytes(tensors: list[Tensor], precision: Precision) -> int:
    """A weight is there in bf16, in float32 and in parts of both while it is quantised: measured, 16 bytes a value."""
    if precision not in ("int8", "nf4"):
        return 0
    return max((16 * prod(t.shape) for t in tensors if _bytes_per_parameter(t, precision) < 2), default=0)


def _graphics_memory(device: str) -> int:
    import torch

    try:
        return int(torch.cuda.mem_get_info(torch.device(device))[0])
    except (RuntimeError, AssertionError, ValueError):
        raise ModelUnavailable(
            f"There is no device {device!r} on this machine.", "Choose the CPU, or the number of a card that is there."
        ) from None


def _container_headroom() -> list[int]:
    """What the control group still allows, where one is set; file pages that it counts can be given up."""
    try:
        limit, used = (int((CONTROL_GROUP / f"memory.{n}").read_text()) for n in ("max", "current"))
        pages = re.search(r"^file (\d+)$", (CONTROL_GROUP / "memory.stat").read_text(), re.MULTILINE)
    except (OSError, ValueError):
        return []
    return [limit - used + (int(pages[1]) if pages else 0)]
