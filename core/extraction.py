"""Sums of activations around events over all labels × windows × layers, in one pass over the traces (paper, Eq. 3).

Per trace, one forward up to the deepest layer asked for; a sparse selection matrix takes what each window needs, and
float64 sums grow as layers come, so that no hidden state outlives its trace. Positions of D are the tokens of the
reasoning text: the prompt, chat tokens and BOS belong to neither mean.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.contrast import contrast
from core.controls import with_shuffled
from core.directions import DirectionSet, ExtractionSpec
from core.encoding import Reading
from core.errors import BadInput
from core.hooks import run_decoder
from core.models import LoadedModel
from core.moments import NEGATIVES, Moments, MomentsSpec, bytes_needed
from core.traces import find_events, label_of_tokens, window_positions
from core.values import Event, Part, Trace

FOLDS = 4
ROOM = 0.5
"""Share of a GPU's free memory that the sums may take; else they grow in the computer's memory."""


@dataclass(kw_only=True)
class _Sums:
    """Running sums in float64; axes as in `Moments`, the weightings apart, folds and layers first."""

    positive: list[Tensor]
    """Two of (folds, n_layers, n_rows, n_windows, d_model)."""
    squares: Tensor
    """(n_layers, n_rows, n_windows, d_model)."""
    negative: Tensor
    """(folds, n_layers, 2 × n_rows × 3, d_model)."""
    all_squares: Tensor
    """(n_layers, d_model)."""
    norms: Tensor
    """(n_layers,)."""
    counts: NDArray[np.int64]
    """(2, n_rows, folds, n_windows)."""
    negative_counts: NDArray[np.int64]
    """(2, n_rows, 3, folds)."""
    events: NDArray[np.int64]
    """(n_rows,)."""
    n_traces: int = 0
    n_tokens: int = 0


@dataclass(frozen=True, kw_only=True)
class _Selection:
    """What one trace adds: a 0/1 matrix over its text positions, and how the selected sums are spread.

    The first rows × windows lines of `matrix` are the windows of the labels that occur; the rest partition the text by
    the label of each token.
    """

    matrix: Tensor
    """(n_present × n_windows + n_groups, seq) sparse."""
    present: list[int]
    """Rows that have an event in the trace."""
    shares: Tensor
    """(n_present, n_windows, 1) 1 ÷ positions, 0 where there are none."""
    counts: NDArray[np.int64]
    """(n_present, n_windows) positions."""
    background: Tensor
    """(2 × n_rows × 3, n_groups) weights of the groups in each subtracted mean."""
    background_tokens: NDArray[np.int64]
    """(n_rows, 3) positions of each subtracted mean."""
    events: NDArray[np.int64]
    """(n_rows,)."""


def record_moments(loaded: LoadedModel, traces: Sequence[Trace], spec: MomentsSpec) -> Iterator[int | Moments]:
    """Yield the number of traces read so far after each trace, and at last the Moments.

    Trace i belongs to fold i mod folds. Where two events of a label share a token or their
    windows a position, it counts once. Raises BadInput for a layer
    that the model does not have and for a trace that is longer than its context.
    """
    _check_layers(loaded, spec)
    sums = _empty(loaded, spec)
    extra = with_shuffled(traces, spec.seed, spec.shuffled) if spec.shuffled else [()] * len(traces)
    for number, (trace, moved) in enumerate(zip(traces, extra, strict=True), start=1):
        try:
            reading = loaded.encoder.reading(spec.frame or loaded.frame, trace.prompt, trace.text)
        except BadInput as error:
            raise BadInput(f"Trace {trace.trace_id!r}: {error.problem}", error.remedy) from error
        _add_trace(loaded, _select(trace, moved, reading, spec), reading, spec, sums)
        yield number
    yield _finish(spec, sums)


def extract_directions(
    loaded: LoadedModel, traces: Sequence[Trace], spec: ExtractionSpec
) -> Iterator[int | DirectionSet]:
    """Yield the number of traces read so far after each trace, and at last the DirectionSet.

    Every window of the spec is Eq. 3's: per trace, the mean over the union of its positions. Raises BadInput when all
    windows lie outside every trace, or fewer than two traces have an event.
    """
    moments = MomentsSpec(
        model=spec.model,
        fingerprint=spec.fingerprint,
        traces_digest=spec.traces_digest,
        labels=(spec.label,),
        windows=spec.windows,
        layers=spec.layers,
        folds=FOLDS,
        frame=spec.frame,
    )
    for item in record_moments(loaded, traces, moments):
        if isinstance(item, Moments):
            yield contrast(item, spec.label, negatives=spec.negatives, weighting=spec.weighting)
        else:
            yield item


def _check_layers(loaded: LoadedModel, spec: MomentsSpec) -> None:
    bad = [layer for layer in spec.layers if not 0 <= layer < loaded.n_layers]
    if bad:
        raise BadInput(
            f"Layer {bad[0]} was asked for; {loaded.name} has layers 0 to {loaded.n_layers - 1}.",
            "Choose layers of this model.",
        )


def _empty(loaded: LoadedModel, spec: MomentsSpec) -> _Sums:
    rows, layers, windows, d = len(spec.rows), len(spec.layers), len(spec.windows), loaded.d_model
    device = torch.device("cpu")
    if loaded.device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(loaded.device)
        device = loaded.device if bytes_needed(spec, d)[1] < ROOM * free else device

    def zeros(*shape: int) -> Tensor:
        return torch.zeros(shape, dtype=torch.float64, device=device)

    return _Sums(
        positive=[zeros(spec.folds, layers, rows, windows, d) for _ in range(2)],
        squares=zeros(layers, rows, windows, d),
        negative=zeros(spec.folds, layers, 2 * rows * len(NEGATIVES), d),
        all_squares=zeros(layers, d),
        norms=zeros(layers),
        counts=np.zeros((2, rows, spec.folds, windows), np.int64),
        negative_counts=np.zeros((2, rows, len(NEGATIVES), spec.folds), np.int64),
        events=np.zeros(rows, np.int64),
    )


def _select(trace: Trace, moved: Sequence[Part], reading: Reading, spec: MomentsSpec) -> _Selection:
    seq = len(reading.spans)
    events = _events_by_row(trace, moved, reading, spec)
    present = [row for row, found in enumerate(events) if found]
    lines, places = [], []
    counts = np.zeros((len(present), len(spec.windows)), np.int64)
    for a, row in enumerate(present):
        for j, window in enumerate(spec.windows):
            covered = window_positions(events[row], window, first=0, stop=seq)
            counts[a, j] = len(covered)
            lines.append(np.full(len(covered), a * len(spec.windows) + j))
            places.append(covered)
    labels = label_of_tokens(trace, reading.spans)
    groups = sorted(set(labels))
    first = counts.size
    lines.append(first + np.array([groups.index(label) for label in labels], np.int64))
    places.append(np.arange(seq))
    index = torch.from_numpy(np.stack([np.concatenate(lines), np.concatenate(places)]).astype(np.int64))
    background, tokens = _background(spec, present, groups, labels)
    return _Selection(
        matrix=torch.sparse_coo_tensor(
            index, torch.ones(index.shape[1]), (first + len(groups), seq), check_invariants=False
        ).coalesce(),
        present=present,
        shares=torch.from_numpy(np.divide(1.0, counts, where=counts > 0, out=np.zeros(counts.shape)))[..., None],
        counts=counts,
        background=torch.from_numpy(background),
        background_tokens=tokens,
        events=np.array([len(found) for found in events], np.int64),
    )


def _events_by_row(trace: Trace, moved: Sequence[Part], reading: Reading, spec: MomentsSpec) -> list[list[Event]]:
    """For each row, its events, at positions counted from the first token of the text."""
    whole = replace(trace, parts=(*trace.parts, *moved))
    return [find_events(whole, label, spans=reading.spans, text_start=0) for label in spec.rows]


def _background(
    spec: MomentsSpec, present: Sequence[int], groups: Sequence[str], labels: Sequence[str]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Weights (2 × n_rows × 3, n_groups) and positions (n_rows, 3) of the subtracted means, as in NEGATIVES."""
    of_row = [*spec.labels, *([spec.shuffled] if spec.shuffled else [])]
    member = np.zeros((len(of_row), len(NEGATIVES), len(groups)))
    for row, label in enumerate(of_row):
        member[row, 0] = 1
        member[row, 1] = [group not in ("", label) for group in groups]
        member[row, 2] = row in present
    sizes = np.array([labels.count(group) for group in groups])
    tokens = member @ sizes
    share = member / np.maximum(tokens, 1)[..., None]
    return np.stack([share, member]).reshape(-1, len(groups)), tokens.astype(np.int64)


def _add_trace(loaded: LoadedModel, selection: _Selection, reading: Reading, spec: MomentsSpec, sums: _Sums) -> None:
    fold, windows = sums.n_traces % spec.folds, len(spec.windows)
    device, home = loaded.device, sums.squares.device
    matrix, background = selection.matrix.to(device), selection.background.to(home)
    shares, shape = selection.shares.to(home), (len(selection.present), windows, loaded.d_model)
    n = len(selection.present) * windows

    def sink(layer: int, hidden: Tensor) -> None:
        i = spec.layers.index(layer)
        activations = hidden[0, reading.text_start :].float()
        squares = activations.square()
        inside, inside_squares = (torch.sparse.mm(matrix, part).to(home).double() for part in (activations, squares))
        block = inside[:n].view(shape)
        scaled = block * shares
        for a, row in enumerate(selection.present):
            sums.positive[0][fold, i, row] += scaled[a]
            sums.positive[1][fold, i, row] += block[a]
            sums.squares[i, row] += inside_squares[a * windows : (a + 1) * windows]
        sums.negative[fold, i] += background @ inside[n:]
        sums.all_squares[i] += inside_squares[n:].sum(0)
        sums.norms[i] += squares.sum(1).sqrt().sum().to(home)

    with loaded.lock:
        run_decoder(loaded, torch.tensor([reading.token_ids]), spec.layers, sink)
    _count(selection, fold, sums)
    sums.n_tokens += len(reading.spans)


def _count(selection: _Selection, fold: int, sums: _Sums) -> None:
    for a, row in enumerate(selection.present):
        sums.counts[0, row, fold] += selection.counts[a] > 0
        sums.counts[1, row, fold] += selection.counts[a]
    sums.negative_counts[0, :, :, fold] += selection.background_tokens > 0
    sums.negative_counts[1, :, :, fold] += selection.background_tokens
    sums.events += selection.events
    sums.n_traces += 1


def _finish(spec: MomentsSpec, sums: _Sums) -> Moments:
    rows, layers, d = len(spec.rows), len(spec.layers), int(sums.squares.shape[-1])
    positive = np.empty((2, rows, spec.folds, layers, len(spec.windows), d), np.float32)
    for weighting in range(2):
        total = sums.positive.pop(0)
        assert torch.isfinite(total).all(), "a sum of activations is not finite"
        positive[weighting] = total.permute(2, 0, 1, 3, 4).cpu().numpy()
        del total
    negative = sums.negative.view(spec.folds, layers, 2, rows, len(NEGATIVES), d).permute(2, 3, 4, 0, 1, 5)
    return Moments(
        spec=spec,
        sums=positive,
        counts=sums.counts,
        squares=sums.squares.transpose(0, 1).float().cpu().numpy(),
        negative_sums=negative.float().cpu().numpy(),
        negative_counts=sums.negative_counts,
        all_squares=sums.all_squares.float().cpu().numpy(),
        norms=(sums.norms / max(sums.n_tokens, 1)).float().cpu().numpy(),
        events=sums.events,
        n_traces=sums.n_traces,
        n_tokens=sums.n_tokens,
    )
