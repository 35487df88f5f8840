"""The sentence for an adapter that is not merged. Knows nothing of adapters but their names."""

from __future__ import annotations

from core.errors import ModelUnavailable
from core.text.lines import shown_line


def refused(name: str, why: str) -> ModelUnavailable:
    """The error for the adapter of that name; `why` goes on the sentence."""
    return ModelUnavailable(
        f"The adapter {name!r} {why}.",
        "Merge it into its base model with the tool that made it, and load the merged model.",
    )


def shown(value: object) -> str:
    """A foreign value on one line."""
    return shown_line(repr(value), 120)
