"""The work that jobs do, as generators over a loaded pair: generate, extract, attribute, sweep.

Only the engine thread runs these. Each yields after every step, so that a stop takes effect there; what was computed
until then is kept.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field

from tokenizers.decoders import DecodeStream

from core.directions.direction import DirectionSet, ExtractionSpec
from core.experiments import DoseCell, DoseCellSpec
from core.extraction import extract_directions, record_moments
from core.generation import Token, score_completions, stream_completions
from core.jobs import Progress, relay
from core.models.loaded import LoadedModel
from core.moment_shelf import MomentShelf
from core.moments import Moments, MomentsSpec
from core.runs import Generation, GenerationSpec, StopReason
from core.text.words import measure_text
from core.values import ModelSpec, Trace

OnToken = Callable[[int, int, str], None]


@dataclass
class _Lane:
    """A completion in the making."""

    spec: GenerationSpec
    loaded: LoadedModel
    token_ids: list[int] = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)
    stop_reason: StopReason = "running"
    seconds: float = 0.0
    nll: float | None = None

    def __post_init__(self) -> None:
        self._stream = DecodeStream(skip_special_tokens=False)

    def start(self) -> Iterator[tuple[int, str]]:
        """Take the prefix of the spec as the first tokens, and yield each with its text."""
        for token_id in self.spec.prefix:
            yield token_id, self.add(Token(0, token_id, "running"))

    def add(self, token: Token) -> str:
        """Take the new token and return its text; an end-of-sequence token has none."""
        piece = ""
        if token.stop_reason != "eos":
            piece = self._stream.step(self.loaded.tokenizer.backend_tokenizer, token.token_id) or ""
        self.token_ids.append(token.token_id)
        self.pieces.append(piece)
        self.stop_reason = token.stop_reason or "running"
        return piece

    def freeze(self) -> Generation:
        return Generation(
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
    on_token: OnToken = lambda lane, token_id, piece: None,
    on_end: Callable[[list[Generation]], None] = lambda generations: None,
) -> Generator[Progress, None, tuple[Generation, ...]]:
    """Complete specs[i] with models[i], all lanes of one model in one batch, the models taking turns token by token.

    `on_token(lane, token_id, piece)` is called as tokens come; `on_end` gets all lanes however the work ends, with stop
    reason "cancelled" or "error" where it was cut short.
    """
    lanes = [_Lane(spec, loaded) for spec, loaded in zip(specs, models, strict=True)]
    for i, lane in enumerate(lanes):
        for token_id, piece in lane.start():
            on_token(i, token_id, piece)
    started = time.monotonic()
    try:
        for _ in _interleave(lanes, on_token):
            for lane in lanes:
                lane.seconds = time.monotonic() - started if lane.stop_reason == "running" else lane.seconds
            done = sum(len(lane.token_ids) for lane in lanes)
            left = sum(lane.spec.sampling.max_new_tokens for lane in lanes if lane.stop_reason == "running")
            used = sum(len(lane.token_ids) for lane in lanes if lane.stop_reason == "running")
            yield Progress(done, done + left - used, "generating", tuple(lane.freeze() for lane in lanes))
        for lane in lanes:
            _score(lane)
            yield Progress(1, 1, "scoring under the unsteered model", tuple(lane.freeze() for lane in lanes))
    except GeneratorExit:
        _mark(lanes, "cancelled")
        raise
    except BaseException:
        _mark(lanes, "error")
        raise
    finally:
        on_end([lane.freeze() for lane in lanes])
    return tuple(lane.freeze() for lane in lanes)


def _mark(lanes: list[_Lane], reason: StopReason) -> None:
    for lane in lanes:
        if lane.stop_reason == "running":
            lane.stop_reason = reason


def _interleave(lanes: list[_Lane], on_token: OnToken) -> Iterator[None]:
    """Advance one stream per model by one token each turn until all have ended."""
    groups: dict[int, list[int]] = {}
    for i, lane in enumerate(lanes):
        groups.setdefault(id(lane.loaded), []).append(i)
    streams = [
        (indices, stream_completions(lanes[indices[0]].loaded, [lanes[i].spec for i in indices]))
        for indices in groups.values()
    ]
    while streams:
        for group in list(streams):
            indices, stream = group
            step = next(stream, None)
            if step is None:
                streams.remove(group)
                continue
            for token in step:
                i = indices[token.row]
                on_token(i, token.token_id, lanes[i].add(token))
            yield


def _score(lane: _Lane) -> None:
    if lane.token_ids:
        lane.nll = score_completions(lane.loaded, [(lane.spec.prompt.token_ids, lane.token_ids)])[0]


def extract(
    loaded: LoadedModel, traces: Sequence[Trace], spec: ExtractionSpec
) -> Generator[Progress, None, DirectionSet]:
    """The DirectionSet of `spec`, one trace a step."""
    for item in extract_directions(loaded, traces, spec):
        if isinstance(item, DirectionSet):
            return item
        yield Progress(item, len(traces), f"reading trace {item} of {len(traces)} with {loaded.name}")
    raise AssertionError("the extraction ended without a result")


def record(
    find_model: Callable[[ModelSpec, str], LoadedModel],
    shelf: MomentShelf,
    specs: Sequence[MomentsSpec],
    traces: Sequence[Trace],
) -> Generator[Progress, None, tuple[MomentsSpec, ...]]:
    """Put the sums of every spec on the shelf, one trace a step; those that lie there are not gathered again."""
    todo = [spec for spec in specs if shelf.get(spec) is None]
    for number, spec in enumerate(todo):
        loaded, before = find_model(spec.model, spec.fingerprint), number * len(traces)
        reading = record_moments(loaded, traces, spec, begun=shelf.unfinished(spec), on_stop=shelf.put_unfinished)
        with contextlib.closing(reading):
            for item in reading:
                if isinstance(item, Moments):
                    shelf.put(item)
                    continue
                message = f"reading trace {item} of {len(traces)} with {loaded.name}"
                yield Progress(before + item, len(todo) * len(traces), message)
    return tuple(specs)


def run_cell(loaded: LoadedModel, spec: DoseCellSpec, *, batch: int) -> Generator[Progress, None, DoseCell]:
    """All completions of one cell, `batch` prompts at a time, measured and scored under the unsteered model."""
    specs = spec.generations()
    generations: list[Generation] = []
    for start in range(0, len(specs), batch):
        chunk = specs[start : start + batch]

        def placed(progress: Progress, start: int = start, n: int = len(chunk)) -> Progress:
            return Progress(start + n * progress.done / max(progress.total, 1), len(specs))

        generations += yield from relay(generate_lanes([loaded] * len(chunk), chunk), placed)
    measured = [measure_text(g.text, spec.keywords) for g in generations]
    return DoseCell(
        spec=spec,
        hits=tuple(m.n_keywords for m in measured),
        words=tuple(m.n_words for m in measured),
        repetition=tuple(m.repetition for m in measured),
        nll=tuple(float("nan") if g.nll is None else g.nll for g in generations),
        no_evidence=tuple(m.no_evidence or "" for m in measured),
        texts=tuple(g.text for g in generations),
    )
