"""Difference of means over all layers × windows in one pass over the traces (paper, Eq. 3).

Per trace, one forward up to the deepest layer asked for; means of the window positions are added to float64 sums as
they come, so that no hidden state outlives its trace. Positions of D are the tokens of the reasoning text: the prompt,
chat tokens and BOS belong to neither mean.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from core.directions import DirectionSet, ExtractionSpec
from core.encoding import Reading
from core.errors import BadInput
from core.hooks import run_decoder
from core.models import LoadedModel, encode_text
from core.traces import find_events, window_positions
from core.values import Trace

MIN_TRACES = 2


@dataclass
class _Sums:
    """Running sums over traces; index 0 and 1 of the first axis are the even and the odd traces."""

    positive: Tensor
    """(2, n_layers, n_windows, d_model) Σ over traces of the mean over D+ positions."""
    positive_squares: Tensor
    """(n_layers, n_windows, d_model) Σ over D+ tokens of squared activations."""
    positive_tokens: Tensor
    """(n_layers, n_windows, d_model) Σ over D+ tokens of activations."""
    negative: Tensor
    """(2, n_layers, n_windows or 1, d_model) Σ over traces of the mean over D positions."""
    tokens: Tensor
    """(n_layers, d_model) Σ over all tokens of activations."""
    squares: Tensor
    """(n_layers, d_model) Σ over all tokens of squared activations."""
    norms: Tensor
    """(n_layers,) Σ over all tokens of ‖activation‖."""
    traces: Tensor
    """(2, n_windows) traces that contributed to D+."""
    window_tokens: Tensor
    """(n_windows,) tokens that contributed to D+."""
    negative_traces: Tensor
    """(2, n_windows or 1) traces that contributed to the mean that is subtracted."""
    n_tokens: int = 0
    n_events: int = 0
    n_traces: int = 0


def extract_directions(
    loaded: LoadedModel, traces: Sequence[Trace], spec: ExtractionSpec
) -> Iterator[int | DirectionSet]:
    """Yield the number of traces read so far after each trace, and at last the DirectionSet.

    negatives "all": the subtracted mean is over all positions of D, as in Eq. 3; "other": over the positions outside
    the window. Raises BadInput when a window lies outside every trace or fewer than two traces have an event.
    """
    _check_layers(loaded, spec)
    sums = _empty(len(spec.layers), len(spec.windows), loaded.d_model, spec.negatives)
    for number, trace in enumerate(traces, start=1):
        try:
            reading = encode_text(loaded, trace.prompt, trace.text)
        except BadInput as error:
            raise BadInput(f"Trace {trace.trace_id!r}: {error.problem}", error.remedy) from error
        _add_trace(loaded, trace, reading, spec, sums)
        yield number
    _check_counts(spec, sums)
    yield _finish(spec, sums)


def _check_layers(loaded: LoadedModel, spec: ExtractionSpec) -> None:
    bad = [layer for layer in spec.layers if not 0 <= layer < loaded.n_layers]
    if bad:
        raise BadInput(
            f"Layer {bad[0]} was asked for; {loaded.name} has layers 0 to {loaded.n_layers - 1}.",
            "Choose layers of this model.",
        )


def _empty(n_layers: int, n_windows: int, d_model: int, negatives: str) -> _Sums:
    n_negative = n_windows if negatives == "other" else 1

    def zeros(*shape: int) -> Tensor:
        return torch.zeros(shape, dtype=torch.float64)

    return _Sums(
        positive=zeros(2, n_layers, n_windows, d_model),
        positive_squares=zeros(n_layers, n_windows, d_model),
        positive_tokens=zeros(n_layers, n_windows, d_model),
        negative=zeros(2, n_layers, n_negative, d_model),
        tokens=zeros(n_layers, d_model),
        squares=zeros(n_layers, d_model),
        norms=zeros(n_layers),
        traces=zeros(2, n_windows),
        window_tokens=zeros(n_windows),
        negative_traces=zeros(2, n_negative),
    )


def window_weights(positions: Sequence[Sequence[int]], seq: int) -> Tensor:
    """(n_windows, seq) 0/1 membership of the text's positions in each window."""
    weights = torch.zeros(len(positions), seq, dtype=torch.float64)
    for row, columns in enumerate(positions):
        weights[row, torch.as_tensor(columns, dtype=torch.int64)] = 1
    return weights


def _add_trace(loaded: LoadedModel, trace: Trace, reading: Reading, spec: ExtractionSpec, sums: _Sums) -> None:
    first, stop = reading.text_start, len(reading.token_ids)
    events = find_events(trace, spec.label, spans=reading.spans, text_start=first)
    covered = [window_positions(events, window, first=first, stop=stop) - first for window in spec.windows]
    weights = window_weights([c.tolist() for c in covered], stop - first).to(loaded.device)
    half = sums.n_traces % 2
    used = weights.sum(1)
    sums.traces[half] += (used > 0).cpu()
    sums.window_tokens += used.cpu()
    outside = (1 - weights) if spec.negatives == "other" else torch.ones(1, stop - first, dtype=torch.float64)
    outside = outside.to(loaded.device)
    sums.negative_traces[half] += (outside.sum(1) > 0).cpu()

    def sink(layer: int, hidden: Tensor) -> None:
        i = spec.layers.index(layer)
        activations = hidden[0, first:].double()
        squares = activations.square()
        inside = weights @ activations
        sums.positive[half, i] += (inside / used.clamp(min=1)[:, None]).cpu()
        sums.positive_tokens[i] += inside.cpu()
        sums.positive_squares[i] += (weights @ squares).cpu()
        sums.negative[half, i] += ((outside @ activations) / outside.sum(1).clamp(min=1)[:, None]).cpu()
        sums.tokens[i] += activations.sum(0).cpu()
        sums.squares[i] += squares.sum(0).cpu()
        sums.norms[i] += squares.sum(1).sqrt().sum().cpu()

    with loaded.lock:
        run_decoder(loaded, torch.tensor([reading.token_ids]), spec.layers, sink)
    sums.n_tokens += stop - first
    sums.n_events += len(events)
    sums.n_traces += 1


def _check_counts(spec: ExtractionSpec, sums: _Sums) -> None:
    if sums.n_events == 0:
        raise BadInput(
            f"No part of these {sums.n_traces} traces is labelled {spec.label!r}.",
            "Choose another label, or traces in which it occurs.",
        )
    n_traces = sums.traces.sum(0)
    for window, count in zip(spec.windows, n_traces.tolist(), strict=True):
        if count == 0:
            raise BadInput(
                f"The window {window.label} lies outside every trace.", "Choose offsets closer to the event."
            )
    if int(n_traces.max()) < MIN_TRACES or sums.n_traces < MIN_TRACES:
        raise BadInput(
            f"Only {int(n_traces.max())} trace has a {spec.label!r} event.",
            f"A mean needs at least {MIN_TRACES}: add traces.",
        )


def _finish(spec: ExtractionSpec, sums: _Sums) -> DirectionSet:
    vectors = _mean(sums.positive.sum(0), sums.traces.sum(0)) - _mean(sums.negative.sum(0), sums.negative_traces.sum(0))
    halves = [
        _mean(sums.positive[h], sums.traces[h]) - _mean(sums.negative[h], sums.negative_traces[h]) for h in (0, 1)
    ]
    assert torch.isfinite(vectors).all(), "a mean difference is not finite"
    reliability = torch.nn.functional.cosine_similarity(halves[0], halves[1], dim=-1)
    reliability[:, (sums.traces == 0).any(0)] = float("nan")
    counts = torch.stack([sums.traces.sum(0), sums.window_tokens], dim=1)
    return DirectionSet(
        spec=spec,
        vectors=vectors.float().numpy(),
        counts=counts.to(torch.int64).numpy(),
        resid_norms=(sums.norms / sums.n_tokens).float().numpy(),
        separation=_separation(sums, vectors).float().numpy(),
        reliability=reliability.float().numpy(),
        n_traces=sums.n_traces,
        n_events=sums.n_events,
        n_tokens=sums.n_tokens,
    )


def _mean(total: Tensor, count: Tensor) -> Tensor:
    """(n_layers, n_windows, d_model) sums over traces divided by how many traces there were per window."""
    return total / count.clamp(min=1)[None, :, None]


def _separation(sums: _Sums, vectors: Tensor) -> Tensor:
    """(n_layers, n_windows) d′ of the D+ tokens against all tokens along each direction, diagonal covariance.

    The variance of the projection on v̂ is taken as Σ_j v̂_j² σ_j², pooled over both groups of tokens.
    """
    n = sums.window_tokens.clamp(min=1)[None, :, None]
    inside_mean = sums.positive_tokens / n
    inside_var = (sums.positive_squares / n - inside_mean.square()).clamp(min=0)
    all_mean = (sums.tokens / sums.n_tokens)[:, None]
    all_var = ((sums.squares / sums.n_tokens)[:, None] - all_mean.square()).clamp(min=0)
    unit = vectors / vectors.norm(dim=-1, keepdim=True).clamp(min=1e-12)
    gap = ((inside_mean - all_mean) * unit).sum(-1)
    spread = (unit.square() * (inside_var + all_var) / 2).sum(-1).clamp(min=1e-12).sqrt()
    separation: Tensor = gap / spread
    return separation
