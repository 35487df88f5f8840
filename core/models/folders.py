"""Model folders on this machine: where they may lie, whether they are whole, and what identifies them.

Files are judged by their names and headers only; nothing is loaded. Knows neither the hub nor torch.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Collection, Mapping
from pathlib import Path

from core.background import Tell, silent
from core.disk.digests import digests_of
from core.errors import ModelUnavailable
from core.models.files import AGAIN, check_count, check_file, read_header, read_json
from core.settings import MODEL_ROOTS, PROJECT, made_roots, model_roots
from core.text.lines import shown_line
from core.values import ModelSpec
from core.weights import content_fingerprint

LOADED_PATTERNS = ("*.safetensors", "*.json", "*.model", "*.jinja", "*.tiktoken", "merges.txt", "vocab.txt")
MORE_TEMPLATES = "additional_chat_templates"
ADAPTER_CONFIG, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
TRAINED_ON = "trained_on"
"""Note beside an adapter's weights: the fingerprint of the model that it was trained on."""
ADAPTER_FILES = {ADAPTER_CONFIG, ADAPTER_WEIGHTS, "adapter_model.bin"}
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json")
SETTINGS_FILES = {
    "config.json",
    ADAPTER_CONFIG,
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
}
MAX_SHARDS = 1000
"""Files of weights that an index may name; the largest models have about 200."""

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
_SHA256 = re.compile(r"[0-9a-f]{64}")
_PLACES = {
    "_name_or_path",
    "name_or_path",
    "base_model_name_or_path",
    "special_tokens_map_file",
    "tokenizer_file",
    "transformers_version",
    "peft_version",
}
"""In settings files: where something was when they were written, and by which version."""


Config = Mapping[str, object]
"""A model's config.json as it stands: a file may hold anything."""


def local_folder(repo_id: str) -> Path | None:
    """The folder of a model or an adapter that `repo_id` names, or None for a hub id.

    Raises ModelUnavailable for a folder outside the roots, a path that does not exist, and a malformed id.
    """
    roots = (*model_roots(), *made_roots())
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


def content_of(folder: Path, *, named_by_hub: bool = False, tell: Tell = silent) -> str:
    """The fingerprint of a model's or an adapter's content: weights, tokenizer, templates and settings.

    Names and order of weight files do not count, nor do places and versions that settings name. With `named_by_hub`,
    a link to a file that the hub's cache named by its sha256 is taken at its word; else digests are computed once.
    """
    adapter = is_adapter([p.name for p in folder.iterdir()])
    weights = [folder / ADAPTER_WEIGHTS] if adapter else weight_files(folder)
    read = [f for f in _tokenizer_files(folder) if f.is_file()]
    known = {f: digest for f in weights if named_by_hub and (digest := _named_digest(f))}
    asked = [f for f in (*weights, *read) if f not in known]
    known |= dict(zip(asked, digests_of(asked, name=folder.name, tell=tell), strict=True))
    rows = [("weights", digest) for digest in sorted(known[f] for f in weights)]
    rows += [(str(f.relative_to(folder)), known[f]) for f in read]
    rows += [(f.name, _said(f)) for f in sorted(folder.glob("*.json")) if f.name in SETTINGS_FILES]
    ends = folder / "generation_config.json"
    rows.append(("ends", json.dumps(read_json(ends).get("eos_token_id") if ends.exists() else None)))
    return content_fingerprint(hashlib.sha256(json.dumps(rows).encode()).hexdigest())


def _tokenizer_files(folder: Path) -> list[Path]:
    """What the tokenizer is made of, settings apart: tokenizer.json stands for the files that it was made from."""
    whole = folder / TOKENIZER_FILES[0]
    names = [whole.name] if whole.exists() else [p.name for p in folder.iterdir() if _is_vocabulary(p.name)]
    templates = [f for f in (folder / n for n in ("chat_template.jinja", "chat_template.json")) if f.exists()]
    return [*(folder / n for n in sorted(names)), *templates, *sorted((folder / MORE_TEMPLATES).glob("*.jinja"))]


def _is_vocabulary(name: str) -> bool:
    return name in ("vocab.json", "merges.txt", "vocab.txt") or name.endswith((".model", ".tiktoken"))


def _said(file: Path) -> str:
    """What a settings file says, however it is written, without places and versions."""
    return json.dumps({k: v for k, v in read_json(file).items() if k not in _PLACES}, sort_keys=True)


def _named_digest(file: Path) -> str | None:
    """The sha256 that the hub's cache names a file by: it keeps large files under their digest."""
    place = Path(os.readlink(file)) if file.is_symlink() else file
    return place.name if place.parent.name == "blobs" and _SHA256.fullmatch(place.name) else None


def former_fingerprint(folder: Path, *, tell: Tell = silent) -> str:
    """(64 hex digits) how a folder was identified before: sha256 over names and contents of all files in it."""
    files = [f for f in _loaded_files(folder) if f.parent == folder and f.is_file()]
    total = hashlib.sha256()
    for file, content in zip(files, digests_of(files, name=folder.name, tell=tell), strict=True):
        total.update(f"{len(file.name)}:{file.name}:{content}\n".encode())
    return total.hexdigest()


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


def shapes_of(folder: Path) -> dict[str, tuple[int, ...]]:
    """Shapes of the weights in a checked folder by name; raises ModelUnavailable."""
    return {tensor.name: tensor.shape for file in weight_files(folder) for tensor in read_header(file)}


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
