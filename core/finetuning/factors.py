"""The factors of an adapter: one pair for each linear map that it changes, and their places in the model."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from core.errors import BadInput
from core.finetuning.values import Recipe
from core.forward.hooks import add_products
from core.models.loaded import LoadedModel
from core.values import Floats


@dataclass(frozen=True, eq=False, kw_only=True)
class Factors:
    """A (rank, inputs) and B (outputs, rank) of every map that is changed, in float32."""

    names: tuple[str, ...]
    """Of the maps in the model."""
    modules: tuple[nn.Module, ...]
    a: tuple[Tensor, ...]
    b: tuple[Tensor, ...]
    scale: float

    @property
    def all(self) -> list[Tensor]:
        """Every factor, each A before its B."""
        return [factor for pair in zip(self.a, self.b, strict=True) for factor in pair]

    @property
    def is_turned(self) -> bool:
        """Whether the maps are stored as (inputs, outputs)."""
        return any(isinstance(module, Conv1D) for module in self.modules)

    @contextmanager
    def added(self) -> Iterator[None]:
        """While open, the model computes with the adapter."""
        with add_products(self.modules, list(zip(self.a, self.b, strict=True)), self.scale):
            yield

    def arrays(self) -> tuple[Floats, ...]:
        """Copies of `all`."""
        return tuple(factor.detach().cpu().numpy().copy() for factor in self.all)

    @torch.no_grad()
    def fill(self, arrays: tuple[Floats, ...]) -> None:
        """Take the values that `arrays` gave."""
        for factor, array in zip(self.all, arrays, strict=True):
            factor.copy_(torch.from_numpy(np.array(array)))


def new_factors(loaded: LoadedModel, recipe: Recipe) -> Factors:
    """Factors whose product is nothing: A is drawn by the seed, evenly up to 1 / √inputs, and B is 0.

    Raises BadInput where a target names no linear map of the blocks, or the rank is above a map's sizes.
    """
    found = linear_maps(loaded, recipe.targets)
    random = torch.Generator().manual_seed(recipe.seed)
    a, b = [], []
    for module in found.values():
        n_in, n_out = sizes_of(module)
        bound = 1 / math.sqrt(n_in)
        drawn = torch.rand(recipe.rank, n_in, generator=random) * 2 * bound - bound
        a.append(drawn.to(loaded.device).requires_grad_())
        b.append(torch.zeros(n_out, recipe.rank, device=loaded.device, requires_grad=True))
    return Factors(names=tuple(found), modules=tuple(found.values()), a=tuple(a), b=tuple(b), scale=recipe.scale)


def linear_maps(loaded: LoadedModel, targets: tuple[str, ...]) -> dict[str, nn.Module]:
    """The linear maps of the blocks by name, of these ends of names or all. Raises BadInput for one that is none."""
    names = {module: name for name, module in loaded.model.named_modules()}
    inner = [module for layer in loaded.layers for module in layer.modules()]
    found = {names[m]: m for m in inner if isinstance(m, nn.Linear | Conv1D)}
    ends = sorted({name.rpartition(".")[2] for name in found})
    for target in targets:
        if not any(is_named(name, target) for name in found):
            raise BadInput(
                f"{loaded.name} has no linear map {target[:60]!r} in its blocks.", f"Choose of: {', '.join(ends)}."
            )
    return {n: m for n, m in found.items() if not targets or any(is_named(n, target) for target in targets)}


def is_named(name: str, target: str) -> bool:
    """Whether a module's name ends with the target, as PEFT compares them."""
    return name == target or name.endswith(f".{target}")


def sizes_of(module: nn.Module) -> tuple[int, int]:
    """(inputs, outputs) of a linear map."""
    weight = module.weight
    assert isinstance(weight, Tensor), type(module)
    n_first, n_second = weight.shape
    return (n_first, n_second) if isinstance(module, Conv1D) else (n_second, n_first)
