"""Steps of a finetune: the loss of a batch, its gradient in the factors, one update. Knows no trace and no disk.

A step is cut into parts that fit the memory, and yields after each, so that other work goes on between them. Numbers
depend on weights, rows, recipe, device and threads alone: no random number is drawn.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import cross_entropy

from core.errors import UserFacingError
from core.finetuning.costs import tokens_at_once
from core.finetuning.factors import Factors
from core.finetuning.rows import Row, slices
from core.finetuning.values import Recipe
from core.models.loaded import LoadedModel
from core.values import Floats

LARGEST_GRADIENT = 1.0
"""Norm of all gradients together, to which a larger one is cut."""


class Trainer:
    """A model, the factors that learn, and their optimiser (AdamW without decay)."""

    def __init__(self, loaded: LoadedModel, factors: Factors, recipe: Recipe) -> None:
        self.loaded, self.factors = loaded, factors
        self._recipe = recipe
        self._optimizer = torch.optim.AdamW(factors.all, lr=0.0, weight_decay=0.0)
        self._at_once = tokens_at_once(loaded.device.type)

    def learn(self, batch: Sequence[Row], step: int) -> Generator[float, None, float]:
        """Yield the share of the step that is done; returns the loss before the update, in nats a token.

        Raises UserFacingError where loss or gradient is not finite: the factors stay as they were.
        """
        parts, total = slices(batch, self._at_once), sum(row.n_learned for row in batch)
        self._optimizer.zero_grad()
        loss = 0.0
        for i, part in enumerate(parts):
            with self._computing(), torch.enable_grad():
                lost = batch_loss(self.loaded, part) / total
                torch.autograd.backward(lost)
            loss += float(lost.detach())
            yield (i + 1) / (len(parts) + 1)
        norm = torch.nn.utils.clip_grad_norm_(self.factors.all, LARGEST_GRADIENT)
        if not torch.isfinite(norm) or not torch.isfinite(torch.tensor(loss)):
            self._optimizer.zero_grad()
            raise UserFacingError(
                f"The loss is not finite at step {step + 1}; the steps before it are kept.",
                "Begin another finetune with a lower learning rate, or in fp32.",
            )
        for group in self._optimizer.param_groups:
            group["lr"] = self._recipe.rate_at(step)
        self._optimizer.step()
        self._optimizer.zero_grad()
        return loss

    def loss_on(self, rows: Sequence[Row]) -> Generator[float, None, float]:
        """Yield the share that is done; returns the mean loss on the rows, in nats a token, without learning."""
        parts, lost = slices(rows, self._at_once), 0.0
        for i, part in enumerate(parts):
            with self._computing(), torch.inference_mode():
                lost += float(batch_loss(self.loaded, part))
            yield (i + 1) / len(parts)
        return lost / sum(row.n_learned for row in rows)

    def state(self) -> tuple[tuple[Floats, ...], tuple[Floats, ...]]:
        """Means of the gradients and of their squares, a pair for each factor; none before the first step."""
        held = [self._optimizer.state[f] for f in self.factors.all if f in self._optimizer.state]
        first, second = (tuple(s[name].cpu().numpy().copy() for s in held) for name in ("exp_avg", "exp_avg_sq"))
        return first, second

    def restore(self, means: tuple[Floats, ...], squares: tuple[Floats, ...], *, step: int) -> None:
        """Go on from what `state` gave after so many steps."""
        state = {
            i: {"step": torch.tensor(float(step)), "exp_avg": torch.tensor(a), "exp_avg_sq": torch.tensor(b)}
            for i, (a, b) in enumerate(zip(means, squares, strict=True))
        }
        groups = self._optimizer.state_dict()["param_groups"]
        self._optimizer.load_state_dict({"state": state, "param_groups": groups})

    @contextmanager
    def _computing(self) -> Iterator[None]:
        """A forward with the adapter, and what follows from it. On a card, attention in a form that repeats itself."""
        exact = sdpa_kernel(SDPBackend.MATH) if self.loaded.device.type == "cuda" else nullcontext()
        with self.loaded.lock, self.factors.added(), exact:
            yield


def batch_loss(loaded: LoadedModel, rows: Sequence[Row]) -> Tensor:
    """The summed loss, in nats, over the learned tokens of the rows; only their logits are computed.

    Rows are padded at their ends, where no token looks.
    """
    width = max(len(row.token_ids) for row in rows)
    ids = torch.zeros(len(rows), width, dtype=torch.int64)
    learned = torch.zeros(len(rows), width, dtype=torch.bool)
    for i, row in enumerate(rows):
        ids[i, : len(row.token_ids)] = torch.tensor(row.token_ids)
        learned[i, row.learned_from : len(row.token_ids)] = True
    ids, learned = ids.to(loaded.device), learned.to(loaded.device)
    hidden: Tensor = loaded.decoder(input_ids=ids, use_cache=False).last_hidden_state
    logits = loaded.head(hidden[:, :-1][learned[:, 1:]])
    return cross_entropy(logits, ids[:, 1:][learned[:, 1:]], reduction="sum")
