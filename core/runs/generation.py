"""Token-by-token completion under steering: batches in which every row has its own steering and random generator.

It knows nothing of pages, jobs or disks. Steering never spans a yield: each step takes the model's lock, opens the
hooks, runs one forward, closes them, and only then samples and yields. On a card the steps after the first few tokens
are fixed ones (`core.forward.fixed_step`), of which the next is under way while the tokens of one are read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter

import torch
from torch import Tensor

from core.errors import BadInput
from core.forward.batch import Batch, left_padded, next_logits
from core.forward.fixed_fit import can_fix, can_join
from core.forward.fixed_step import BAD_STREAM, SOUND, FixedRows, ReadRows, fixed_rows
from core.forward.kv_cache import roomy_cache
from core.forward.programs import EndingWatch, thinking_start
from core.forward.sampling import Draws, Sampling, choose, sampling_of
from core.forward.steering import Steering, compile_steering
from core.forward.unembedding import not_finite
from core.models.loaded import LoadedModel
from core.runs.values import GenerationSpec, StopReason

FIRST_TOKENS, WORTH_FIXING = 2, 16
"""Tokens before the first fixed step, and how many must be left for it; for fewer rows, twice as many."""


@dataclass(frozen=True)
class Token:
    """One new token of one row; `stop_reason` is set on the row's last one."""

    row: int
    token_id: int
    stop_reason: StopReason | None = None


@dataclass(frozen=True, kw_only=True)
class _Call:
    """What is known of all rows of one call, in their order, whether they run, wait or have ended."""

    loaded: LoadedModel
    specs: Sequence[GenerationSpec]
    steering: Steering
    sampling: Sampling
    watches: dict[int, EndingWatch]
    """Of rows whose steering waits for something to be written."""
    draws: list[Draws]
    counts: list[int]
    """(n_specs,) tokens of each completion."""
    waiting: list[int]
    """Rows that have not begun."""
    at_once: int
    joins: bool
    """Whether those that wait take the places of rows that end; else they begin when all have ended."""

    def n_read(self, row: int) -> int:
        """Tokens of the row that are read before the first one is chosen."""
        return len(self.specs[row].prompt.token_ids) + len(self.specs[row].prefix)

    def longest_waiting(self) -> int:
        return max(map(self.n_read, self.waiting), default=0) if self.joins else 0

    def take(self, n: int, *, within: int | None = None) -> list[int]:
        """The first `n` rows that wait and have no more than `within` columns to be read; they wait no longer."""
        rows = [row for row in self.waiting if within is None or self.n_read(row) <= within][:n]
        self.waiting[:] = [row for row in self.waiting if row not in rows] if rows else self.waiting
        return rows


def stream_completions(
    loaded: LoadedModel,
    specs: Sequence[GenerationSpec],
    *,
    use_cache: bool = True,
    fixed: bool | None = None,
    at_once: int | None = None,
) -> Iterator[list[Token]]:
    """Yield, step by step, the new token of every row that is still running.

    Row i follows specs[i] alone: its text does not depend on what else is in the batch (fp32: token for token). An
    end-of-sequence token ends its row and is yielded with stop reason "eos". A spec's prefix is read, not yielded, and
    the random numbers of its tokens are passed over: a fork with the same settings goes on as the whole run did.
    `fixed` says whether steps become fixed ones after FIRST_TOKENS, by default on a card. `at_once` bounds the rows
    that run together: where the model allows it (`can_join`) others take the places of those that end, and a step of
    rows that join holds their first tokens alone; else they begin when all have ended.
    Raises BadDirection, BadInput before the first forward; BadDirection when a steered residual stream overflows, and
    ModelUnavailable when logits are not finite.
    """
    _check_specs(loaded, specs)
    call = _begin(loaded, specs, at_once=max(1, len(specs) if at_once is None else at_once), use_cache=use_cache)
    fixes = use_cache and (loaded.device.type == "cuda" if fixed is None else fixed)
    while call.waiting:
        yield from _stream(call, _start(call, call.take(call.at_once), use_cache=use_cache), fixes=fixes)


def _stream(call: _Call, batch: Batch, *, fixes: bool) -> Iterator[list[Token]]:
    """A batch, and those that join it, until no row is running."""
    n_steps = 0
    while batch.rows:
        tokens, ended = _step(call, batch)
        yield tokens
        yield from _refill(call, batch, ended)
        n_steps += 1
        to_come = [*batch.rows, *(call.waiting if call.joins else ())]
        worth = fixes and n_steps == FIRST_TOKENS and _left(call, to_come) >= WORTH_FIXING
        if worth and can_fix(call.loaded, batch.cache, batch.n_read):
            yield from _stream_fixed(call, batch)
            return


def _refill(call: _Call, batch: Batch, ended: list[int]) -> Iterator[list[Token]]:
    """Give the places of ended rows to those that wait; the first tokens of these are yielded. The rest is let go."""
    changes = bool(ended)
    while len(ended) < len(batch.rows):
        found = _joining(call, call.at_once - len(batch.rows) + len(ended), batch.n_read)
        if found is None:
            break
        yield found[0]
        if found[1].rows:
            ended, changes = batch.take_in(found[1], ended), True
    batch.let_go(ended)
    if changes and batch.rows and call.joins:
        batch.drop_padding(call.longest_waiting())


def _joining(call: _Call, n: int, n_read: int) -> tuple[list[Token], Batch] | None:
    """At most `n` rows that wait and fit in `n_read` columns, read: their first tokens, and those that go on."""
    rows = call.take(n, within=n_read) if call.joins and n > 0 else []
    if not rows:
        return None
    new = _start(call, rows, use_cache=True)
    tokens, ended = _step(call, new)
    new.let_go(ended)
    return tokens, new


def _stream_fixed(call: _Call, batch: Batch) -> Iterator[list[Token]]:
    """The rest of the batch by fixed steps: each is launched before the tokens of the one before it are looked at."""
    fixed, running = fixed_rows(call.loaded, _read(call, batch)), list(range(len(batch.rows)))
    while running:
        while found := _joining(call, len(batch.rows) - len(running), fixed.column - len(fixed.pending)):
            yield found[0]
            running += _take_in(call, batch, fixed, found[1], running)
        fixed.n_waiting = call.longest_waiting()
        left = _left(call, [batch.rows[i] for i in running])
        if not fixed.n_waiting and 2 * len(running) <= len(batch.rows) and left >= 2 * WORTH_FIXING:
            batch.rows = [batch.rows[i] for i in fixed.keep(running)]
            batch.steering, running = fixed.steering, list(range(len(running)))
        for _ in range(min(2, left) - len(fixed.pending)):
            fixed.launch()
        chosen, sound = fixed.fetch()
        bad = [sound[i] for i in running if sound[i] != SOUND]
        if bad:
            raise not_finite(call.loaded, is_steered=BAD_STREAM in bad)
        step = [_take(call, batch, i, chosen[i]) for i in running]
        if batch.is_steered_anew:
            fixed.take_back()
            batch.is_steered_anew = False
        running = [i for i, token in zip(running, step, strict=True) if token.stop_reason is None]
        yield sorted(step, key=attrgetter("row"))


def _take_in(call: _Call, batch: Batch, fixed: FixedRows, new: Batch, running: Sequence[int]) -> list[int]:
    """Go on with the rows of `new` in places that are free; returns which."""
    places = [i for i in range(len(batch.rows)) if i not in running][: len(new.rows)]
    fixed.take_in(places, _read(call, new))
    for place, row in zip(places, new.rows, strict=True):
        batch.rows[place] = row
    return places


def _read(call: _Call, batch: Batch) -> ReadRows:
    """The batch as fixed steps go on with it."""
    assert batch.cache is not None
    begins = [n + len(call.specs[row].prompt.token_ids) for n, row in zip(batch.pads.tolist(), batch.rows, strict=True)]
    return ReadRows(
        cache=batch.cache,
        input_ids=batch.input_ids,
        pads=batch.pads,
        n_read=batch.n_read,
        steering=batch.steering,
        sampling=batch.sampling,
        numbers=[(call.draws[row], begin) for row, begin in zip(batch.rows, begins, strict=True)],
    )


def _left(call: _Call, rows: Sequence[int]) -> int:
    """How many tokens may still come in any of these rows of the call."""
    context, specs = call.loaded.context_length, [call.specs[row] for row in rows]
    most = [min(spec.sampling.max_new_tokens, context - len(spec.prompt.token_ids)) for spec in specs]
    return max((n - call.counts[row] for n, row in zip(most, rows, strict=True)), default=0)


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


def _begin(loaded: LoadedModel, specs: Sequence[GenerationSpec], *, at_once: int, use_cache: bool) -> _Call:
    steering, watches = steering_of(loaded, specs)
    return _Call(
        loaded=loaded,
        specs=specs,
        steering=steering,
        sampling=sampling_of([spec.sampling for spec in specs], loaded.d_vocab, loaded.device),
        watches=watches,
        draws=[Draws(spec.sampling) for spec in specs],
        counts=[len(spec.prefix) for spec in specs],
        waiting=list(range(len(specs))),
        at_once=at_once,
        joins=use_cache and at_once < len(specs) and can_join(loaded),
    )


def _start(call: _Call, rows: list[int], *, use_cache: bool) -> Batch:
    """These rows of the call, of which nothing is read yet."""
    device, texts = call.loaded.device, [call.specs[row].prompt.token_ids + call.specs[row].prefix for row in rows]
    input_ids, pads = left_padded(texts, device)
    chosen = torch.tensor(rows, dtype=torch.int64, device=device)
    batch = Batch(
        rows=rows,
        input_ids=input_ids,
        pads=pads,
        n_read=0,
        steering=call.steering.select(chosen),
        cache=roomy_cache(call.loaded.model.config) if use_cache else None,
        sampling=call.sampling.select(chosen),
    )
    for i, row in enumerate(rows):
        for place, token_id in enumerate(call.specs[row].prefix):
            _watch(call, batch, i, token_id, len(call.specs[row].prompt.token_ids) + place)
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


def _watch(call: _Call, batch: Batch, i: int, token_id: int, position: int) -> None:
    """Note what the token at `position` of the batch's row i ends: it and those after it are not steered."""
    watch = call.watches.get(batch.rows[i])
    for ending in watch.feed(token_id) if watch else ():
        batch.steering.end(i, ending, position)
        batch.is_steered_anew = True


def _take(call: _Call, batch: Batch, i: int, token_id: int) -> Token:
    """Note the token that the batch's row i goes on with."""
    row = batch.rows[i]
    _watch(call, batch, i, token_id, len(call.specs[row].prompt.token_ids) + call.counts[row])
    call.counts[row] += 1
    return Token(row, token_id, _stop_reason(call.loaded, call.specs[row], token_id, call.counts[row]))


def _step(call: _Call, batch: Batch) -> tuple[list[Token], list[int]]:
    """One token more of every row, in their order in the call, and the positions of rows that it ends."""
    chosen = _sample(call, batch, next_logits(call.loaded, batch))
    tokens = [_take(call, batch, i, token_id) for i, token_id in enumerate(chosen)]
    batch.go_on(chosen)
    return sorted(tokens, key=attrgetter("row")), [i for i, token in enumerate(tokens) if token.stop_reason is not None]


def _sample(call: _Call, batch: Batch, logits: Tensor) -> list[int]:
    """One token id per row; each row draws one number from its own generator, whatever its neighbours do."""
    numbers = [call.draws[row].between(n, n + 1) for row in batch.rows for n in (call.counts[row],)]
    draws = torch.tensor(numbers, dtype=batch.sampling.heats.dtype).to(logits.device)
    ids: list[int] = choose(logits, batch.sampling, draws).tolist()
    return ids


def _stop_reason(loaded: LoadedModel, spec: GenerationSpec, token_id: int, count: int) -> StopReason | None:
    if token_id in loaded.eos_ids:
        return "eos"
    if count >= spec.sampling.max_new_tokens:
        return "length"
    if len(spec.prompt.token_ids) + count >= loaded.context_length:
        return "context"
    return None
