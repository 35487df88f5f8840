"""The frozen values that everything else passes around: models, traces, windows, prompts. No torch, no disk.

Layers are 0-based; `layer=i` names the residual stream *after* block i (resid_post). Positions are absolute token
indices; offsets are relative to an event's first token.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Generic, Literal, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

from core.errors import BadInput

Precision = Literal["fp32", "bf16", "int8", "nf4"]
Region = Literal["all", "prompt", "completion", "thinking"]

MAX_NEW_TOKENS = 32_768
"""Of one completion, which ends at its model's context at the latest."""
MAX_ENDING_WORDS = 16

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True)
class Numbers:
    """What an array field holds, for storing it: the name of a numpy dtype."""

    dtype: str


AnyArray = NDArray[np.generic]
Floats = Annotated[NDArray[np.float32], Numbers("float32")]
Doubles = Annotated[NDArray[np.float64], Numbers("float64")]
Halves = Annotated[NDArray[np.float16], Numbers("float16")]
Integers = Annotated[NDArray[np.int64], Numbers("int64")]


class Spec(Generic[T_co]):
    """Something that is asked for: all that its result depends on. T_co is the type of the result; it adds no field."""


Kinds = Mapping[type, tuple[str, type]]
"""Of a type of spec: the name its results are stored under, and their type."""

RESULT_REVISION = "RESULT_REVISION"
"""Class attribute of what is asked for: 2 or more where the same fields give another result than before. In its key."""

QUANTISED: Mapping[str, Mapping[str, bool | str]] = {
    "int8": {"load_in_8bit": True},
    "nf4": {
        "load_in_4bit": True,
        "bnb_4bit_quant_type": "nf4",
        "bnb_4bit_use_double_quant": True,
        "bnb_4bit_compute_dtype": "bfloat16",
    },
}
"""How weights are quantised, by precision: what loading asks for, and a part of every key."""

BY_CONTENT = "weights:"
"""How a fingerprint begins that names a model's content, wherever it lies (`core.weights`)."""
Formerly = Mapping[str, tuple["ModelSpec", str]]
"""A fingerprint → the model's spec and fingerprint that keys were made of before they named content."""

ADDED_LATER = {"added_later": True}
"""Metadata of a field that keys leave out at its default, so that what was stored before it came is still found."""


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """Which weights, with which adapter merged into them, in which precision, on which device."""

    repo_id: str
    revision: str | None = None
    precision: Precision = "fp32"
    device: str = "cpu"
    adapter: str | None = field(default=None, metadata=ADDED_LATER)
    """Hub id or folder of a LoRA adapter that is merged into the weights, or None."""
    adapter_revision: str | None = field(default=None, metadata=ADDED_LATER)

    def __post_init__(self) -> None:
        if self.precision not in get_args(Precision):
            raise BadInput(
                f"{self.precision!r} is not a precision that models are loaded in.",
                f"Choose one of: {', '.join(get_args(Precision))}.",
            )

    @property
    def name(self) -> str:
        """The last part of the repo id or folder, and of the adapter's, for display."""
        parts = [self.repo_id, self.adapter] if self.adapter else [self.repo_id]
        return " + ".join(part.rstrip("/").rsplit("/", 1)[-1] for part in parts)

    @property
    def computed_in(self) -> dict[str, object]:
        """All of the spec that results depend on beside the weights: neither their place nor the device."""
        return {"precision": self.precision, **QUANTISED.get(self.precision, {})}


@dataclass(frozen=True, kw_only=True)
class PairSpec:
    """A base model and the reasoning model finetuned from it."""

    base: ModelSpec
    reasoner: ModelSpec


@dataclass(frozen=True, kw_only=True)
class Part:
    """A labelled stretch of a trace: characters `start` (inclusive) to `end` (exclusive)."""

    label: str
    start: int
    end: int


@dataclass(frozen=True, kw_only=True)
class Trace:
    """One reasoning text with its question and labelled parts (character spans into `text`)."""

    trace_id: str
    prompt: str
    text: str
    parts: tuple[Part, ...] = ()
    source: str = ""

    def __post_init__(self) -> None:
        for part in self.parts:
            if not 0 <= part.start < part.end <= len(self.text):
                raise BadInput(
                    f"Trace {self.trace_id!r}: the part {part.label!r} covers characters {part.start} to {part.end}, "
                    f"but the text has {len(self.text)}.",
                    "Correct the part's start and end, or import the trace again.",
                )


@dataclass(frozen=True, kw_only=True)
class Event:
    """The first token of a labelled part: its absolute position, and the part."""

    position: int
    part: Part


@dataclass(frozen=True, kw_only=True, order=True)
class Window:
    """Offsets relative to an event, half-open: the paper's "-13 to -8" is `Window(start=-13, stop=-7)`."""

    start: int
    stop: int

    def __post_init__(self) -> None:
        if self.start >= self.stop:
            raise BadInput(
                f"The window {self.start} to {self.stop - 1} is empty.", "Choose a first offset below the last one."
            )

    @property
    def label(self) -> str:
        """The inclusive form people write: "-13..-8"."""
        return f"{self.start}..{self.stop - 1}" if self.stop - self.start > 1 else str(self.start)


PAPER_WINDOW = Window(start=-13, stop=-7)


@dataclass(frozen=True, kw_only=True)
class Positions:
    """Which positions are steered: a region, a slice of it counted from its first token, and every n-th of those.

    The thinking begins after the prompt's last `<think>`, else with the completion, and ends where `</think>` is
    written. `until` names words: from the token on that completes the first of them in the completion, nothing is
    steered any more.
    """

    region: Region = "all"
    start: int = 0
    stop: int | None = None
    every: int = 1
    until: tuple[str, ...] = field(default=(), metadata=ADDED_LATER)

    def __post_init__(self) -> None:
        if len(self.until) > MAX_ENDING_WORDS or any(not word.strip() or len(word) > 40 for word in self.until):
            raise BadInput(
                "The words that end the steering are not usable.",
                f"Give at most {MAX_ENDING_WORDS} words of up to 40 letters.",
            )
        if self.start < 0 or self.every < 1 or (self.stop is not None and self.stop <= self.start):
            raise BadInput(
                f"The positions from {self.start} to {self.stop}, every {self.every}, select nothing.",
                "Use a start of 0 or more, a stop above it, and a step of 1 or more.",
            )


@dataclass(frozen=True, kw_only=True)
class SamplingSpec:
    """How tokens are chosen: temperature 0 is greedy; the seed belongs to this row alone."""

    max_new_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    banned: tuple[int, ...] = field(default=(), metadata=ADDED_LATER)
    """Token ids that are never chosen."""

    def __post_init__(self) -> None:
        if not 1 <= self.max_new_tokens <= MAX_NEW_TOKENS:
            raise BadInput(
                f"{self.max_new_tokens:,} new tokens were asked for.", f"Ask for 1 to {MAX_NEW_TOKENS:,} new tokens."
            )
        if not 0 <= self.temperature <= 5 or not 0 < self.top_p <= 1:
            raise BadInput(
                f"Temperature {self.temperature} with top-p {self.top_p} cannot be sampled.",
                "Use a temperature from 0 to 5 and a top-p above 0, up to 1.",
            )


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """A question as the model reads it: the rendered text and its token ids."""

    question: str
    text: str
    token_ids: tuple[int, ...]


def is_simple(values: Sequence[object]) -> bool:
    """Whether all are plain integers or texts, as token ids and pieces are: thousands that need no look at each."""
    return set(map(type, values)) <= {int, str}


class Digested:
    """A value whose content is named by its digest alone, as a Direction is by its vector's."""

    @property
    def digest(self) -> str:
        raise NotImplementedError


def is_content(fingerprint: object) -> bool:
    """Whether a fingerprint names content, so that keys leave out where the model lies and on what it runs."""
    return isinstance(fingerprint, str) and fingerprint.startswith(BY_CONTENT)


def canonical(value: object, before: Formerly | None = None) -> object:
    """JSON-ready form of a spec, for keys: dataclasses become sorted objects, arrays their sha256.

    A model that a fingerprint names by content is that fingerprint and its precision; with `before`, it is what it was
    in the keys of before.
    """
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, Digested):
        return {"digest": value.digest}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        revision = getattr(type(value), RESULT_REVISION, 1)
        found = ({"result_revision": revision} if revision > 1 else {}) | {
            f.name: canonical(getattr(value, f.name), before)
            for f in dataclasses.fields(value)
            if not (f.metadata == ADDED_LATER and getattr(value, f.name) == f.default)
        }
        return found | _models_by_content(value, before or {})
    if isinstance(value, np.ndarray):
        return hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()
    if isinstance(value, tuple | list):
        return list(value) if is_simple(value) else [canonical(item, before) for item in value]
    if isinstance(value, dict):
        return {str(k): canonical(v, before) for k, v in sorted(value.items())}
    return value


def _models_by_content(value: object, before: Formerly) -> dict[str, object]:
    """The fields of a spec that name models, where fingerprints beside them do so by content."""
    found: dict[str, object] = {}
    for name, mark in (("model", "fingerprint"), ("reader", "reader_fingerprint")):
        model, fingerprint = getattr(value, name, None), getattr(value, mark, "")
        if isinstance(model, ModelSpec) and is_content(fingerprint):
            place, named = before.get(fingerprint, (None, fingerprint))
            found |= {name: canonical(place) if place else model.computed_in, mark: named}
    pair, fingerprints = getattr(value, "pair", None), getattr(value, "fingerprints", ())
    if isinstance(pair, PairSpec) and fingerprints and all(map(is_content, fingerprints)):
        found["pair"] = {"base": pair.base.computed_in, "reasoner": pair.reasoner.computed_in}
    return found
