"""A model and a pair as one line of text: `id@revision + adapter@revision`, as settings and links carry them."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

from core.values import ModelSpec, PairSpec, Precision
from ui.shell.bounds import OneOf, Text

LINE = Text(1000)
PRECISION: OneOf[Precision] = OneOf(get_args(Precision))
_PLUS = " + "


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
    model, _, adapter = text.partition(_PLUS)
    return read_model(model, adapter, precision=precision, device=device)


def read_pair(raw: str) -> PairSpec:
    """The pair that "base,reasoner,precision" names, on the CPU. Raises ValueError where it names none."""
    parts = [part.strip() for part in LINE.parse(raw).split(",")]
    if len(parts) != 3 or not all(parts):
        raise ValueError("it is not “base,reasoner,precision”")
    precision = PRECISION.parse(parts[2])
    base, reasoner = (read_merged(part, precision=precision, device="cpu") for part in parts[:2])
    return PairSpec(base=base, reasoner=reasoner)


def show_pair(pair: PairSpec) -> str:
    """The text that `read_pair` reads; nothing for a pair that it would not read as the same, whatever its device."""
    text = ",".join((_shown(pair.base), _shown(pair.reasoner), pair.reasoner.precision))
    try:
        return text if read_pair(text) == on_device(pair, "cpu") else ""
    except ValueError:
        return ""


def on_device(pair: PairSpec, device: str) -> PairSpec:
    """The same pair on a device."""
    return PairSpec(base=replace(pair.base, device=device), reasoner=replace(pair.reasoner, device=device))


def _shown(spec: ModelSpec) -> str:
    names = [(spec.repo_id, spec.revision), *([(spec.adapter, spec.adapter_revision)] if spec.adapter else [])]
    return _PLUS.join(f"{name}@{revision}" if revision else name for name, revision in names)
