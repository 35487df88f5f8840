"""LoRA adapters in PEFT's format: found, and judged by their config and header before anything is loaded.

Knows neither torch nor the base model's names and shapes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path

from core.background import Tell
from core.errors import ModelUnavailable
from core.lora.changes import EMBEDDINGS, Change, changes_of
from core.models.files import Tensor, read_header, read_json, read_note
from core.models.folders import (
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    TOKENIZER_FILES,
    TRAINED_ON,
    check_adapter_names,
    local_folder,
    made_for,
    read_config,
    refuse_code,
)
from core.models.hub import adapter_files, download
from core.values import ModelSpec


@dataclass(frozen=True, kw_only=True)
class Adapter:
    """A LoRA adapter as its config and header tell."""

    name: str
    path: Path
    """The folder of its files."""
    base: str
    """The model that it says it was trained on, or nothing."""
    changes: Mapping[str, Change]
    """By parameter."""
    tokenizer: Path | None
    """The folder of its own tokenizer, where it brings one."""
    trained_on: str = ""
    """The fingerprint of that model, where it says one."""


def find_adapter(spec: ModelSpec, *, progress: Tell) -> tuple[Adapter, str | None]:
    """The adapter that `spec` names, and the commit of a hub one; raises ModelUnavailable as `find_checkpoint` does."""
    own, commit = _spec_of(spec), None
    folder = local_folder(own.repo_id)
    if folder is None:
        folder, commit = download(own, progress=progress, adapter=True)
    return read_adapter(folder, own.name), commit


def peek_adapter(spec: ModelSpec) -> Adapter | None:
    """The adapter that `spec` names, if any; of a hub adapter only the config and the header are downloaded."""
    if spec.adapter is None:
        return None
    own = _spec_of(spec)
    folder = local_folder(own.repo_id)
    if folder is not None:
        return read_adapter(folder, own.name)
    config, tensors = adapter_files(own)
    return _judge(own.name, config, tensors)


def read_adapter(folder: Path, name: str) -> Adapter:
    """The adapter in a folder; raises ModelUnavailable, saying what it is that cannot be merged."""
    check_adapter_names([p.name for p in folder.iterdir()], name)
    found = _judge(name, folder / ADAPTER_CONFIG, read_header(folder / ADAPTER_WEIGHTS))
    return replace(found, trained_on=read_note(folder / ADAPTER_WEIGHTS, TRAINED_ON))


def merging_bytes(adapter: Adapter, *, at_once: int) -> int:
    """Bytes that merging takes while loading: the largest changed weights in float32, as many as are made at once."""
    sizes = sorted((prod(change.shape) for change in adapter.changes.values()), reverse=True)
    return 4 * sum(sizes[:at_once])


def untied_parameters(adapter: Adapter, tensors: Sequence[Tensor]) -> int:
    """How many parameters more the model has because embedding and unembedding are no longer one tensor."""
    if any(re.search(r"lm_head|embed_out", t.name) for t in tensors):
        return 0
    apart = (c for c in adapter.changes.values() if c.own and EMBEDDINGS & set(c.parameter.split(".")))
    return max((prod(change.shape) for change in apart), default=0)


def _spec_of(spec: ModelSpec) -> ModelSpec:
    assert spec.adapter is not None, "the model has an adapter"
    return ModelSpec(repo_id=spec.adapter, revision=spec.adapter_revision)


def _judge(name: str, config_file: Path, tensors: Sequence[Tensor]) -> Adapter:
    folder = config_file.parent
    names = [p.name for p in folder.iterdir()]
    return Adapter(
        name=name,
        path=folder,
        base=made_for(config_file),
        changes=changes_of(name, read_json(config_file), {t.name: t.shape for t in tensors}),
        tokenizer=folder if _brings_tokenizer(name, folder, names) else None,
    )


def _brings_tokenizer(name: str, folder: Path, names: Sequence[str]) -> bool:
    """Whether the adapter has its own tokenizer. Raises ModelUnavailable for a chat template without one."""
    described = read_config(folder / "tokenizer_config.json") if "tokenizer_config.json" in names else {}
    refuse_code(described)
    if any(n in TOKENIZER_FILES for n in names):
        return True
    if "chat_template.jinja" in names or "chat_template" in described:
        raise ModelUnavailable(
            f"The adapter {name!r} brings a chat template without the tokenizer that it belongs to.",
            f"Add {TOKENIZER_FILES[0]} to its folder, or take the template out.",
        )
    return False
