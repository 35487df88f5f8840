"""Models as one line of text, `id@revision + adapter@revision`: in settings, links and on the command line."""

from __future__ import annotations

from dataclasses import replace

from core.errors import BadInput
from core.values import ModelSpec, PairSpec, Precision

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


def read_both(text: str, *, precision: Precision, device: str) -> PairSpec:
    """The pair that "BASE,REASONER" names, either also as "id + adapter". Raises BadInput."""
    parts = [part.strip() for part in text.split(",")]
    if len(parts) != 2 or not all(parts):
        raise BadInput(
            f"{text[:120]!r} does not name two models.",
            "Write BASE,REASONER: two hub ids or folders, with a comma between them.",
        )
    base, reasoner = (read_merged(part, precision=precision, device=device) for part in parts)
    return PairSpec(base=base, reasoner=reasoner)


def show_both(pair: PairSpec) -> str:
    """The text that `read_both` reads; "" for a pair that it would not read as the same."""
    text, like = f"{show_merged(pair.base)},{show_merged(pair.reasoner)}", pair.reasoner
    try:
        return text if read_both(text, precision=like.precision, device=like.device) == pair else ""
    except BadInput:
        return ""
