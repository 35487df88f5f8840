"""Model folders on this machine: where they may lie, whether they are whole, and what identifies them.

Files are judged by their names and headers only; nothing is loaded. Knows neither the hub nor torch.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from core.background import Tell, silent
from core.errors import ModelUnavailable
from core.models.files import AGAIN, check_count, check_file, read_header, read_json
from core.settings import MODEL_ROOTS, PROJECT, model_roots
from core.text.lines import shown_line
from core.values import ModelSpec

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

LOADED_PATTERNS = ("*.safetensors", "*.json", "*.model", "*.jinja", "*.tiktoken", "merges.txt", "vocab.txt")
MORE_TEMPLATES = "additional_chat_templates"
ADAPTER_CONFIG, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
ADAPTER_FILES = {ADAPTER_CONFIG, ADAPTER_WEIGHTS, "adapter_model.bin"}
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json")
MAX_SHARDS = 1000
"""Files of weights that an index may name; the largest models have about 200."""

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
_digests: dict[tuple[object, ...], str] = {}


Config = Mapping[str, object]
"""A model's config.json as it stands: a file may hold anything."""


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
    for file in _loaded_files(folder):
        check_file(file)
    check_config(read_config(folder / "config.json"))
    if (folder / "tokenizer_config.json").exists():
        refuse_code(read_config(folder / "tokenizer_config.json"))
    check_count(sum(len(read_header(file)) for file in weight_files(folder)), folder.name)


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


def read_config(path: Path) -> Config:
    """The config.json or tokenizer_config.json in `path`; raises ModelUnavailable as `read_json` does."""
    return read_json(path)


def folder_fingerprint(folder: Path, *, tell: Tell = silent) -> str:
    """(64 hex digits) sha256 over names and contents of all files that loading reads, remembered while unchanged."""
    files = [f for f in _loaded_files(folder) if f.parent == folder and f.is_file()]
    stats = [(f.name, f.stat()) for f in files]
    key = (str(folder), *((name, s.st_size, s.st_mtime_ns, s.st_ino) for name, s in stats))
    if key not in _digests:
        total, read = hashlib.sha256(), _Meter(sum(s.st_size for _, s in stats), folder.name, tell)
        for file in files:
            with _Metered(file, read) as stream:
                content = hashlib.file_digest(stream, "sha256").hexdigest()
            total.update(f"{len(file.name)}:{file.name}:{content}\n".encode())
        _digests[key] = total.hexdigest()
    return _digests[key]


class _Meter:
    """Tells how much of a folder has been read."""

    def __init__(self, total: int, name: str, tell: Tell) -> None:
        self._total, self._name, self._tell, self._done = max(total, 1), name, tell, 0

    def add(self, n_bytes: int) -> None:
        self._done += n_bytes
        words = f"{self._done / 1e9:.1f} of {self._total / 1e9:.1f} GB"
        self._tell(f"Checking the files of {self._name}: {words}", self._done / self._total)


class _Metered(io.FileIO):
    """A file whose reading is told."""

    def __init__(self, path: Path, meter: _Meter) -> None:
        super().__init__(path, "rb")
        self._meter = meter

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        n_bytes = super().readinto(buffer)
        self._meter.add(n_bytes)
        return n_bytes


def weight_files(folder: Path) -> list[Path]:
    """The files that loading will read: one, or the shards that the index names; raises ModelUnavailable."""
    if os.path.lexists(folder / "model.safetensors"):
        return [folder / "model.safetensors"]
    index = read_json(folder / "model.safetensors.index.json")
    shards = index.get("weight_map")
    names = sorted({str(n) for n in shards.values()}) if isinstance(shards, dict) else []
    if not names or any(Path(n).name != n for n in names):
        raise ModelUnavailable("The index of the model's weights is broken.", "Fetch the model's files again.")
    if len(names) > MAX_SHARDS:
        raise ModelUnavailable(f"The index of the model's weights names more than {MAX_SHARDS:,} files.", AGAIN)
    return [folder / n for n in names]


def _loaded_files(folder: Path) -> list[Path]:
    """Everything in the folder that loading may open, by name."""
    found = {f for pattern in LOADED_PATTERNS for f in folder.glob(pattern)}
    return sorted(found | set((folder / MORE_TEMPLATES).glob("*.jinja")))


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
