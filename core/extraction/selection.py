"""What one trace adds to the sums of a pass: which of its positions each window and each subtracted mean take.

One sparse matrix per trace serves all layers. Knows no model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.extraction.moments import NEGATIVES, MomentsSpec
from core.tokens.encoding import Reading
from core.traces.events import find_events, label_of_tokens, window_positions
from core.values import Event, Part, Trace


@dataclass(frozen=True, kw_only=True)
class Selection:
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

    def matrix_on(self, device: torch.device, dtype: torch.dtype) -> Tensor:
        """The matrix on a device: dense on a card, where one product of everything is the quickest."""
        return sent(self.matrix.to_dense().to(dtype), device) if device.type == "cuda" else self.matrix.to(device)


def sent(numbers: Tensor, device: torch.device) -> Tensor:
    """On a device, without waiting for what a card still has to do."""
    return numbers.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else numbers.to(device)


def select_sums(matrix: Tensor, streams: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What the lines of `matrix` (lines, seq) select of the streams (layers, seq, d_model), in float32.

    (layers, lines, d_model) sums, the same of squares, and (layers,) sums of all positions' norms. By a dense matrix,
    streams in bf16 are added up as they are, which is exact, and their squares as two parts of eight digits each.
    """
    values = streams.float()
    squares = values.square()
    norms = squares.sum(-1).sqrt().sum(-1)
    if matrix.is_sparse:
        found = [torch.stack([torch.sparse.mm(matrix, layer) for layer in part]) for part in (values, squares)]
        return found[0], found[1], norms
    if streams.dtype != torch.bfloat16:
        return torch.matmul(matrix, values), torch.matmul(matrix, squares), norms
    high = squares.bfloat16()
    low = torch.sub(squares, high, out=torch.empty_like(high))
    inside, tops, rests = (_product(matrix.to(streams.dtype), part) for part in (streams, high, low))
    return inside, tops + rests, norms


def _product(matrix: Tensor, part: Tensor) -> Tensor:
    """(layers, lines, d_model) float32 of bf16 factors, (lines, seq) and (layers, seq, d_model)."""
    if not part.is_cuda:
        return torch.matmul(matrix.float(), part.float())
    lines = matrix.expand(len(part), -1, -1)
    found: Tensor = torch.bmm(lines, part, out_dtype=torch.float32)
    return found


def select(trace: Trace, moved: Sequence[Part], reading: Reading, spec: MomentsSpec) -> Selection:
    """The selection of a trace as it was read; `moved` are the parts at random places of the shuffled row."""
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
    return Selection(
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
