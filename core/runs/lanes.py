"""The work that jobs do, as generators over a loaded pair: generate, extract, attribute, sweep.

Only the engine thread runs these. Each yields after every step, so that a stop takes effect there; what was computed
until then is kept.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field

from tokenizers.decoders import DecodeStream

from core.forward.scoring import score_completions
from core.jobs import Progress
from core.models.loaded import LoadedModel
from core.runs.generation import Token, stream_completions
from core.runs.values import Generation, GenerationSpec, StopReason

SCORE_TOKENS = 2048
"""Of the texts that are scored in one forward pass; a longer one is scored alone."""

SHOWN_SECONDS = 0.05
"""How old what is shown of running lanes may be: at each token a copy of all takes longer than the token."""

OnToken = Callable[[int, int, str], None]


@dataclass
class _Lane:
    """A completion in the making."""

    spec: GenerationSpec
    loaded: LoadedModel
    token_ids: list[int] = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)
    stop_reason: StopReason = "running"
    began: float | None = None
    """When it was first waited for."""
    seconds: float = 0.0
    nll: float | None = None
    _frozen: Generation | None = None

    def __post_init__(self) -> None:
        self._stream = DecodeStream(skip_special_tokens=False)

    def start(self, number: int, on_token: OnToken) -> None:
        """Take the prefix of the spec as the first tokens, where that was not done."""
        for token_id in self.spec.prefix[len(self.token_ids) :]:
            on_token(number, token_id, self.add(Token(0, token_id, "running")))

    def add(self, token: Token) -> str:
        """Take the new token and return its text; an end-of-sequence token has none."""
        piece = ""
        if token.stop_reason != "eos":
            piece = self._stream.step(self.loaded.tokenizer.backend_tokenizer, token.token_id) or ""
        self.token_ids.append(token.token_id)
        self.pieces.append(piece)
        self.stop_reason = token.stop_reason or "running"
        return piece

    @property
    def n_tokens(self) -> int:
        """Tokens of prompt and completion."""
        return len(self.spec.prompt.token_ids) + len(self.token_ids)

    def keep(self) -> Generation:
        """What it is from now on."""
        self._frozen = self.freeze()
        return self._frozen

    def freeze(self) -> Generation:
        """What it is now."""
        return self._frozen or Generation(
            spec=self.spec,
            token_ids=tuple(self.token_ids),
            pieces=tuple(self.pieces),
            stop_reason=self.stop_reason,
            seconds=self.seconds,
            nll=self.nll,
        )


def generate_lanes(
    models: Sequence[LoadedModel],
    specs: Sequence[GenerationSpec],
    *,
    at_once: int | None = None,
    on_token: OnToken = lambda lane, token_id, piece: None,
    on_end: Callable[[list[Generation]], None] = lambda generations: None,
) -> Generator[Progress, None, tuple[Generation, ...]]:
    """Complete specs[i] with models[i], all lanes of one model in one batch, the models taking turns token by token.

    Models that share a card come one after the other, first the one that is there.
    `at_once` bounds the lanes that run together; others take the places of those that end (`stream_completions`).
    `on_token(lane, token_id, piece)` is called as tokens come. `on_end` gets all lanes however the work ends, with stop
    reason "cancelled" or "error" where it was cut short: `at_once` of them after another, in their order, as soon as
    they are scored; at the end none of those after the last that was begun.
    """
    lanes = [_Lane(spec, loaded) for spec, loaded in zip(specs, models, strict=True)]
    size = max(1, len(lanes) if at_once is None else at_once)
    parts = [lanes[start : start + size] for start in range(0, len(lanes), size)] or [[]]
    shown, n_ended = _Shown(lanes), 0
    try:
        for _ in _interleave(lanes, on_token, size):
            yield shown.progress("generating")
            while n_ended < len(parts) and all(lane.stop_reason != "running" for lane in parts[n_ended]):
                for _ in _score_all(parts[n_ended]):
                    yield shown.progress("scoring under the unsteered model", anew=True)
                n_ended += 1
                on_end([lane.keep() for lane in parts[n_ended - 1]])
    except GeneratorExit:
        _mark(lanes, "cancelled")
        raise
    except BaseException:
        _mark(lanes, "error")
        raise
    finally:
        begun = [n for n, part in enumerate(parts) if n == 0 or any(lane.token_ids for lane in part)]
        for part in parts[n_ended : begun[-1] + 1]:
            on_end([lane.freeze() for lane in part])
    return tuple(lane.freeze() for lane in lanes)


class _Shown:
    """What is told of lanes while they run, and how long each has been running."""

    def __init__(self, lanes: list[_Lane]) -> None:
        self._lanes, self._running = lanes, lanes
        self._partial, self._made_at, self._now = tuple[Generation, ...](), -math.inf, time.monotonic()

    def progress(self, message: str, *, anew: bool = False) -> Progress:
        """Tokens written, of those that may be; the lanes are at most SHOWN_SECONDS old, or made `anew`."""
        before, self._now = self._now, time.monotonic()
        for lane in self._running:
            if lane.token_ids:
                lane.began = before if lane.began is None else lane.began
                lane.seconds = self._now - lane.began
        self._running = [lane for lane in self._running if lane.stop_reason == "running"]
        if anew or self._now >= self._made_at + SHOWN_SECONDS:
            self._partial, self._made_at = tuple(lane.freeze() for lane in self._lanes), self._now
        done = sum(len(lane.token_ids) for lane in self._lanes)
        left = sum(lane.spec.sampling.max_new_tokens - len(lane.token_ids) for lane in self._running)
        return Progress(done, done + left, message, self._partial)


def _mark(lanes: list[_Lane], reason: StopReason) -> None:
    for lane in lanes:
        if lane.stop_reason == "running":
            lane.stop_reason = reason


def _interleave(lanes: list[_Lane], on_token: OnToken, at_once: int) -> Iterator[None]:
    """Advance one stream per model by one token each turn until all have ended; their rows are at most `at_once`.

    Of models that share a card one waits for the end of the other, whose lanes are scored while it is there.
    """
    streams = _streams(lanes, at_once)
    for i, lane in enumerate(lanes[:at_once]):
        lane.start(i, on_token)
    while streams:
        for group in list(streams):
            indices, stream = group
            lock = lanes[indices[0]].loaded.lock
            if any(lock.excludes(lanes[others[0]].loaded.lock) for others, _ in streams[: streams.index(group)]):
                continue
            if lock.is_away:
                lock.expect()
                yield
            step = next(stream, None)
            for token in step or ():
                i = indices[token.row]
                lanes[i].start(i, on_token)
                on_token(i, token.token_id, lanes[i].add(token))
            if step is None or all(lanes[i].stop_reason != "running" for i in indices):
                streams.remove(group)
                if any(lock.excludes(lanes[others[0]].loaded.lock) for others, _ in streams):
                    for start in range(0, len(lanes), at_once):
                        yield from _score_all([lanes[i] for i in indices if start <= i < start + at_once])
            yield


def _streams(lanes: list[_Lane], at_once: int) -> list[tuple[list[int], Iterator[list[Token]]]]:
    """Per model its lanes and their stream, first that of the model which is there."""
    groups: dict[int, list[int]] = {}
    for i, lane in enumerate(lanes):
        groups.setdefault(id(lane.loaded), []).append(i)
    streams = []
    for indices in sorted(groups.values(), key=lambda indices: lanes[indices[0]].loaded.lock.is_away):
        share, given = max(1, at_once * len(indices) // len(lanes)), [lanes[i].spec for i in indices]
        streams.append((indices, stream_completions(lanes[indices[0]].loaded, given, at_once=share)))
    return streams


def _score_all(lanes: Sequence[_Lane]) -> Iterator[None]:
    """Score the lanes, a batch a step; a model that has to come to the card is waited for by a step before."""
    for batch in _scored_together(lanes):
        lock = batch[0].loaded.lock
        if lock.is_away:
            lock.expect()
            yield
        _score(batch)
        yield


def _scored_together(lanes: Sequence[_Lane]) -> Iterator[list[_Lane]]:
    """Lanes that have no score yet, of one model and about one length, in batches of at most SCORE_TOKENS.

    Empty ones have none.
    """
    written = sorted(
        (lane for lane in lanes if lane.token_ids and lane.nll is None),
        key=lambda lane: (lane.loaded.lock.is_away, id(lane.loaded), lane.n_tokens),
    )
    batch: list[_Lane] = []
    for lane in written:
        fits = batch and batch[0].loaded is lane.loaded and (len(batch) + 1) * lane.n_tokens <= SCORE_TOKENS
        if batch and not fits:
            yield batch
            batch = []
        batch.append(lane)
    if batch:
        yield batch


def _score(lanes: Sequence[_Lane]) -> None:
    rows = [(lane.spec.prompt.token_ids, lane.token_ids) for lane in lanes]
    for lane, nll in zip(lanes, score_completions(lanes[0].loaded, rows), strict=True):
        lane.nll = nll
