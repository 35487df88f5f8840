"""Token-by-token completion under steering: batches in which every row has its own steering and random generator.

It knows nothing of pages, jobs or disks. Steering never spans a yield: each step takes the model's lock, opens the
hooks, runs one forward, closes them, and only then samples and yields.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import DynamicCache

from core.errors import BadDirection, BadInput, ModelUnavailable, UserFacingError
from core.forward.hooks import steer_residuals
from core.forward.kv_cache import keep_rows, roomy_cache
from core.forward.programs import EndingWatch, thinking_start
from core.forward.steering import Steering, compile_steering
from core.forward.unembedding import unembed
from core.models.loaded import LoadedModel
from core.runs.values import GenerationSpec, StopReason
from core.values import SamplingSpec

SCORED_AT_ONCE = 2048
"""Positions whose logits are in memory together while a completion is scored."""


@dataclass(frozen=True)
class Token:
    """One new token of one row; `stop_reason` is set on the row's last one."""

    row: int
    token_id: int
    stop_reason: StopReason | None = None


@dataclass
class _Batch:
    """The rows still running: what the next forward needs."""

    rows: list[int]
    input_ids: Tensor
    """(batch, seq) tokens that the model has not read yet."""
    pads: Tensor
    """(batch,) how many padding tokens stand before each row."""
    n_read: int
    """Columns already in the cache, padding included."""
    steering: Steering
    cache: DynamicCache | None
    watches: dict[int, EndingWatch]
    """By row of the whole batch: those whose steering waits for something to be written."""

    def keep(self, indices: list[int]) -> None:
        """Drop the rows that are not in `indices` (positions within the batch)."""
        selected = torch.tensor(indices, dtype=torch.int64, device=self.input_ids.device)
        self.rows = [self.rows[i] for i in indices]
        self.input_ids, self.pads = self.input_ids[selected], self.pads[selected]
        self.steering = self.steering.select(selected)
        if self.cache is not None:
            keep_rows(self.cache, selected)


def stream_completions(
    loaded: LoadedModel, specs: Sequence[GenerationSpec], *, use_cache: bool = True
) -> Iterator[list[Token]]:
    """Yield, step by step, the new token of every row that is still running.

    Row i follows specs[i] alone: its text does not depend on what else is in the batch (fp32: token for token). An
    end-of-sequence token ends its row and is yielded with stop reason "eos". A spec's prefix is read, not yielded, and
    the random numbers of its tokens are passed over: a fork with the same settings goes on as the whole run did.
    Raises BadDirection, BadInput before the first forward; BadDirection when a steered residual stream overflows, and
    ModelUnavailable when logits are not finite.
    """
    _check_specs(loaded, specs)
    batch = _start(loaded, specs, use_cache=use_cache)
    generators = [_generator(spec) for spec in specs]
    counts = [len(spec.prefix) for spec in specs]
    while batch.rows:
        logits = _forward(loaded, batch)
        chosen = _sample(logits, [specs[r].sampling for r in batch.rows], [generators[r] for r in batch.rows])
        step, running = [], []
        for i, (row, token_id) in enumerate(zip(batch.rows, chosen, strict=True)):
            _watch(batch, i, token_id, len(specs[row].prompt.token_ids) + counts[row])
            counts[row] += 1
            reason = _stop_reason(loaded, specs[row], token_id, counts[row])
            step.append(Token(row, token_id, reason))
            if reason is None:
                running.append(i)
        yield step
        _advance(batch, chosen, running, use_cache=use_cache)


def _check_specs(loaded: LoadedModel, specs: Sequence[GenerationSpec]) -> None:
    for spec in specs:
        n_prompt, n_prefix = len(spec.prompt.token_ids), len(spec.prefix)
        if n_prompt == 0:
            raise BadInput("The prompt is empty.", "Write a question first.")
        loaded.check_fits(spec.prompt.token_ids + spec.prefix, room=1)
        if n_prefix >= spec.sampling.max_new_tokens:
            raise BadInput(
                f"The text to go on from has {n_prefix} tokens, and the limit is {spec.sampling.max_new_tokens}.",
                "Allow more new tokens, or go on from an earlier one.",
            )


def _start(loaded: LoadedModel, specs: Sequence[GenerationSpec], *, use_cache: bool) -> _Batch:
    steering, watches = steering_of(loaded, specs)
    lengths = [len(spec.prompt.token_ids) + len(spec.prefix) for spec in specs]
    width = max(lengths)
    input_ids = torch.zeros(len(specs), width, dtype=torch.int64)
    for row, spec in enumerate(specs):
        input_ids[row, width - lengths[row] :] = torch.tensor(spec.prompt.token_ids + spec.prefix)
    batch = _Batch(
        rows=list(range(len(specs))),
        input_ids=input_ids.to(loaded.device),
        pads=(width - torch.tensor(lengths)).to(loaded.device),
        n_read=0,
        steering=steering,
        cache=roomy_cache(loaded.model.config) if use_cache else None,
        watches=watches,
    )
    for row, spec in enumerate(specs):
        for place, token_id in enumerate(spec.prefix):
            _watch(batch, row, token_id, len(spec.prompt.token_ids) + place)
    return batch


def steering_of(loaded: LoadedModel, specs: Sequence[GenerationSpec]) -> tuple[Steering, dict[int, EndingWatch]]:
    """The compiled steering of a batch, and per row that waits for something to be written, the watch for it."""
    prompts = [spec.prompt.token_ids for spec in specs]
    steering = compile_steering(
        loaded,
        [spec.steering for spec in specs],
        n_prompt=[len(ids) for ids in prompts],
        think_starts=[thinking_start(loaded.tokenizer, ids) for ids in prompts],
    )
    rows = range(len(specs)) if steering.endings else ()
    return steering, {row: EndingWatch(loaded.tokenizer, steering.endings) for row in rows}


def _watch(batch: _Batch, i: int, token_id: int, position: int) -> None:
    """Note what the token at `position` of the batch's row i ends: it and those after it are not steered."""
    watch = batch.watches.get(batch.rows[i])
    for ending in watch.feed(token_id) if watch else ():
        batch.steering.end(i, ending, position)


def _generator(spec: GenerationSpec) -> torch.Generator:
    """The row's own random numbers, one for each token of the completion."""
    generator = torch.Generator().manual_seed(spec.sampling.seed)
    if spec.sampling.temperature:
        for _ in spec.prefix:
            torch.rand((), generator=generator, dtype=torch.float64)
    return generator


def _forward(loaded: LoadedModel, batch: _Batch) -> Tensor:
    """(batch, d_vocab) float32 logits of the token that comes next, from one steered forward pass."""
    width = batch.n_read + batch.input_ids.shape[1]
    columns = torch.arange(width, device=batch.input_ids.device)
    positions = columns[None, batch.n_read :] - batch.pads[:, None]
    # An index of the last column: cut out as a slice, a batch of them makes torch copy the unembedding for every row.
    last = columns[-1:] - batch.n_read
    arguments: dict[str, Tensor] = {
        "input_ids": batch.input_ids,
        "position_ids": positions.clamp(min=0),
        "logits_to_keep": last,
    }
    if bool(batch.pads.any()):
        arguments["attention_mask"] = (columns[None, :] >= batch.pads[:, None]).long()
    batch.steering.positions, batch.steering.finite = positions, None
    batch.steering.padded = "attention_mask" in arguments and batch.n_read == 0
    with loaded.lock, steer_residuals(loaded, batch.steering), torch.inference_mode():
        output = loaded.model(**arguments, past_key_values=batch.cache, use_cache=batch.cache is not None)
    logits: Tensor = output.logits[:, -1].float()
    sound, steered = torch.isfinite(logits).all(), batch.steering.finite
    if not bool(sound if steered is None else sound & steered):
        raise _not_finite(loaded, is_steered=steered is not None and not bool(steered))
    return logits


def _not_finite(loaded: LoadedModel, *, is_steered: bool) -> UserFacingError:
    if is_steered:
        return BadDirection(
            "The steered residual stream overflowed.", "Use a smaller coefficient, or load the model in fp32 or bf16."
        )
    return ModelUnavailable(
        f"The logits of {loaded.name} hold NaN or infinite values here, so nothing that it writes can be kept.",
        "Its weights are damaged, or overflow in this precision: fetch them again, or load it in bf16 or fp32.",
    )


def _advance(batch: _Batch, chosen: list[int], running: list[int], *, use_cache: bool) -> None:
    """Make the chosen tokens the next input, and drop the rows that have ended."""
    new = torch.tensor(chosen, device=batch.input_ids.device)[:, None]
    if use_cache:
        batch.n_read += batch.input_ids.shape[1]
        batch.input_ids = new
    else:
        batch.input_ids = torch.cat([batch.input_ids, new], dim=1)
    if len(running) < len(batch.rows):
        batch.keep(running)


def _stop_reason(loaded: LoadedModel, spec: GenerationSpec, token_id: int, count: int) -> StopReason | None:
    if token_id in loaded.eos_ids:
        return "eos"
    if count >= spec.sampling.max_new_tokens:
        return "length"
    if len(spec.prompt.token_ids) + count >= loaded.context_length:
        return "context"
    return None


def _sample(logits: Tensor, samplings: list[SamplingSpec], generators: list[torch.Generator]) -> list[int]:
    """One token id per row: argmax at temperature 0, else the inverse of the row's cumulative distribution.

    Each row draws exactly one uniform number from its own generator, so its choices do not depend on its neighbours.
    """
    if any(sampling.banned for sampling in samplings):
        logits = logits.clone()
        for i, sampling in enumerate(samplings):
            logits[i, list(sampling.banned)] = -torch.inf
    chosen: list[int] = logits.argmax(-1).tolist()
    drawn = [i for i, sampling in enumerate(samplings) if sampling.temperature]
    if not drawn:
        return chosen
    heat = torch.tensor([[samplings[i].temperature] for i in drawn], dtype=torch.float64, device=logits.device)
    nucleus = torch.tensor([[samplings[i].top_p] for i in drawn], dtype=torch.float64, device=logits.device)
    probabilities, ids = torch.softmax(logits[drawn].double() / heat, -1).sort(descending=True)
    cumulative = probabilities.cumsum(-1)
    last = (cumulative < nucleus).sum(-1, keepdim=True).clamp(max=ids.shape[-1] - 1)
    draws = torch.stack([torch.rand((), generator=generators[i], dtype=torch.float64) for i in drawn])[:, None]
    place = torch.searchsorted(cumulative, draws.to(logits.device) * cumulative.gather(-1, last), right=True)
    for i, token_id in zip(drawn, ids.gather(-1, place.minimum(last))[:, 0].tolist(), strict=True):
        chosen[i] = token_id
    return chosen


def score_completions(loaded: LoadedModel, rows: Sequence[tuple[Sequence[int], Sequence[int]]]) -> list[float]:
    """Mean negative log-likelihood (nats per token) of each completion after its prompt, without steering.

    Rows are (prompt ids, completion ids); padding goes to the right, where causal attention cannot see it. An empty
    completion scores nan. Raises ModelUnavailable when logits are not finite.
    """
    width = max(len(prompt) + len(completion) for prompt, completion in rows)
    input_ids = torch.zeros(len(rows), width, dtype=torch.int64)
    for i, (prompt, completion) in enumerate(rows):
        input_ids[i, : len(prompt) + len(completion)] = torch.tensor([*prompt, *completion])
    scores = []
    with loaded.lock, torch.inference_mode():
        hidden = loaded.decoder(input_ids=input_ids.to(loaded.device), use_cache=False).last_hidden_state
        for i, (prompt, completion) in enumerate(rows):
            read = hidden[i, len(prompt) - 1 : len(prompt) + len(completion) - 1]
            scores.append(_score(loaded, read, completion) if completion else float("nan"))
    return scores


def _score(loaded: LoadedModel, hidden: Tensor, completion: Sequence[int]) -> float:
    """Mean negative log-likelihood of tokens whose predictions follow from `hidden` (n, d_model), final-normed."""
    mean = 0.0
    for start in range(0, len(completion), SCORED_AT_ONCE):
        part = completion[start : start + SCORED_AT_ONCE]
        logits = unembed(loaded, hidden[start : start + len(part)])
        if not bool(torch.isfinite(logits).all()):
            raise _not_finite(loaded, is_steered=False)
        targets = torch.tensor(part, device=logits.device, dtype=torch.int64)
        here = float(torch.nn.functional.cross_entropy(logits, targets))
        mean += (here - mean) * len(part) / (start + len(part))
    return mean
