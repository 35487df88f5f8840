"""Muon for the weight matrices, batched over matrices of one shape, and AdamW for everything else.

Muon (Jordan et al. 2024) replaces a matrix's momentum by the nearest orthogonal matrix. The update is scaled to the
root mean square of an AdamW update (Liu et al. 2025), so one learning rate serves both.
"""

import math
from collections import defaultdict

import torch
from torch import nn

MOMENTUM, WEIGHT_DECAY = 0.95, 0.05
_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5


def orthogonalize(matrices: torch.Tensor) -> torch.Tensor:
    """(n, rows, columns) to the same shape with singular values near 1, by Newton-Schulz iterations in bf16."""
    a, b, c = _COEFFICIENTS
    x: torch.Tensor = matrices.bfloat16()
    tall = x.size(1) > x.size(2)
    x = x.mT if tall else x
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(_ITERATIONS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x.mT if tall else x).float()


class MatrixOptimizer:
    """Muon over the block matrices of a Llama model; the rest goes to AdamW."""

    def __init__(self, model: nn.Module) -> None:
        """Sort the parameters by kind and start with zero momentum."""
        named = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
        matrices = [p for n, p in named if p.ndim == 2 and "layers." in n]
        self._others = [p for n, p in named if not (p.ndim == 2 and "layers." in n)]
        self._groups: dict[torch.Size, list[nn.Parameter]] = defaultdict(list)
        for parameter in matrices:
            self._groups[parameter.shape].append(parameter)
        self._momentum = {s: torch.zeros(len(ps), *s, device=ps[0].device) for s, ps in self._groups.items()}
        self._adam = torch.optim.AdamW(self._others, betas=(0.9, 0.98), weight_decay=0.0)

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """One update at the given learning rate; gradients are cleared."""
        for shape, parameters in self._groups.items():
            gradients = torch.stack([p.grad for p in parameters if p.grad is not None])
            momentum = self._momentum[shape].lerp_(gradients, 1 - MOMENTUM)
            update = orthogonalize(gradients.lerp(momentum, MOMENTUM))
            scale = 0.2 * math.sqrt(max(shape)) * rate
            for parameter, change in zip(parameters, update, strict=True):
                parameter.mul_(1 - rate * WEIGHT_DECAY).sub_(change, alpha=scale)
                parameter.grad = None
        for group in self._adam.param_groups:
            group["lr"] = rate
        self._adam.step()
        self._adam.zero_grad()

    def state(self) -> dict[str, object]:
        """Everything needed to go on later."""
        return {"momentum": list(self._momentum.values()), "adam": self._adam.state_dict()}

    def load(self, state: dict[str, object]) -> None:
        """Go on from a saved state."""
        for mine, saved in zip(self._momentum.values(), state["momentum"], strict=True):  # type: ignore[call-overload]
            mine.copy_(saved)
        self._adam.load_state_dict(state["adam"])  # type: ignore[arg-type]
