"""Sums of activations around events over all labels × windows × layers, in one pass over the traces (paper, Eq. 3).

Per trace, or few of them on a card, one forward up to the deepest layer asked for; a selection matrix takes what each
window needs, and float64 sums grow as layers come, a few at a time on a card, so that no hidden state outlives its
traces. Positions of D are the tokens of the reasoning text: the prompt, chat tokens and BOS belong to neither mean.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field, fields

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.errors import BadInput
from core.extraction.contrast import contrast
from core.extraction.controls import with_shuffled
from core.extraction.moments import NEGATIVES, ExactSums, Moments, MomentsSpec, bytes_needed
from core.extraction.packs import Member, next_pack, tokens_at_once
from core.extraction.selection import Selection, select_sums, sent
from core.extraction.values import DirectionSet, ExtractionSpec
from core.forward.hooks import run_decoder
from core.models.loaded import LoadedModel
from core.values import Trace

FOLDS = 4
KEEP_SECONDS, KEEP_SHARE = 30.0, 0.05
"""How often what a pass has gathered is kept, and the share of its time that keeping may take."""
ROOM = 0.5
"""Share of a GPU's free memory that the sums may take; else they grow in the computer's memory."""
HELD_BYTES = 2**28
"""Of the layers whose streams wait to be added together on a card; on the CPU each is added as it comes."""


@dataclass(kw_only=True)
class _Sums:
    """Running sums in float64; axes as in `Moments`, the weightings apart."""

    positive: list[Tensor]
    """Two of (n_rows, folds, n_layers, n_windows, d_model)."""
    squares: Tensor
    """(n_rows, n_layers, n_windows, d_model)."""
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
    skipped: list[str] = field(default_factory=list)


def record_moments(
    loaded: LoadedModel,
    traces: Sequence[Trace],
    spec: MomentsSpec,
    *,
    begun: Moments | None = None,
    keep: Callable[[Moments], None] = lambda moments: None,
) -> Generator[int | Moments, None, None]:
    """Yield the number of traces read so far after each trace, and at last the Moments.

    Trace i belongs to fold i mod folds. Where two events of a label share a token or their windows a position, it
    counts once. `keep` gets what was gathered every KEEP_SECONDS, and when the pass is closed before its end; it may
    hold on to it no longer than its call. Given as `begun` to the next pass, that goes on from there and ends with the
    same sums to the bit. A trace that the model cannot read, such as one longer than its context, is left out and
    listed in `skipped`. Raises BadInput for a layer that the model lacks, and when no trace can be read.
    """
    _check_layers(loaded, spec)
    sums = _empty(loaded, spec)
    if begun is not None:
        _resume(sums, begun)
    keeper = _Keeper(lambda: keep(_finish(spec, sums, goes_on=True)))
    extra = with_shuffled(traces, spec.seed, spec.shuffled) if spec.shuffled else ((),) * len(traces)
    try:
        while sums.n_traces < len(traces):
            pack, stop = next_pack(loaded, traces, extra, spec, begin=sums.n_traces, skipped=sums.skipped)
            if pack:
                _add_pack(loaded, pack, spec, sums)
            sums.n_traces = stop
            keeper.look()
            yield stop
    except GeneratorExit:
        keeper.keep()
        raise
    if sums.skipped and len(sums.skipped) == len(traces):
        raise BadInput(f"None of the traces can be read. {sums.skipped[0]}", "Choose a set with shorter traces.")
    yield _finish(spec, sums)


class _Keeper:
    """Keeps now and then what a pass has gathered: a killed process loses no more than the time since."""

    def __init__(self, keep: Callable[[], None]) -> None:
        self.keep = keep
        self._next = time.monotonic() + KEEP_SECONDS

    def look(self) -> None:
        """Keep, if it is time."""
        began = time.monotonic()
        if began >= self._next:
            self.keep()
            ended = time.monotonic()
            self._next = ended + max(KEEP_SECONDS, (ended - began) / KEEP_SHARE)


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
        labels=_labels_for(spec, traces),
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


def _labels_for(spec: ExtractionSpec, traces: Sequence[Trace]) -> tuple[str, ...]:
    """The label, and all others of the traces where their events are what is subtracted."""
    if spec.negatives != "position":
        return (spec.label,)
    return spec.label, *sorted({part.label for trace in traces for part in trace.parts} - {spec.label})


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
        positive=[zeros(rows, spec.folds, layers, windows, d) for _ in range(2)],
        squares=zeros(rows, layers, windows, d),
        negative=zeros(spec.folds, layers, 2 * rows * len(NEGATIVES), d),
        all_squares=zeros(layers, d),
        norms=zeros(layers),
        counts=np.zeros((2, rows, spec.folds, windows), np.int64),
        negative_counts=np.zeros((2, rows, len(NEGATIVES), spec.folds), np.int64),
        events=np.zeros(rows, np.int64),
    )


def _resume(sums: _Sums, begun: Moments) -> None:
    """Take over what an earlier pass had gathered: unrounded, unless it was kept by an older version."""
    sums.counts, sums.negative_counts, sums.events = (
        array.copy() for array in (begun.counts, begun.negative_counts, begun.events)
    )
    sums.n_traces, sums.n_tokens, sums.skipped = begun.n_traces, begun.n_tokens, list(begun.skipped)
    if begun.exact is not None:
        for total, kept in zip(_totals(sums), vars(begun.exact).values(), strict=True):
            total.copy_(torch.from_numpy(kept))
        return
    layout = torch.from_numpy(begun.negative_sums).permute(3, 4, 0, 1, 2, 5)
    for weighting, total in enumerate(sums.positive):
        total.copy_(torch.from_numpy(begun.sums[weighting]))
    sums.squares.copy_(torch.from_numpy(begun.squares))
    sums.negative.copy_(layout.reshape(sums.negative.shape))
    sums.all_squares.copy_(torch.from_numpy(begun.all_squares))
    sums.norms.copy_(torch.from_numpy(begun.norms).double() * begun.n_tokens)


def _totals(sums: _Sums) -> tuple[Tensor, ...]:
    """Everything that grows with the traces, in the order of `ExactSums`."""
    return (*sums.positive, sums.squares, sums.negative, sums.all_squares, sums.norms)


def _add_pack(loaded: LoadedModel, pack: Sequence[Member], spec: MomentsSpec, sums: _Sums) -> None:
    """Read some traces by one forward; shorter ones are padded to the right, where causal attention cannot see it."""
    home = sums.squares.device
    chosen = [m.selection for m in pack]
    matrices = [selection.matrix_on(loaded.device, loaded.compute_dtype) for selection in chosen]
    weights = [(sent(s.background, home), sent(s.shares.float(), home)) for s in chosen]
    waits = tokens_at_once(loaded.device) > 0 and list(spec.layers) == sorted(spec.layers)
    held: list[Tensor] = []

    def add(here: slice) -> None:
        for row, (member, matrix, shared) in enumerate(zip(pack, matrices, weights, strict=True)):
            text = slice(member.reading.text_start, len(member.reading.token_ids))
            streams = torch.stack([hidden[row, text] for hidden in held]) if waits else held[0][None, row, text]
            inside, squares, norms = (part.to(home) for part in select_sums(matrix, streams))
            _add_layers(sums, member, here, inside, squares, *shared)
            sums.norms[here] += norms
        held.clear()

    def sink(layer: int, hidden: Tensor) -> None:
        held.append(hidden)
        if not waits or layer == max(spec.layers) or len(held) * hidden.nbytes >= HELD_BYTES:
            stop = spec.layers.index(layer) + 1
            add(slice(stop - len(held), stop))

    ids = torch.zeros(len(pack), max(len(m.reading.token_ids) for m in pack), dtype=torch.int64)
    for row, member in enumerate(pack):
        ids[row, : len(member.reading.token_ids)] = torch.tensor(member.reading.token_ids)
    with loaded.lock:
        run_decoder(loaded, sent(ids, loaded.device), spec.layers, sink)
    for member in pack:
        _count(member.selection, member.fold, sums)
        sums.n_tokens += len(member.reading.spans)


def _add_layers(
    sums: _Sums, member: Member, here: slice, inside: Tensor, squares: Tensor, background: Tensor, shares: Tensor
) -> None:
    """Add what a trace's lines select, (layers, lines, d_model) each, at the layers `here`."""
    selection, fold = member.selection, member.fold
    windows = shares.shape[1]
    n = len(selection.present) * windows
    block = inside[:, :n].view(len(inside), len(selection.present), windows, inside.shape[-1])
    scaled = block * shares
    for a, row in enumerate(selection.present):
        sums.positive[0][row, fold, here] += scaled[:, a]
        sums.positive[1][row, fold, here] += block[:, a]
        sums.squares[row, here] += squares[:, a * windows : (a + 1) * windows]
    for i, groups in zip(range(here.start, here.stop), inside[:, n:].double(), strict=True):
        sums.negative[fold, i] += background @ groups
    sums.all_squares[here] += squares[:, n:].sum(1)


def _count(selection: Selection, fold: int, sums: _Sums) -> None:
    for a, row in enumerate(selection.present):
        sums.counts[0, row, fold] += selection.counts[a] > 0
        sums.counts[1, row, fold] += selection.counts[a]
    sums.negative_counts[0, :, :, fold] += selection.background_tokens > 0
    sums.negative_counts[1, :, :, fold] += selection.background_tokens
    sums.events += selection.events


def _exact(sums: _Sums) -> ExactSums:
    names = (item.name for item in fields(ExactSums))
    return ExactSums(**{name: total.cpu().numpy() for name, total in zip(names, _totals(sums), strict=True)})


def _finish(spec: MomentsSpec, sums: _Sums, *, goes_on: bool = False) -> Moments:
    """The sums as they are kept; a pass that goes on keeps its own, and has them copied unrounded too."""
    exact = _exact(sums) if goes_on else None
    rows, layers, d = len(spec.rows), len(spec.layers), int(sums.squares.shape[-1])
    positive = np.empty((2, rows, spec.folds, layers, len(spec.windows), d), np.float32)
    for weighting in range(2):
        total = sums.positive[weighting] if goes_on else sums.positive.pop(0)
        assert math.isfinite(float(total.sum())), "a sum of activations is not finite"
        torch.from_numpy(positive[weighting]).copy_(total.float() if total.is_cuda else total)
        del total
    negative = sums.negative.view(spec.folds, layers, 2, rows, len(NEGATIVES), d).permute(2, 3, 4, 0, 1, 5)
    return Moments(
        spec=spec,
        sums=positive,
        counts=sums.counts,
        squares=sums.squares.float().cpu().numpy(),
        negative_sums=negative.float().cpu().numpy(),
        negative_counts=sums.negative_counts,
        all_squares=sums.all_squares.float().cpu().numpy(),
        norms=(sums.norms / max(sums.n_tokens, 1)).float().cpu().numpy(),
        events=sums.events,
        n_traces=sums.n_traces,
        n_tokens=sums.n_tokens,
        skipped=tuple(sums.skipped),
        exact=exact,
    )
