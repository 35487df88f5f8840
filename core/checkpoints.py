"""Where a model's files are, what identifies them, and how much memory they need: all before anything is loaded.

Local folders lie under configured roots; everything else is a hub id, pinned to a commit. Knows no torch and no
transformers.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from core.errors import ModelUnavailable
from core.values import ModelSpec, Precision

Progress = Callable[[str], None]

ROOTS_VARIABLE = "RETRACE_MODEL_ROOTS"
PROJECT = Path(__file__).resolve().parent.parent
LOADED_PATTERNS = ("*.safetensors", "*.json", "*.model", "*.jinja", "*.tiktoken", "merges.txt", "vocab.txt")
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json")

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
_MAX_HEADER = 100 * 2**20
_digests: dict[tuple[Any, ...], str] = {}


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
    kv_bytes_per_token: int
    n_params: int
    context_length: int
    n_layers: int
    d_model: int


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """One stored weight: its name and shape."""

    name: str
    shape: tuple[int, ...]


def find_checkpoint(spec: ModelSpec, *, progress: Progress | None = None) -> Checkpoint:
    """The files of `spec`: a folder under the configured roots, or a hub model downloaded at one commit.

    Raises ModelUnavailable where they are missing, out of bounds, incomplete, or would need code of the model's own.
    """
    tell = progress or (lambda _: None)
    folder = local_folder(spec.repo_id)
    if folder is None:
        from core.hub import download

        folder, commit = download(spec, progress=tell)
        check_folder(folder)
        return Checkpoint(path=folder, commit=commit, fingerprint=f"{spec.repo_id}@{commit}")
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
    from core.hub import config_and_tensors

    config, tensors = config_and_tensors(spec)
    return _estimate(config, tensors, spec.precision)


def estimate_folder(folder: Path, precision: Precision) -> MemoryEstimate:
    """As `estimate_memory`, for files that are already here."""
    check_folder(folder)
    tensors = [tensor for file in _weight_files(folder) for tensor in read_header(file)]
    return _estimate(read_json(folder / "config.json"), tensors, precision)


def available_memory(device: str) -> int:
    """Free bytes on `device`: of the graphics card, or of the machine within its container's limit."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.mem_get_info(torch.device(device))[0]
    import psutil  # type: ignore[import-untyped]

    return min([int(psutil.virtual_memory().available), *_container_headroom()])


def local_folder(repo_id: str) -> Path | None:
    """The folder that `repo_id` names, or None for a hub id.

    Raises ModelUnavailable for a folder outside the roots, a path that does not exist, and a malformed id.
    """
    roots = _roots()
    given = Path(repo_id).expanduser()
    candidates = [given] if given.is_absolute() else [base / given for base in (PROJECT, *roots)]
    folders = [Path(os.path.realpath(c)) for c in candidates if c.is_dir()] if repo_id.strip() else []
    allowed = [f for f in folders if any(f.is_relative_to(root) for root in roots)]
    if allowed:
        return allowed[0]
    if _HUB_ID.fullmatch(repo_id) and ".." not in repo_id and "--" not in repo_id:
        return None
    if folders:
        raise ModelUnavailable(
            f"The folder {repo_id!r} is outside the folders that models may be loaded from.",
            f"Set the environment variable {ROOTS_VARIABLE} to the folder that holds it, and start again.",
        )
    raise ModelUnavailable(
        f"There is no model folder {repo_id!r}, and it is not a hub id.",
        "Give a hub id such as 'deepseek-ai/DeepSeek-R1-Distill-Llama-8B', or the path of an existing folder.",
    )


def check_folder(folder: Path) -> None:
    """Raise ModelUnavailable unless `folder` holds a whole model: config, tokenizer, undamaged safetensors, no code."""
    check_config(read_json(folder / "config.json"))
    check_names([p.name for p in folder.iterdir()], folder.name)
    if (folder / "tokenizer_config.json").exists():
        _refuse_code(read_json(folder / "tokenizer_config.json"))
    for file in _weight_files(folder):
        read_header(file)


def check_names(names: list[str], model: str) -> None:
    """Raise ModelUnavailable unless the file names include a config, safetensors weights and a tokenizer."""
    if "config.json" not in names:
        raise ModelUnavailable(
            f"{model!r} has no config.json, so it is not a model in the transformers format.",
            "Choose a repository or folder with config.json, tokenizer.json and *.safetensors files.",
        )
    if not any(n.endswith(".safetensors") for n in names):
        pickled = any(n.endswith((".bin", ".pt", ".pth", ".ckpt")) for n in names)
        why = "only pickle files, which can run code when opened" if pickled else "no weights"
        raise ModelUnavailable(
            f"{model!r} has {why}; safetensors weights are needed.",
            "Choose a revision with *.safetensors files, or convert the weights to safetensors first.",
        )
    if not any(n in TOKENIZER_FILES for n in names):
        raise ModelUnavailable(
            f"{model!r} has no tokenizer files.",
            f"Add {TOKENIZER_FILES[0]} of the same model to it, or choose another.",
        )


def check_config(config: dict[str, Any]) -> None:
    """Raise ModelUnavailable for a config that asks for code of the model's own or holds quantised weights."""
    _refuse_code(config)
    if config.get("quantization_config"):
        raise ModelUnavailable(
            "The weights of this model are already quantised by another tool.",
            "Choose the original model; Retrace quantises it while loading if you pick int8 or nf4.",
        )


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in `path`; raises ModelUnavailable where it is missing, broken or no object."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        value, reason = None, "is missing"
    except (OSError, ValueError, RecursionError):
        value, reason = None, "cannot be read as JSON"
    else:
        reason = "does not hold a JSON object"
    if not isinstance(value, dict):
        raise ModelUnavailable(
            f"{path.name} of the model {reason}.", "Fetch the model's files again, or choose another."
        )
    return value


def read_header(path: Path) -> list[Tensor]:
    """The tensors of a safetensors file; raises ModelUnavailable where it is damaged or cut off.

    Checked before loading because reading past the end of a memory-mapped file ends the process.
    """
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > _MAX_HEADER:
                raise ValueError("header too long")
            header = json.loads(file.read(length))
        header.pop("__metadata__", None)
        end = max((int(entry["data_offsets"][1]) for entry in header.values()), default=0)
        if path.stat().st_size != 8 + length + end:
            raise ValueError("wrong size")
        return [Tensor(name=name, shape=tuple(map(int, entry["shape"]))) for name, entry in header.items()]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError, struct.error):
        raise ModelUnavailable(
            f"The weights file {path.name} is damaged or cut off.", "Fetch the file again; the copy here is incomplete."
        ) from None


def folder_fingerprint(folder: Path) -> str:
    """(64 hex digits) sha256 over names and contents of all files that loading reads, remembered while unchanged."""
    files = sorted({f for pattern in LOADED_PATTERNS for f in folder.glob(pattern) if f.is_file()})
    stats = [(f.name, f.stat()) for f in files]
    key = (str(folder), *((name, s.st_size, s.st_mtime_ns, s.st_ino) for name, s in stats))
    if key not in _digests:
        total = hashlib.sha256()
        for file in files:
            with file.open("rb") as stream:
                content = hashlib.file_digest(stream, "sha256").hexdigest()
            total.update(f"{len(file.name)}:{file.name}:{content}\n".encode())
        _digests[key] = total.hexdigest()
    return _digests[key]


def _roots() -> tuple[Path, ...]:
    extra = [r for r in os.environ.get(ROOTS_VARIABLE, "").split(os.pathsep) if r.strip()]
    return tuple(Path(os.path.realpath(Path(r).expanduser())) for r in [str(PROJECT / "demo"), *extra])


def _refuse_code(config: dict[str, Any]) -> None:
    if config.get("auto_map"):
        raise ModelUnavailable(
            "This model needs Python code of its own (auto_map), which Retrace never runs.",
            "Choose a model that transformers supports by itself, such as Llama, Qwen, Mistral or Gemma.",
        )


def _weight_files(folder: Path) -> list[Path]:
    """The files that loading will read: one, or the shards that the index names."""
    if (folder / "model.safetensors").exists():
        return [folder / "model.safetensors"]
    index = read_json(folder / "model.safetensors.index.json")
    shards = index.get("weight_map")
    names = sorted({str(n) for n in shards.values()}) if isinstance(shards, dict) else []
    if not names or any(Path(n).name != n for n in names):
        raise ModelUnavailable("The index of the model's weights is broken.", "Fetch the model's files again.")
    return [folder / n for n in names]


def _estimate(config: dict[str, Any], tensors: list[Tensor], precision: Precision) -> MemoryEstimate:
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
    return MemoryEstimate(
        weights_bytes=round(sum(prod(t.shape) * _bytes_per_parameter(t, precision) for t in tensors)),
        kv_bytes_per_token=2 * n_layers * kv_heads * head_dim * width,
        n_params=sum(prod(t.shape) for t in tensors),
        context_length=int(sizes.get("max_position_embeddings") or 0),
        n_layers=n_layers,
        d_model=d_model,
    )


def _bytes_per_parameter(tensor: Tensor, precision: Precision) -> float:
    """Only the linear layers of the blocks are quantised; nf4 also keeps a scale per block of 64."""
    quantised = len(tensor.shape) == 2 and not re.search(r"embed|lm_head|wte|wpe|norm", tensor.name)
    full = 4.0 if precision == "fp32" else 2.0
    return {"int8": 1.0, "nf4": 0.56}.get(precision, full) if quantised else full


def _container_headroom() -> list[int]:
    """What the control group still allows, where one is set; file pages that it counts can be given up."""
    group = Path("/sys/fs/cgroup")
    try:
        limit, used = (int((group / f"memory.{n}").read_text()) for n in ("max", "current"))
        pages = re.search(r"^file (\d+)$", (group / "memory.stat").read_text(), re.MULTILINE)
    except (OSError, ValueError):
        return []
    return [limit - used + (int(pages[1]) if pages else 0)]
