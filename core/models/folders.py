"""Model folders on this machine: where they may lie, whether they are whole, and what identifies them.

Files are judged by their names and headers only; nothing is loaded. Knows neither the hub nor torch.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import struct
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict, cast

from core.errors import ModelUnavailable
from core.settings import MODEL_ROOTS, PROJECT, model_roots
from core.text.lines import shown_line
from core.values import ModelSpec

LOADED_PATTERNS = ("*.safetensors", "*.json", "*.model", "*.jinja", "*.tiktoken", "merges.txt", "vocab.txt")
ADAPTER_CONFIG, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
ADAPTER_FILES = {ADAPTER_CONFIG, ADAPTER_WEIGHTS, "adapter_model.bin"}
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json")

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
_MAX_HEADER = 100 * 2**20
_digests: dict[tuple[object, ...], str] = {}


class Config(TypedDict, total=False):
    """The fields of a model's config.json that are read here; a file may hold anything under them."""

    auto_map: object
    quantization_config: object
    text_config: Config
    num_hidden_layers: int
    hidden_size: int
    num_attention_heads: int
    head_dim: int | None
    num_key_value_heads: int | None
    max_position_embeddings: int | None


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """One stored weight: its name and shape."""

    name: str
    shape: tuple[int, ...]


def local_folder(repo_id: str) -> Path | None:
    """The folder of a model or an adapter that `repo_id` names, or None for a hub id.

    Raises ModelUnavailable for a folder outside the roots, a path that does not exist, and a malformed id.
    """
    roots = model_roots()
    folders = _existing(repo_id, roots)
    allowed = [f for f in folders if any(f.is_relative_to(root) for root in roots)]
    if allowed:
        return allowed[0]
    ours = repo_id.startswith("demo/")
    if _HUB_ID.fullmatch(repo_id) and not ours and ".." not in repo_id and "--" not in repo_id:
        return None
    if folders:
        raise ModelUnavailable(
            f"The folder {repo_id!r} is outside the folders that models may be loaded from.",
            f"Set the environment variable {MODEL_ROOTS} to the folder that holds it, and start again.",
        )
    raise ModelUnavailable(
        f"There is no model folder {repo_id!r}, and it is not a hub id.",
        "Give a hub id such as 'deepseek-ai/DeepSeek-R1-Distill-Llama-8B', or the path of an existing folder.",
    )


def check_folder(folder: Path) -> None:
    """Raise ModelUnavailable unless `folder` holds a whole model: config, tokenizer, undamaged safetensors, no code."""
    names = [p.name for p in folder.iterdir()]
    if is_adapter(names):
        raise an_adapter(folder.name, made_for(folder / ADAPTER_CONFIG))
    check_names(names, folder.name)
    check_config(read_config(folder / "config.json"))
    if (folder / "tokenizer_config.json").exists():
        refuse_code(read_config(folder / "tokenizer_config.json"))
    for file in weight_files(folder):
        read_header(file)


def is_adapter(names: Collection[str]) -> bool:
    """Whether these files are an adapter without the weights that it belongs to."""
    others = [n for n in names if n.endswith((".safetensors", ".bin")) and n not in ADAPTER_FILES]
    return bool(ADAPTER_FILES & set(names)) and not others


def made_for(config: Path) -> str:
    """The model that an adapter_config.json names as its base, or nothing."""
    name = read_json(config).get("base_model_name_or_path") if config.exists() else None
    return shown_line(name, 200) if isinstance(name, str) else ""


def an_adapter(name: str, base: str) -> ModelUnavailable:
    """The error for an adapter that is given where a model is asked for."""
    return ModelUnavailable(
        f"{name!r} is an adapter{f' of {base}' if base else ''}, not a whole model.",
        f"Give {base or 'the model that it was trained on'} as the model and {name!r} as its adapter.",
    )


def check_beside(names: Collection[str], spec: ModelSpec) -> None:
    """Raise ModelUnavailable where an adapter lies beside the weights and `spec` does not name it as the adapter."""
    found = sorted(ADAPTER_FILES & set(names))
    if found and spec.adapter != spec.repo_id:
        raise ModelUnavailable(
            f"{spec.repo_id!r} holds weights and an adapter beside them ({found[0]}).",
            "To merge it, give the same name as the adapter too; to leave it out, use a copy without its files.",
        )


def check_adapter_names(names: Collection[str], adapter: str) -> None:
    """Raise ModelUnavailable unless the file names include an adapter's config and its safetensors weights."""
    if ADAPTER_CONFIG not in names:
        raise ModelUnavailable(
            f"{adapter!r} has no {ADAPTER_CONFIG}, so it is no adapter in PEFT's format.",
            f"Choose a repository or folder with {ADAPTER_CONFIG} and {ADAPTER_WEIGHTS}.",
        )
    if ADAPTER_WEIGHTS not in names:
        pickled = "adapter_model.bin" in names
        why = "only a pickle file, which can run code when opened" if pickled else "no weights"
        raise ModelUnavailable(
            f"The adapter {adapter!r} has {why}; {ADAPTER_WEIGHTS} is needed.",
            "Choose a revision with that file, or save the adapter again as safetensors.",
        )


def check_names(names: Collection[str], model: str) -> None:
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


def check_config(config: Config) -> None:
    """Raise ModelUnavailable for a config that asks for code of the model's own or holds quantised weights."""
    refuse_code(config)
    if config.get("quantization_config"):
        raise ModelUnavailable(
            "The weights of this model are already quantised by another tool.",
            "Choose the original model; Retrace quantises it while loading if you pick int8 or nf4.",
        )


def read_json(path: Path) -> dict[str, object]:
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


def read_config(path: Path) -> Config:
    """The config.json or tokenizer_config.json in `path`; raises ModelUnavailable as `read_json` does."""
    return cast(Config, read_json(path))


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


def weight_files(folder: Path) -> list[Path]:
    """The files that loading will read: one, or the shards that the index names; raises ModelUnavailable."""
    if (folder / "model.safetensors").exists():
        return [folder / "model.safetensors"]
    index = read_json(folder / "model.safetensors.index.json")
    shards = index.get("weight_map")
    names = sorted({str(n) for n in shards.values()}) if isinstance(shards, dict) else []
    if not names or any(Path(n).name != n for n in names):
        raise ModelUnavailable("The index of the model's weights is broken.", "Fetch the model's files again.")
    return [folder / n for n in names]


def _existing(repo_id: str, roots: tuple[Path, ...]) -> list[Path]:
    """Folders that the text may mean, links resolved; anything can stand in a link, so no text may raise."""
    if not repo_id.strip():
        return []
    try:
        given = Path(repo_id).expanduser()
        candidates = [given] if given.is_absolute() else [base / given for base in (PROJECT, *roots)]
        return [Path(os.path.realpath(c)) for c in candidates if c.is_dir()]
    except (OSError, ValueError, RuntimeError):
        return []


def refuse_code(config: Config) -> None:
    if config.get("auto_map"):
        raise ModelUnavailable(
            "This model needs Python code of its own (auto_map), which Retrace never runs.",
            "Choose a model that transformers supports by itself, such as Llama, Qwen, Mistral or Gemma.",
        )
