"""A finetune as a file: which base model, which traces, how; so that an adapter can be made again."""

from __future__ import annotations

import json
from dataclasses import dataclass

from core.disk.fields import decode
from core.errors import BadInput, UserFacingError
from core.finetuning.values import Recipe
from core.values import Precision

MAX_BYTES = 1 << 16


@dataclass(frozen=True, kw_only=True)
class NamedTraces:
    """Traces that are not in the file: where they come from, and what they must be for the same adapter."""

    source: str
    count: int
    digest: str
    licence: str = ""
    attribution: str = ""
    """What is said wherever an adapter trained on them is offered."""
    notice: str = ""
    """What the project's notice says of them."""
    name_begins: str = ""
    """What the name of such an adapter begins with."""


@dataclass(frozen=True, kw_only=True)
class Written:
    """What the file holds."""

    base: str
    fingerprint: str = ""
    """Of the base model, where the file says it."""
    traces: NamedTraces
    recipe: Recipe
    precision: Precision = "fp32"
    template: str = ""


def read_written(data: bytes, *, source: str) -> Written:
    """The finetune that a file describes. Raises BadInput for anything else."""
    try:
        found: Written = decode(Written, json.loads(data), "", {})
    except UserFacingError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise BadInput(
            f"{source} is no recipe of a finetune: {str(error)[:200] or type(error).__name__}.",
            "Write it like demo/recipes/smollm2-135m.json.",
        ) from error
    return found
