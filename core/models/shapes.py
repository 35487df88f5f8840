"""What a config asks for, held against what the weight files hold: before anything is allocated, and after loading.

The model is laid out on torch's meta device, which has shapes and no memory.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from math import prod
from typing import TYPE_CHECKING

import torch
from transformers import AutoModelForCausalLM

from core.errors import ModelUnavailable
from core.models.files import Tensor

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

NAMED = 3
"""Weights that a sentence names; it counts the others."""
MAX_TABLE_BYTES = 2**31
"""Of tables that a model computes from its config alone, such as the mask of a context length."""
_HARMLESS = re.compile(r"(^|\.)(masked_bias|inv_freq|position_ids)$|\.rotary_emb\.")
"""Tables that old versions of transformers kept in the file, and new ones compute."""

Shape = tuple[int, ...]


def check_layout(name: str, config: PreTrainedConfig, tensors: Collection[Tensor]) -> None:
    """Raise ModelUnavailable unless files with these tensors can hold the model that `config` describes.

    Weights under the same name have the same shape, and there are at least as many numbers as the model has.
    """
    model = _laid_out(name, config)
    held = {tensor.name: tensor.shape for tensor in tensors}
    expected = {key: tuple(value.shape) for key, value in model.named_parameters()}
    prefix = f"{model.base_model_prefix}."
    wrong = [
        f"{key} is {_times(held[found])} instead of {_times(shape)}"
        for key, shape in expected.items()
        if (found := _same_weight(key, prefix, held)) is not None and held[found] != shape
    ]
    if wrong:
        raise _other_files(f"{name}: config.json and the weight files do not fit: {_listed(wrong)}.")
    asked, there = (sum(map(prod, shapes.values())) for shapes in (expected, held))
    if asked > there:
        raise _other_files(f"{name}: config.json describes a model of {asked:,} weights, and the files hold {there:,}.")
    tables = sum(buffer.numel() * buffer.element_size() for buffer in model.buffers())
    if tables > MAX_TABLE_BYTES:
        raise _other_files(f"{name}: tables of {tables / 1e9:,.0f} GB would be computed for the sizes in config.json.")


def check_report(name: str, report: Mapping[str, Collection[object]]) -> None:
    """Raise ModelUnavailable where transformers reports weights that the model has no place for, or that it misses."""
    lost = sorted(str(key) for key in report["unexpected_keys"] if not _HARMLESS.search(str(key)))
    if lost:
        raise ModelUnavailable(
            f"{name} has weights that a model of its config.json does not use: {_listed(lost)}. It would not be the "
            "model that was trained.",
            "Correct config.json (its architecture, number of layers, biases or norms), or fetch the files again.",
        )
    absent = len(report["missing_keys"]) + len(report["mismatched_keys"])
    if absent:
        raise _other_files(f"{absent} weights of {name} are missing or of another shape than config.json says.")


def _laid_out(name: str, config: PreTrainedConfig) -> PreTrainedModel:
    try:
        with torch.device("meta"):
            model: PreTrainedModel = AutoModelForCausalLM.from_config(
                config, trust_remote_code=False, dtype=torch.get_default_dtype()
            )
    except Exception as error:
        raise ModelUnavailable(
            f"No model can be made from the config.json of {name} ({type(error).__name__}).",
            "Choose a model that the installed transformers version supports, or fetch its files again.",
        ) from error
    return model


def _same_weight(key: str, prefix: str, held: Mapping[str, Shape]) -> str | None:
    """The name of a weight in the files: there, the decoder's own prefix may be missing."""
    return next((found for found in (key, key.removeprefix(prefix)) if found in held), None)


def _listed(items: list[str]) -> str:
    more = f" and {len(items) - NAMED:,} more" if len(items) > NAMED else ""
    return ", ".join(items[:NAMED]) + more


def _times(shape: Shape) -> str:
    return " × ".join(f"{n:,}" for n in shape) or "a single number"


def _other_files(problem: str) -> ModelUnavailable:
    return ModelUnavailable(problem, "Fetch the model's files again; these do not belong together.")
