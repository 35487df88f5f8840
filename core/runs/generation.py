"""Token-by-token completion under steering: batches in which every row has its own steering and random generator.

It knows nothing of pages, jobs or disks. Steering never spans a yield: each step takes the model's lock, opens the
hooks, runs one forward, closes them, and only then samples and yields. On a card the steps after the first few tokens
are fixed ones (`core.forward.fixed_step`), of which the next is under way while the tokens of one are read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import DynamicCache

from core.errors import BadInput
from core.forward.fixed_fit import can_fix
from core.forward.fixed_step import BAD_STREAM, SOUND, FixedRows, fixed_rows
from core.forward.hooks import steer_residuals
from core.forward.kv_cache import keep_rows, roomy_cache
from core.forward.programs import EndingWatch, thinking_start
from core.forward.sampling import Draws, Sampling, choose, sampling_of
from core.forward.steering import Steering, compile_steering
from core.forward.unembedding import not_finite, unembed
from core.models.loaded import LoadedModel
from core.runs.values import GenerationSpec, StopReason

SCORED_AT_ONCE = 2048
"""Positions whose logits are in memory together while a completion is scored."""
FIRST_TOKENS, WORTH_FIXING = 2, 16
"""Tokens before the first fixed step, and how many must be left for it; for fewer rows, twice as many."""


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
    sampling: Sampling
    watches: dict[int, EndingWatch]
    """By row of the whole batch: those whose steering waits for something to be written."""
    draws: list[Draws]
    """By row of the whole batch."""
    counts: list[int]
    """By row of the whole batch: tokens of its completion."""
    is_steered_anew: bool = False
    """Whether a token that was taken ended a steering."""

    def keep(self, indices: list[int]) -> None:
        """Drop the rows that are not in `indices` (positions within the batch)."""
        selected = torch.tensor(indices, dtype=torch.int64, device=self.input_ids.device)
        self.rows = [self.rows[i] for i in indices]
        self.input_ids, self.pads = self.input_ids[selected], self.pads[selected]
        self.steering, self.sampling = self.steering.select(selected), self.sampling.select(selected)
        if self.cache is not None:
            keep_rows(self.cache, selected)


def stream_completions(
    loaded: LoadedModel, specs: Sequence[GenerationSpec], *, use_cache: bool = True, fixed: bool | None = None
) -> Iterator[list[Token]]:
    """Yield, step by step, the new token of every row that is still running.

    Row i follows specs[i] alone: its text does not depend on what else is in the batch (fp32: token for token). An
    end-of-sequence token ends its row and is yielded with stop reason "eos". A spec's prefix is read, not yielded, and
    the random numbers of its tokens are passed over: a fork with the same settings goes on as the whole run did.
    `fixed` says whether steps become fixed ones after FIRST_TOKENS, by default on a card.
    Raises BadDirection, BadInput before the first forward; BadDirection when a steered residual stream overflows, and
    ModelUnavailable when logits are not finite.
    """
    _check_specs(loaded, specs)
    batch = _start(loaded, specs, use_cache=use_cache)
    fixes = use_cache and (loaded.device.type == "cuda" if fixed is None else fixed)
    n_steps = 0
    while batch.rows:
        chosen = _sample(batch, _forward(loaded, batch))
        step = [_take(loaded, specs[row], batch, i, chosen[i]) for i, row in enumerate(batch.rows)]
        yield step
        _advance(batch, chosen, [i for i, token in enumerate(step) if token.stop_reason is None], use_cache=use_cache)
        n_steps += 1
        worth = fixes and n_steps == FIRST_TOKENS and _left(loaded, specs, batch, batch.rows) >= WORTH_FIXING
        if worth and can_fix(loaded, batch.cache, batch.n_read):
            yield from _stream_fixed(loaded, specs, batch)
            return


def _stream_fixed(loaded: LoadedModel, specs: Sequence[GenerationSpec], batch: _Batch) -> Iterator[list[Token]]:
    """The rest of the batch by fixed steps: each is launched before the tokens of the one before it are looked at."""
    fixed, running = _fix(loaded, batch, specs), list(range(len(batch.rows)))
    while running:
        left = _left(loaded, specs, batch, [batch.rows[i] for i in running])
        if 2 * len(running) <= len(batch.rows) and left >= 2 * WORTH_FIXING:
            batch.rows = [batch.rows[i] for i in fixed.keep(running)]
            batch.steering, running = fixed.steering, list(range(len(running)))
        for _ in range(min(2, left) - len(fixed.pending)):
            fixed.launch()
        chosen, sound = fixed.fetch()
        bad = [sound[i] for i in running if sound[i] != SOUND]
        if bad:
            raise not_finite(loaded, is_steered=BAD_STREAM in bad)
        step = [_take(loaded, specs[batch.rows[i]], batch, i, chosen[i]) for i in running]
        if batch.is_steered_anew:
            fixed.take_back()
            batch.is_steered_anew = False
        running = [i for i, token in zip(running, step, strict=True) if token.stop_reason is None]
        yield step


def _fix(loaded: LoadedModel, batch: _Batch, specs: Sequence[GenerationSpec]) -> FixedRows:
    assert batch.cache is not None
    begins = [n + len(specs[row].prompt.token_ids) for n, row in zip(batch.pads.tolist(), batch.rows, strict=True)]
    return fixed_rows(
        loaded,
        batch.cache,
        batch.input_ids,
        pads=batch.pads,
        n_read=batch.n_read,
        steering=batch.steering,
        sampling=batch.sampling,
        numbers=[(batch.draws[row], begin) for row, begin in zip(batch.rows, begins, strict=True)],
    )


def _left(loaded: LoadedModel, specs: Sequence[GenerationSpec], batch: _Batch, rows: Sequence[int]) -> int:
    """How many tokens may still come in any of these rows of the whole batch."""
    most = [min(specs[r].sampling.max_new_tokens, loaded.context_length - len(specs[r].prompt.token_ids)) for r in rows]
    return max((n - batch.counts[row] for n, row in zip(most, rows, strict=True)), default=0)


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
        sampling=sampling_of([spec.sampling for spec in specs], loaded.d_vocab, loaded.device),
        watches=watches,
        draws=[Draws(spec.sampling) for spec in specs],
        counts=[len(spec.prefix) for spec in specs],
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
        batch.is_steered_anew = True


def _take(loaded: LoadedModel, spec: GenerationSpec, batch: _Batch, i: int, token_id: int) -> Token:
    """Note the token that the batch's row i, which follows `spec`, goes on with."""
    row = batch.rows[i]
    _watch(batch, i, token_id, len(spec.prompt.token_ids) + batch.counts[row])
    batch.counts[row] += 1
    return Token(row, token_id, _stop_reason(loaded, spec, token_id, batch.counts[row]))


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
    if not bool(sound if steered is None else sound & steered.all()):
        raise not_finite(loaded, is_steered=steered is not None and not bool(steered.all()))
    return logits


def _sample(batch: _Batch, logits: Tensor) -> list[int]:
    """One token id per row; each row draws one number from its own generator, whatever its neighbours do."""
    numbers = [batch.draws[row].between(n, n + 1) for row in batch.rows for n in (batch.counts[row],)]
    draws = torch.tensor(numbers, dtype=batch.sampling.heats.dtype).to(logits.device)
    ids: list[int] = choose(logits, batch.sampling, draws).tolist()
    return ids


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
            raise not_finite(loaded, is_steered=False)
        targets = torch.tensor(part, device=logits.device, dtype=torch.int64)
        here = float(torch.nn.functional.cross_entropy(logits, targets))
        mean += (here - mean) * len(part) / (start + len(part))
    return mean
