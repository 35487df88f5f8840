"""Sums of activations around events over all labels × windows × layers, in one pass over the traces (paper, Eq. 3).

Per trace, or few of them on a card, one forward up to the deepest layer asked for; a selection matrix takes what each
window needs, and float64 sums grow as layers come, a few at a time on a card, so that no hidden state outlives its
traces. Positions of D are the tokens of the reasoning text: the prompt, chat tokens and BOS belong to neither mean.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.errors import BadInput
from core.extraction.controls import with_shuffled
from core.extraction.keeping import Keeper
from core.extraction.layers import ExactLayer, Growing, Unfinished
from core.extraction.moments import NEGATIVES, ExactSums, Gathered, Moments, MomentsSpec, bytes_needed, is_large
from core.extraction.packs import HELD_BYTES, Member, next_pack, padded, tokens_at_once
from core.extraction.rounding import halved_there
from core.extraction.selection import select_sums, sent
from core.forward.hooks import run_decoder
from core.models.loaded import LoadedModel
from core.values import T, Trace

ROOM = 0.5
"""Share of a GPU's free memory that the sums may take; else they grow in the computer's memory."""


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
    begun: Gathered | None = None,
    keep: Callable[[Gathered], None] = lambda gathered: None,
) -> Generator[int | Gathered, None, None]:
    """Yield the number of traces read so far after each trace, and at last the Moments; of a large pass, its layers.

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
    keeper = Keeper(lambda: keep(_finish(spec, sums, goes_on=True)))
    try:
        for stop in _add_traces(loaded, traces, spec, sums):
            keeper.look()
            yield stop
    except GeneratorExit:
        keeper.keep()
        raise
    if sums.skipped and len(sums.skipped) == len(traces):
        raise BadInput(f"None of the traces can be read. {sums.skipped[0]}", "Choose a set with shorter traces.")
    yield _finish(spec, sums)


def record_part(
    loaded: LoadedModel, traces: Sequence[Trace], spec: MomentsSpec, start: int, stop: int
) -> Generator[int | Gathered, None, None]:
    """As `record_moments`, over the traces from `start` up to `stop` alone, whose numbers stay; ends unrounded."""
    _check_layers(loaded, spec)
    sums = _empty(loaded, spec)
    sums.n_traces = start
    yield from _add_traces(loaded, traces[:stop], spec, sums)
    sums.n_traces -= start
    yield _finish(spec, sums, goes_on=True)


def _add_traces(
    loaded: LoadedModel, traces: Sequence[Trace], spec: MomentsSpec, sums: _Sums
) -> Generator[int, None, None]:
    """Add the traces that are not in the sums yet; yields how many are, after each forward."""
    extra = with_shuffled(traces, spec.seed, spec.shuffled) if spec.shuffled else ((),) * len(traces)
    while sums.n_traces < len(traces):
        pack, stop = next_pack(loaded, traces, extra, spec, begin=sums.n_traces, skipped=sums.skipped)
        if pack:
            _add_pack(loaded, pack, spec, sums)
        sums.n_traces = stop
        yield stop


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
        device = loaded.device if bytes_needed(spec, d).memory < ROOM * free else device

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


def _resume(sums: _Sums, begun: Gathered) -> None:
    """Take over what an earlier pass had gathered: unrounded, unless it was kept by an older version."""
    sums.counts, sums.negative_counts, sums.events = (
        array.copy() for array in (begun.counts, begun.negative_counts, begun.events)
    )
    sums.n_traces, sums.n_tokens, sums.skipped = begun.n_traces, begun.n_tokens, list(begun.skipped)
    if isinstance(begun, Unfinished):
        for i in range(len(begun.spec.layers)):
            for total, kept in zip(_layer_of(sums, i), vars(begun.exact(i)).values(), strict=True):
                total.copy_(torch.from_numpy(kept))
        return
    assert isinstance(begun, Moments), type(begun)
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


def _layer_of(sums: _Sums, i: int) -> tuple[Tensor, ...]:
    """What grows with the traces of one layer, in the order of `ExactLayer`."""
    positive = (total[:, :, i] for total in sums.positive)
    return *positive, sums.squares[:, i], sums.negative[:, i], sums.all_squares[i], sums.norms[i : i + 1]


def _totals(sums: _Sums) -> tuple[Tensor, ...]:
    """Everything that grows with the traces, in the order of `ExactSums`."""
    return (*sums.positive, sums.squares, sums.negative, sums.all_squares, sums.norms)


def _add_pack(loaded: LoadedModel, pack: Sequence[Member], spec: MomentsSpec, sums: _Sums) -> None:
    """Read some traces by one forward; shorter ones are padded to the right, where causal attention cannot see it."""
    home = sums.squares.device
    matrices = [m.selection.matrix_on(loaded.device, loaded.compute_dtype) for m in pack]
    weights = [(sent(m.selection.background, home), sent(m.selection.shares.float(), home)) for m in pack]
    waits = tokens_at_once(loaded.device) > 0 and list(spec.layers) == sorted(spec.layers)
    held: list[Tensor] = []

    def add(stop: int) -> None:
        for row, (member, matrix, shared) in enumerate(zip(pack, matrices, weights, strict=True)):
            text = slice(member.reading.text_start, len(member.reading.token_ids))
            streams = torch.stack([hidden[row, text] for hidden in held]) if waits else held[0][None, row, text]
            selected = [part.to(home) for part in select_sums(matrix, streams)]
            _add_layers(sums, member, slice(stop - len(held), stop), selected, shared)
        held.clear()

    def sink(layer: int, hidden: Tensor) -> None:
        held.append(hidden)
        if not waits or layer == max(spec.layers) or len(held) * hidden.nbytes >= HELD_BYTES:
            add(spec.layers.index(layer) + 1)

    with loaded.lock:
        run_decoder(loaded, sent(padded(pack), loaded.device), spec.layers, sink)
    for member in pack:
        _count(member, sums)


def _add_layers(sums: _Sums, member: Member, here: slice, selected: Sequence[Tensor], shared: Sequence[Tensor]) -> None:
    """Add what a trace's lines select (see `select_sums`) at the layers `here`; `shared` are background and shares."""
    (inside, squares, norms), (background, shares) = selected, shared
    present, fold, windows = member.selection.present, member.fold, shares.shape[1]
    n = len(present) * windows
    block = inside[:, :n].view(len(inside), len(present), windows, inside.shape[-1])
    for a, row in enumerate(present):
        sums.positive[0][row, fold, here] += block[:, a] * shares[a]
        sums.positive[1][row, fold, here] += block[:, a]
        sums.squares[row, here] += squares[:, a * windows : (a + 1) * windows]
    sums.negative[fold, here] += torch.matmul(background, inside[:, n:].double())
    sums.all_squares[here] += squares[:, n:].sum(1)
    sums.norms[here] += norms


def _count(member: Member, sums: _Sums) -> None:
    selection, fold = member.selection, member.fold
    for a, row in enumerate(selection.present):
        sums.counts[0, row, fold] += selection.counts[a] > 0
        sums.counts[1, row, fold] += selection.counts[a]
    sums.negative_counts[0, :, :, fold] += selection.background_tokens > 0
    sums.negative_counts[1, :, :, fold] += selection.background_tokens
    sums.events += selection.events
    sums.n_tokens += len(member.reading.spans)


def _named(cls: type[T], totals: Iterable[Tensor]) -> T:
    """The totals under the names of the fields of ExactSums or ExactLayer, on the CPU."""
    names = (item.name for item in fields(cls))  # type: ignore[arg-type]
    return cls(**{name: total.cpu().numpy() for name, total in zip(names, totals, strict=True)})


def _counted(spec: MomentsSpec, sums: _Sums) -> dict[str, Any]:
    """All that was gathered but the sums."""
    return {
        "spec": spec,
        "counts": sums.counts,
        "negative_counts": sums.negative_counts,
        "norms": (sums.norms / max(sums.n_tokens, 1)).float().cpu().numpy(),
        "events": sums.events,
        "n_traces": sums.n_traces,
        "n_tokens": sums.n_tokens,
        "skipped": tuple(sums.skipped),
    }


def _finish(spec: MomentsSpec, sums: _Sums, *, goes_on: bool = False) -> Gathered:
    """The sums as they are kept; a pass that goes on keeps its own, and has them copied unrounded too.

    Of a large pass they are read layer by layer, before its next trace.
    """
    rows, layers, d = len(spec.rows), len(spec.layers), int(sums.squares.shape[-1])
    counted = _counted(spec, sums)
    if is_large(spec, d):
        assert all(math.isfinite(float(total.sum())) for total in sums.positive), "a sum of activations is not finite"
        growing = Growing(**counted, width=d, read=lambda i: _named(ExactLayer, _layer_of(sums, i)))
        if tokens_at_once(sums.squares.device):
            return replace(growing, halve=lambda i: halved_there(_layer_of(sums, i), growing))
        return growing
    exact = _named(ExactSums, _totals(sums)) if goes_on else None
    positive = np.empty((2, rows, spec.folds, layers, len(spec.windows), d), np.float32)
    for weighting in range(2):
        total = sums.positive[weighting] if goes_on else sums.positive.pop(0)
        assert math.isfinite(float(total.sum())), "a sum of activations is not finite"
        torch.from_numpy(positive[weighting]).copy_(total.float() if total.is_cuda else total)
        del total
    negative = sums.negative.view(spec.folds, layers, 2, rows, len(NEGATIVES), d).permute(2, 3, 4, 0, 1, 5)
    return Moments(
        **counted,
        sums=positive,
        squares=sums.squares.float().cpu().numpy(),
        negative_sums=negative.float().cpu().numpy(),
        all_squares=sums.all_squares.float().cpu().numpy(),
        exact=exact,
    )
