"""Where a model's files are, what identifies them, and how much memory they need: all before anything is loaded.

A local folder, or a hub id pinned to a commit. Knows no transformers; torch only to ask a graphics card.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path

from core.background import Errand, Tell, silent
from core.errors import ModelUnavailable
from core.models.adapters import Adapter, find_adapter, merging_bytes, peek_adapter, untied_parameters
from core.models.files import Tensor, read_header
from core.models.folders import (
    Config,
    check_beside,
    check_folder,
    content_of,
    former_fingerprint,
    local_folder,
    read_config,
    weight_files,
)
from core.models.hub import config_and_tensors, download
from core.values import ModelSpec, PairSpec, Precision, is_content
from core.weights import hub_fingerprint, merged_fingerprint

LOADED_AT_ONCE = 4
"""Weights that transformers reads at a time; one where they are quantised."""
CONTROL_GROUP = Path("/sys/fs/cgroup")
MAX_LAYERS = 1000
EXPERTS = ".experts."
UNQUANTISED = rf"embed|lm_head|wte|wpe|norm|{re.escape(EXPERTS)}"
"""In the names of matrices that stay in the precision of the residual stream."""


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A folder with everything that loading reads; `commit` is None for a local folder."""

    path: Path
    commit: str | None
    fingerprint: str
    """Of the content of the model, and of the adapter that is merged into it."""
    former: str
    """Its fingerprint of before, by place."""
    adapter: Adapter | None = None
    adapter_commit: str | None = None

    @property
    def tokenizer(self) -> Path:
        """The folder whose tokenizer is read: the adapter's own, where it brings one."""
        return (self.adapter and self.adapter.tokenizer) or self.path


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
    experts_bytes: int = 0
    """Of the weights: experts, which int8 and nf4 leave in bf16."""
    merging_bytes: int = 0
    """What merging an adapter takes beside the weights while they are loaded."""
    adapter_base: str = ""
    """The model that the adapter says it was trained on, or nothing."""
    matrices: tuple[tuple[int, ...], ...] = ()
    """Shapes of the linear maps of the blocks."""
    d_vocab: int = 0


def find_checkpoint(spec: ModelSpec, *, progress: Tell = silent) -> Checkpoint:
    """The files of `spec`: a folder under the configured roots, or a hub model downloaded at one commit.

    Raises ModelUnavailable where they are missing, out of bounds, incomplete, or would need code of the model's own.
    """
    if spec.adapter is None:
        return _find_model(spec, progress)
    adapter, commit = find_adapter(spec, progress=progress)
    found = _find_model(spec, progress)
    if is_content(adapter.trained_on) and adapter.trained_on != found.fingerprint:
        raise ModelUnavailable(
            f"The adapter {adapter.name!r} was trained on other weights than those of {spec.repo_id!r}.",
            f"Give {adapter.base or 'the model that it was trained on'} as the model, as it was then.",
        )
    own = ModelSpec(repo_id=spec.adapter)
    now, former = _fingerprints(own, adapter.path, commit, progress)
    return replace(
        found,
        adapter=adapter,
        adapter_commit=commit,
        fingerprint=merged_fingerprint(found.fingerprint, now),
        former=merged_fingerprint(found.former, former),
    )


def _find_model(spec: ModelSpec, tell: Tell) -> Checkpoint:
    folder, commit = local_folder(spec.repo_id), None
    if folder is None:
        folder, commit = download(spec, progress=tell)
    _check_model(spec, folder)
    now, former = _fingerprints(spec, folder, commit, tell)
    return Checkpoint(path=folder, commit=commit, fingerprint=now, former=former)


def _fingerprints(spec: ModelSpec, folder: Path, commit: str | None, tell: Tell) -> tuple[str, str]:
    """How the files in a folder are identified now, and were before."""
    now = content_of(folder, named_by_hub=commit is not None, tell=tell)
    return now, hub_fingerprint(spec, commit) if commit else former_fingerprint(folder, tell=tell)


def _check_model(spec: ModelSpec, folder: Path) -> None:
    check_folder(folder)
    check_beside([p.name for p in folder.iterdir()], spec)


def estimate_memory(spec: ModelSpec) -> MemoryEstimate:
    """Memory that `spec` will need, read from file headers; of a hub model only the config is downloaded.

    Raises ModelUnavailable as `find_checkpoint` does.
    """
    folder = local_folder(spec.repo_id)
    if folder is not None:
        _check_model(spec, folder)
        return estimate_folder(folder, spec.precision, peek_adapter(spec))
    config, tensors = config_and_tensors(spec)
    return _with_adapter(_estimate(config, tensors, spec.precision), tensors, spec.precision, peek_adapter(spec))


@dataclass(frozen=True, kw_only=True)
class PairNeed:
    """What a pair would take, and what is free on the base model's device, and of the computer's memory."""

    pair: PairSpec
    base: MemoryEstimate
    reasoner: MemoryEstimate
    free_bytes: int
    computer_bytes: int = 0


def estimate_pair(pair: PairSpec, errand: Errand) -> PairNeed:
    """The need of both models; files and the hub may keep it waiting. Raises ModelUnavailable."""
    found = []
    for spec in (pair.base, pair.reasoner):
        errand.tell(f"reading what {spec.name} needs")
        found.append(estimate_memory(spec))
    free, computer = available_memory(pair.base.device), available_memory("cpu")
    return PairNeed(pair=pair, base=found[0], reasoner=found[1], free_bytes=free, computer_bytes=computer)


def estimate_folder(folder: Path, precision: Precision, adapter: Adapter | None = None) -> MemoryEstimate:
    """As `estimate_memory`, for files that are already here."""
    check_folder(folder)
    tensors = [tensor for file in weight_files(folder) for tensor in read_header(file)]
    return _with_adapter(
        _estimate(read_config(folder / "config.json"), tensors, precision), tensors, precision, adapter
    )


def _with_adapter(
    estimate: MemoryEstimate, tensors: list[Tensor], precision: Precision, adapter: Adapter | None
) -> MemoryEstimate:
    """The estimate with what an adapter adds to it."""
    if adapter is None:
        return estimate
    more = untied_parameters(adapter, tensors)
    return replace(
        estimate,
        weights_bytes=estimate.weights_bytes + more * (4 if precision == "fp32" else 2),
        n_params=estimate.n_params + more,
        adapter_base=adapter.base,
        merging_bytes=merging_bytes(adapter, at_once=1 if precision in ("int8", "nf4") else LOADED_AT_ONCE),
    )


def available_memory(device: str) -> int:
    """Free bytes on `device`: of the graphics card, or of the machine within its container's limit."""
    if device.startswith("cuda"):
        return _graphics_memory(device)
    import psutil  # type: ignore[import-untyped]

    return min([int(psutil.virtual_memory().available), *_container_headroom()])


@dataclass(frozen=True, kw_only=True)
class _Sizes:
    """What a config.json says of a decoder, whatever its family calls it."""

    n_layers: int
    d_model: int
    d_head: int
    kv_heads: int
    context_length: int


_NAMES = {
    "n_layers": ("num_hidden_layers", "n_layer", "n_layers", "num_layers"),
    "d_model": ("hidden_size", "n_embd", "d_model"),
    "n_heads": ("num_attention_heads", "n_head", "n_heads", "num_heads", "attention_heads"),
    "kv_heads": ("num_key_value_heads", "num_kv_heads"),
    "context_length": ("max_position_embeddings", "n_positions", "max_seq_len", "n_ctx"),
}


def _sizes_of(config: Config) -> _Sizes:
    """Raises TypeError, in words for the user, where they are not there."""
    text = config.get("text_config")
    fields: Config = text if isinstance(text, dict) else config

    def find(name: str, default: int | None = None) -> int:
        found = next((v for key in _NAMES[name] if (v := fields.get(key))), default)
        if not isinstance(found, int):
            raise TypeError(f"it states no usable {_NAMES[name][0]}")
        return found

    d_model, n_heads = find("d_model"), max(1, find("n_heads"))
    d_head = fields.get("head_dim")
    return _Sizes(
        n_layers=find("n_layers"),
        d_model=d_model,
        d_head=d_head if isinstance(d_head, int) and d_head else d_model // n_heads,
        kv_heads=find("kv_heads", 1 if fields.get("multi_query") else n_heads),
        context_length=find("context_length", 0),
    )


def _estimate(config: Config, tensors: list[Tensor], precision: Precision) -> MemoryEstimate:
    try:
        sizes = _sizes_of(config)
        if not 0 < sizes.n_layers <= min(len(tensors), MAX_LAYERS):
            raise ValueError("it has more layers than weights")
    except (TypeError, ValueError) as error:
        raise ModelUnavailable(
            f"config.json does not describe a decoder-only language model with attention: {error}.",
            "Choose a causal language model such as Llama, Qwen, Mistral, Gemma or GPT-NeoX.",
        ) from None
    width = 4 if precision == "fp32" else 2
    weights = round(sum(prod(t.shape) * _bytes_per_parameter(t, precision) for t in tensors))
    return MemoryEstimate(
        weights_bytes=weights,
        peak_bytes=weights + _quantising_bytes(tensors, precision),
        kv_bytes_per_token=2 * sizes.n_layers * sizes.kv_heads * sizes.d_head * width,
        n_params=sum(prod(t.shape) for t in tensors),
        context_length=sizes.context_length,
        n_layers=sizes.n_layers,
        d_model=sizes.d_model,
        experts_bytes=sum(prod(t.shape) for t in tensors if EXPERTS in t.name) * width,
        matrices=tuple(t.shape for t in tensors if len(t.shape) == 2 and not re.search(UNQUANTISED, t.name)),
        d_vocab=max((t.shape[0] for t in tensors if len(t.shape) == 2 and re.search("embed|wte", t.name)), default=0),
    )


def _bytes_per_parameter(tensor: Tensor, precision: Precision) -> float:
    """Only the linear layers of the blocks are quantised; nf4 adds doubly quantised scales, one per 64 weights.

    Experts are no linear layers: transformers keeps those of a block in one tensor, which bitsandbytes leaves alone.
    """
    quantised = len(tensor.shape) == 2 and not re.search(UNQUANTISED, tensor.name)
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
