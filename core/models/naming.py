"""Models as one line of text, `id@revision + adapter@revision`: in settings, links and on the command line."""

from __future__ import annotations

from dataclasses import replace

from core.values import ModelSpec, Precision

PLUS = " + "


def read_name(text: str) -> tuple[str, str | None]:
    """(id or folder, revision) of "owner/name@revision", "owner/name" or a folder, whose name may hold an @."""
    text = text.strip()
    if text.startswith(("/", "~", ".")):
        return text, None
    name, _, revision = text.partition("@")
    return name, revision or None


def read_model(text: str, adapter: str = "", *, precision: Precision, device: str) -> ModelSpec:
    """The model that the text names, with the adapter that the other text names, if any."""
    repo_id, revision = read_name(text)
    spec = ModelSpec(repo_id=repo_id, revision=revision, precision=precision, device=device)
    if not adapter.strip():
        return spec
    name, its_revision = read_name(adapter)
    return replace(spec, adapter=name, adapter_revision=its_revision)


def read_merged(text: str, *, precision: Precision, device: str) -> ModelSpec:
    """The model that "model" or "model + adapter" names."""
    model, _, adapter = text.partition(PLUS)
    return read_model(model, adapter, precision=precision, device=device)


def show_merged(spec: ModelSpec) -> str:
    """The text that `read_merged` reads, where no name holds what parts one name from the next."""
    names = [(spec.repo_id, spec.revision), *([(spec.adapter, spec.adapter_revision)] if spec.adapter else [])]
    return PLUS.join(f"{name}@{revision}" if revision else name for name, revision in names)
