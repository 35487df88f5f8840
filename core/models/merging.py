"""Loading a model with an adapter merged into its weights, tensor by tensor, before they are cast or quantised.

The files of the base model are read as without an adapter; each changed weight is made in float32 when transformers
asks for it, so that no second copy of the model is held. Knows neither tokenizers nor devices.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import EllipsisType
from typing import TYPE_CHECKING, Protocol

import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM, GenerationConfig
from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.core_model_loading import WeightConverter, WeightRenaming, rename_source_key
from transformers.pytorch_utils import Conv1D

from core.errors import ModelUnavailable
from core.lora.changes import Change
from core.lora.refusals import refused, shown
from core.models.adapters import Adapter
from core.models.folders import ADAPTER_WEIGHTS, weight_files

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

_OTHER_BASE = "Give {base} as the model."
_KEEPS_ROWS = {"MergeModulelist", "Concatenate", "Chunk"}
"""Steps of transformers' loading that put weights together without turning or permuting them."""


class Stored(Protocol):
    """A weight in a file, read by `weight[...]`."""

    def __getitem__(self, everything: EllipsisType) -> torch.Tensor: ...

    def get_shape(self) -> list[int]: ...


@dataclass(frozen=True, kw_only=True)
class Merged:
    """A weight that is merged when it is read."""

    base: Stored
    change: Change
    tensors: Mapping[str, Stored]
    """The adapter's, by key."""
    turned: bool
    """Whether the weight is stored as (inputs, outputs)."""

    def __getitem__(self, everything: EllipsisType) -> torch.Tensor:
        """The weight in float32: W + scale · B A, or the tensor in its place."""
        change = self.change
        source = self.tensors[change.whole] if change.whole else self.base
        weight = source[...].to(torch.float32, copy=True)
        if change.a:
            a, b = (self.tensors[key][...].to(torch.float32) for key in (change.a, change.b))
            first, second = (a.T, b.T) if self.turned else (b, a)
            weight.addmm_(first, second, alpha=change.scale)
        return weight


def load_merged(
    adapter: Adapter, folder: Path, *, config: PreTrainedConfig, **options: object
) -> tuple[PreTrainedModel, dict[str, set[str]]]:
    """As `from_pretrained(folder, config=config, **options)`, with the adapter merged into the weights.

    Raises ModelUnavailable where the adapter does not fit them or holds numbers that are none.
    """
    with torch.device("meta"):
        skeleton = AutoModelForCausalLM.from_config(copy.deepcopy(config))
    with _opened(*weight_files(folder)) as base, _opened(adapter.path / ADAPTER_WEIGHTS) as tensors:
        _check_values(adapter, tensors)
        names = _Names(skeleton, base)
        state, apart = _merged_state(adapter, names, base, tensors)
        model, report = type(skeleton).from_pretrained(
            None,
            config=_untied(config) if apart else config,
            state_dict=state,
            generation_config=_generation_config(folder),
            **options,
        )
    return model, report


def _merged_state(
    adapter: Adapter, names: _Names, base: Mapping[str, Stored], tensors: Mapping[str, Stored]
) -> tuple[dict[str, Stored | Merged], bool]:
    """The weights to be loaded, and whether tied ones of them come apart."""
    live: dict[str, Change] = {}
    for change in adapter.changes.values():
        if live.setdefault(_live(adapter, names, change), change) is not change:
            raise refused(adapter.name, f"changes {shown(change.parameter)} twice, under two names")
    state: dict[str, Stored | Merged] = {**base}
    apart = any(change.own and name in names.tied for name, change in live.items())
    if apart:
        state |= {a: base[names.stored[b]] for a, b in names.tied.items() if a not in names.stored}
    fitted: dict[str, Merged] = {}
    for name, change in live.items():
        key = names.key(name, state)
        turned = bool(change.a) and (change.embedding or names.is_turned(name))
        _check_fits(adapter, change, stored := base[names.key(name, base)], turned=turned and not change.embedding)
        fitted[key] = Merged(base=stored, change=change, tensors=tensors, turned=turned)
    return state | fitted, apart


class _Names:
    """The parameters of a model, the keys of its files, and which of them are one tensor."""

    def __init__(self, skeleton: PreTrainedModel, keys: Iterable[str]) -> None:
        self._skeleton, self._keys = skeleton, set(keys)
        self._parameters = skeleton.state_dict()
        steps = get_model_conversion_mapping(skeleton)
        self._renamings = [step for step in steps if isinstance(step, WeightRenaming)]
        self._converters = {
            k: step for step in steps if isinstance(step, WeightConverter) for k in step.source_patterns
        }
        pairs = skeleton.all_tied_weights_keys.items()
        self.tied: dict[str, str] = {**{b: a for a, b in pairs}, **dict(pairs)}
        """Of each tied parameter, the one that it is tied to; in both directions."""
        found = {key: self._renamed(key) for key in self._keys}
        self.stored: dict[str, str] = {live: key for key, (live, step) in found.items() if step is None}
        """Of each parameter that is stored as it is, its key in the files."""

    def live(self, parameter: str) -> str | None:
        """The parameter as the installed transformers calls it, or its key in the files where it becomes a part of
        one; None where there is none."""
        name, step = self._renamed(parameter)
        if step is None:
            return name if name in self.stored or self.tied.get(name) in self.stored else None
        whole = all(type(operation).__name__ in _KEEPS_ROWS for operation in step.operations)
        return parameter if whole and parameter in self._keys else None

    def key(self, live: str, state: Mapping[str, object]) -> str:
        """The key that holds a parameter in the weights to be loaded."""
        key = self.stored.get(live, live)
        return key if key in state else self.stored[self.tied[live]]

    def is_turned(self, live: str) -> bool:
        """Whether the parameter is stored as (inputs, outputs)."""
        return live in self._parameters and isinstance(self._skeleton.get_submodule(live.rpartition(".")[0]), Conv1D)

    def _renamed(self, key: str) -> tuple[str, WeightConverter | None]:
        prefix, steps = self._skeleton.base_model_prefix, list(dict.fromkeys(self._converters.values()))
        name, pattern = rename_source_key(key, self._renamings, steps, prefix, self._parameters)
        if name not in self._parameters and key in self._parameters:
            name, pattern = rename_source_key(key, [], [], prefix, self._parameters)
        return name, None if pattern is None else self._converters[pattern]


def _live(adapter: Adapter, names: _Names, change: Change) -> str:
    live = names.live(change.parameter)
    if live is None:
        raise ModelUnavailable(
            f"The adapter {adapter.name!r} changes {shown(change.parameter)}, and the model has no such "
            "weight in its files.",
            _OTHER_BASE.format(base=adapter.base or "the model that it was trained on"),
        )
    return live


def _check_fits(adapter: Adapter, change: Change, base: Stored, *, turned: bool) -> None:
    """Raise ModelUnavailable unless what is changed has the shape that the adapter was made for."""
    found = tuple(base.get_shape())
    wanted = change.shape[::-1] if turned else change.shape
    if found != wanted:
        raise ModelUnavailable(
            f"The adapter {adapter.name!r} was made for another shape of {shown(change.parameter)}: "
            f"{wanted}, and the model's is {found}.",
            _OTHER_BASE.format(base=adapter.base or "the model that it was trained on"),
        )


def _check_values(adapter: Adapter, tensors: Mapping[str, Stored]) -> None:
    """Raise ModelUnavailable for values that are no real numbers."""
    for key, stored in tensors.items():
        tensor = stored[...]
        if not tensor.is_floating_point() or not tensor.to(torch.float32).isfinite().all():
            raise ModelUnavailable(
                f"The adapter {adapter.name!r} holds values that are no finite numbers, in {shown(key)}.",
                "Choose another of its revisions, or train it again; this one would make every text empty of sense.",
            )


def _untied(config: PreTrainedConfig) -> PreTrainedConfig:
    """A config whose embedding and unembedding are two tensors."""
    config = copy.deepcopy(config)
    config.tie_word_embeddings = config.get_text_config().tie_word_embeddings = False
    return config


def _generation_config(folder: Path) -> GenerationConfig | None:
    return GenerationConfig.from_pretrained(folder) if (folder / "generation_config.json").exists() else None


@contextmanager
def _opened(*files: Path) -> Iterator[dict[str, Stored]]:
    """The weights in these files by key, unread."""
    with ExitStack() as stack:
        opened = [stack.enter_context(safe_open(file, framework="pt")) for file in files]
        yield {key: file.get_slice(key) for file in opened for key in file.keys()}  # noqa: SIM118
