"""One training run: model, batches, schedule, checkpoints. It does not know what the documents say."""

import json
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch.nn import functional
from transformers import LlamaConfig, LlamaForCausalLM

from demo.batches import IGNORED, Batch
from demo.optimizer import MatrixOptimizer

SAVE_EVERY_SECONDS = 120
LOG_EVERY = 20

BatchesFrom = Callable[[int], Iterator[Batch]]
"""A stream of batches that can start at any chunk."""


@dataclass(frozen=True)
class Recipe:
    """What one run of the recipe fixes."""

    seed: int = 0
    d_model: int = 128
    n_layers: int = 6
    n_heads: int = 2
    d_feed_forward: int = 288
    batch_tokens: int = 6144
    base_steps: int = 1600
    reasoner_steps: int = 750
    base_rate: float = 4e-3
    reasoner_rate: float = 1.5e-3
    warmup_steps: int = 40
    decay_share: float = 0.5

    def rate_at(self, step: int, steps: int, peak: float) -> float:
        """Learning rate: linear warm-up, constant, linear decay to a fiftieth."""
        decay = (steps - step) / (self.decay_share * steps)
        return peak * min(1.0, (step + 1) / self.warmup_steps, max(decay, 0.02))


def new_model(recipe: Recipe, *, vocabulary: int, positions: int, special: dict[str, int | None]) -> LlamaForCausalLM:
    """A Llama model with random weights fixed by the seed."""
    torch.manual_seed(recipe.seed)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=recipe.d_model,
        intermediate_size=recipe.d_feed_forward,
        num_hidden_layers=recipe.n_layers,
        num_attention_heads=recipe.n_heads,
        num_key_value_heads=recipe.n_heads,
        max_position_embeddings=positions,
        tie_word_embeddings=True,
        rms_norm_eps=1e-5,
        **special,
    )
    return LlamaForCausalLM(config)


def batch_loss(model: LlamaForCausalLM, batch: Batch) -> torch.Tensor:
    """Mean loss in nats over the tokens to learn; only their logits are computed."""
    targets = batch.targets.to(model.device)
    learned = targets != IGNORED
    with torch.autocast(model.device.type, torch.bfloat16):
        hidden = model.model(batch.ids.to(model.device), use_cache=False).last_hidden_state
        logits = model.lm_head(hidden[learned])
    return functional.cross_entropy(logits.float(), targets[learned])


@dataclass
class Progress:
    """Where a run stands: steps and tokens done, seconds used, and the next chunk of its stream."""

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    chunk: int = 0


def train(
    model: LlamaForCausalLM, batches_from: BatchesFrom, folder: Path, *, recipe: Recipe, steps: int, peak: float
) -> None:
    """Train the model where it lies up to the last step, going on from a checkpoint in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    optimizer, checkpoint, curve = MatrixOptimizer(model), folder / "checkpoint.pt", folder / "curve.jsonl"
    progress = load_checkpoint(checkpoint, model, optimizer)
    batches, losses = batches_from(progress.chunk), list[float]()
    started = last_save = time.monotonic()
    seconds_before = progress.seconds
    while progress.step < steps:
        batch = next(batches)
        losses.append(_take_step(model, optimizer, batch, rate=recipe.rate_at(progress.step, steps, peak)))
        progress.step += 1
        progress.tokens += batch.ids.numel()
        progress.seconds = seconds_before + time.monotonic() - started
        progress.chunk = batch.chunk + 1
        if progress.step % LOG_EVERY == 0:
            _append_row(curve, progress, statistics.fmean(losses))
            losses.clear()
        if time.monotonic() - last_save > SAVE_EVERY_SECONDS or progress.step == steps:
            _save_checkpoint(checkpoint, model, optimizer, progress)
            last_save = time.monotonic()


def load_checkpoint(path: Path, model: LlamaForCausalLM, optimizer: MatrixOptimizer | None = None) -> Progress:
    """Fill the model, and the optimizer if there is one, from a checkpoint; a fresh start if there is no checkpoint."""
    if not path.exists():
        return Progress()
    saved = torch.load(path, map_location=model.device, weights_only=True)
    model.load_state_dict(saved["model"])
    if optimizer:
        optimizer.load(saved["optimizer"])
    return Progress(**saved["progress"])


def _take_step(model: LlamaForCausalLM, optimizer: MatrixOptimizer, batch: Batch, *, rate: float) -> float:
    loss = batch_loss(model, batch)
    torch.autograd.backward(loss)
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step(rate)
    return loss.item()


def _append_row(path: Path, progress: Progress, loss: float) -> None:
    row = {
        "step": progress.step,
        "tokens": progress.tokens,
        "seconds": round(progress.seconds, 1),
        "loss": round(loss, 4),
    }
    print(row, flush=True)
    with path.open("a") as file:
        file.write(json.dumps(row) + "\n")


def _save_checkpoint(path: Path, model: LlamaForCausalLM, optimizer: MatrixOptimizer, progress: Progress) -> None:
    partial = path.with_suffix(".partial")
    state = {"model": model.state_dict(), "optimizer": optimizer.state(), "progress": asdict(progress)}
    torch.save(state, partial)
    partial.replace(path)
